//! What flows: a container's output and its states, as server-sent events.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::{ContainerStatus, LogLine, LogStream};
use protocol::rpc::{Code, Failure};
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use crate::api::Api;

/// Streams of one key at once: a few pages in a browser.
const PER_KEY_MAX: usize = 4;
/// Streams in all.
const ALL_MAX: usize = 128;
/// Streams of keys that never paid, whose containers cost nothing: enough to watch one's first launch.
const FREE_MAX: usize = 16;
/// Events that wait for a slow reader; a container's output waits with them.
const WAITING_MAX: usize = 64;
/// How long they wait. A reader that takes none in this time has gone, whatever its connection says.
const READ_WAIT: Duration = Duration::from_secs(20);
/// How long to wait before following the output of a process that ended, in case it starts again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Who reads how many streams.
#[derive(Debug)]
pub(super) struct Streams(Mutex<HashMap<PublicKey, Own>>);

/// The streams of one key.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    count: usize,
    has_paid: bool,
}

/// One stream, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Streams>, PublicKey);

impl Streams {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    /// Takes a place for a key that has paid before, or has not.
    ///
    /// # Errors
    /// [`Code::ServerBusy`].
    pub(super) fn begin(self: &Arc<Self>, caller: PublicKey, has_paid: bool) -> Result<Place, Failure> {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |among: &dyn Fn(&Own) -> bool| -> usize {
            readers.values().filter(|own| among(own)).map(|own| own.count).sum()
        };
        let own = readers.get(&caller).map_or(0, |own| own.count);
        if own >= PER_KEY_MAX || count(&|_| true) >= ALL_MAX {
            let message = format!("too many streams are open; close one: a key has at most {PER_KEY_MAX}");
            return Err(Failure::new(Code::ServerBusy, message));
        }
        if !has_paid && count(&|own| !own.has_paid) >= FREE_MAX {
            let message = "too many streams of keys that never paid are open; ask for the status instead";
            return Err(Failure::new(Code::ServerBusy, message));
        }
        readers.insert(caller, Own { count: own + 1, has_paid });
        Ok(Place(Arc::clone(self), caller))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut readers = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        match readers.get_mut(&self.1) {
            Some(own) if own.count > 1 => own.count -= 1,
            _ => drop(readers.remove(&self.1)),
        }
    }
}

/// Who reads a stream.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) api: Api,
    pub(super) caller: PublicKey,
    /// True once the connection is to end.
    pub(super) closing: watch::Receiver<bool>,
}

/// The events of one stream, for its reader.
struct Events(mpsc::Sender<Event>);

/// There is nobody any more who reads.
struct Gone;

impl Events {
    async fn tell(&self, name: &str, data: &impl Serialize) -> Result<(), Gone> {
        let event = Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default());
        self.0.send_timeout(event, READ_WAIT).await.map_err(|_| Gone)
    }

    /// The last one: why there are no more.
    async fn end(&self, name: &str, message: &str) {
        drop(self.tell(name, &message).await);
    }

    async fn over(&self) {
        self.end("end", "the stream ends here; ask for it anew").await;
    }

    /// Nothing follows, however often it is asked for.
    async fn container_over(&self) {
        self.end("end", "the container is over").await;
    }
}

/// The container's output, for as long as it is the caller's.
pub(super) fn output(reader: Reader, pubkey: PublicKey, place: Place) -> Result<Response, Failure> {
    // Refused before the stream begins, with a status.
    drop(reader.api.follow(&reader.caller, &pubkey)?);
    let (events, receiver) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        let (mut closing, events) = (reader.closing.clone(), Events(events));
        let pumped = tokio::select! {
            () = closes(&mut closing) => None,
            pumped = pump_output(&reader, &pubkey, &events) => Some(pumped),
        };
        match pumped {
            None | Some(Ok(Ended::Server)) => events.over().await,
            Some(Ok(Ended::Over)) => events.container_over().await,
            Some(Ok(Ended::Gone)) => {}
            Some(Err(failure)) => events.end("error", &failure.message).await,
        }
        drop(place);
    });
    Ok(respond(receiver))
}

/// Waits until the connection is to end.
async fn closes(closing: &mut watch::Receiver<bool>) {
    drop(closing.wait_for(|closes| *closes).await);
}

/// How a stream came to its end.
enum Ended {
    /// The container is over.
    Over,
    /// The server ends.
    Server,
    /// Nobody reads any more.
    Gone,
}

/// The last line of each output that was told. Followed again after a restart, the engine tells the last lines once
/// more; lines of the two outputs may come a little out of their order, and pieces of one line have one time.
#[derive(Clone, Debug, Default)]
struct Told {
    stdout: String,
    stderr: String,
}

impl Told {
    /// True for a line that was told before the output was followed again.
    fn has(&self, line: &LogLine) -> bool {
        line.at <= *self.last(line.stream)
    }

    fn note(&mut self, line: &LogLine) {
        match line.stream {
            LogStream::Stdout => self.stdout.clone_from(&line.at),
            LogStream::Stderr => self.stderr.clone_from(&line.at),
        }
    }

    const fn last(&self, stream: LogStream) -> &String {
        match stream {
            LogStream::Stdout => &self.stdout,
            LogStream::Stderr => &self.stderr,
        }
    }
}

async fn pump_output(reader: &Reader, pubkey: &PublicKey, events: &Events) -> Result<Ended, Failure> {
    let (api, caller) = (&reader.api, &reader.caller);
    let mut changes = api.context().changes.watch();
    let mut told = Told::default();
    loop {
        if api.is_over(caller, pubkey)? {
            return Ok(Ended::Over);
        }
        let again = told.clone();
        let mut lines = Box::pin(api.follow(caller, pubkey)?);
        loop {
            tokio::select! {
                // What changed first: it may have been given to another key.
                biased;
                changed = changes.changed() => {
                    if changed.is_err() {
                        return Ok(Ended::Server);
                    }
                    if api.is_over(caller, pubkey)? {
                        return Ok(Ended::Over);
                    }
                }
                () = events.0.closed() => return Ok(Ended::Gone),
                line = lines.next() => {
                    let Some(line) = line else { break };
                    if again.has(&line) {
                        continue;
                    }
                    told.note(&line);
                    if events.tell("line", &line).await.is_err() {
                        return Ok(Ended::Gone);
                    }
                }
            }
        }
        tokio::select! {
            () = events.0.closed() => return Ok(Ended::Gone),
            () = tokio::time::sleep(AGAIN_AFTER) => {}
        }
    }
}

/// The container's status, now and whenever it changes, for as long as it is the caller's and not over.
pub(super) fn states(mut reader: Reader, pubkey: PublicKey, place: Place) -> Result<Response, Failure> {
    let mut changes = reader.api.context().changes.watch();
    let (mut is_over, mut told) = look(&reader, &pubkey)?;
    let (events, receiver) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        let (_place, events) = (place, Events(events));
        if events.tell("status", &told).await.is_err() {
            return;
        }
        while !is_over {
            tokio::select! {
                () = events.0.closed() => return,
                () = closes(&mut reader.closing) => return events.over().await,
                changed = changes.changed() => if changed.is_err() { return events.over().await },
            }
            let status = match look(&reader, &pubkey) {
                Ok((over, status)) => {
                    is_over = over;
                    status
                }
                Err(failure) => return events.end("error", &failure.message).await,
            };
            if status == told {
                continue;
            }
            if events.tell("status", &status).await.is_err() {
                return;
            }
            told = status;
        }
        events.container_over().await;
    });
    Ok(respond(receiver))
}

/// Whether the container is over, and its status, which is no older than that.
fn look(reader: &Reader, pubkey: &PublicKey) -> Result<(bool, ContainerStatus), Failure> {
    let is_over = reader.api.is_over(&reader.caller, pubkey)?;
    Ok((is_over, reader.api.status(&reader.caller, pubkey)?))
}

fn respond(receiver: mpsc::Receiver<Event>) -> Response {
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|event| (Ok::<_, Infallible>(event), receiver))
    });
    Sse::new(stream).keep_alive(KeepAlive::default()).into_response()
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reader_that_takes_nothing_is_given_up() {
        let (events, _sits) = mpsc::channel(WAITING_MAX);
        let events = Events(events);
        for number in 0..WAITING_MAX {
            assert!(events.tell("line", &number).await.is_ok());
        }
        assert!(events.tell("line", &"one more").await.is_err());
    }

    #[test]
    fn only_what_was_told_before_is_left_out_when_output_is_followed_again() {
        let line = |stream, at: &str| LogLine { at: at.to_owned(), stream, text: at.to_owned() };
        let mut told = Told::default();
        // As they come: out of their order, and two pieces of one time.
        let first = [
            line(LogStream::Stdout, "3"),
            line(LogStream::Stderr, "2"),
            line(LogStream::Stdout, "4"),
            line(LogStream::Stdout, "4"),
        ];
        let again = told.clone();
        for line in &first {
            assert!(!again.has(line), "{line:?} is lost");
            told.note(line);
        }
        let again = told.clone();
        assert!(first.iter().all(|line| again.has(line)), "told twice");
        assert!(!again.has(&line(LogStream::Stderr, "3")) && !again.has(&line(LogStream::Stdout, "5")));
    }

    #[test]
    fn key_has_so_many_streams_and_gets_them_back() {
        let (streams, key) = (Streams::new(), Keys::generate().public_key());
        let mut places: Vec<_> = (0..PER_KEY_MAX).map(|_| streams.begin(key, true).unwrap()).collect();
        assert_eq!(streams.begin(key, true).unwrap_err().code, Code::ServerBusy);
        assert!(streams.begin(Keys::generate().public_key(), true).is_ok());
        places.pop();
        assert!(streams.begin(key, true).is_ok());
        drop(places);
        assert!(streams.0.lock().unwrap().is_empty());
        let all: Vec<_> =
            (0..ALL_MAX).map(|_| streams.begin(Keys::generate().public_key(), true).unwrap()).collect();
        assert_eq!(streams.begin(key, true).unwrap_err().code, Code::ServerBusy);
        drop(all);
    }

    #[test]
    fn keys_that_never_paid_take_no_place_of_customers() {
        let (streams, key) = (Streams::new(), || Keys::generate().public_key());
        let mut held: Vec<_> = (0..ALL_MAX).filter_map(|_| streams.begin(key(), false).ok()).collect();
        assert_eq!(held.len(), FREE_MAX);
        held.extend((FREE_MAX..ALL_MAX).map(|_| streams.begin(key(), true).expect("a customer's place")));
        assert!(streams.begin(key(), true).is_err());
        held.remove(0);
        assert!(streams.begin(key(), false).is_ok(), "a place that was given back");
    }
}
