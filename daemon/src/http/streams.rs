//! What flows: a container's output and its states, as server-sent events.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::ContainerStatus;
use protocol::rpc::{Code, Failure};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::api::Api;

/// Streams of one key at once: a few pages in a browser.
const PER_KEY_MAX: usize = 4;
/// Streams in all.
const ALL_MAX: usize = 128;
/// Events that wait for a slow reader; a container's output waits with them.
const WAITING_MAX: usize = 64;
/// How long to wait before following the output of a process that ended, in case it starts again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Who reads how many streams.
#[derive(Debug)]
pub(super) struct Streams(Mutex<HashMap<PublicKey, usize>>);

/// One stream, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Streams>, PublicKey);

impl Streams {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    pub(super) fn begin(self: &Arc<Self>, caller: PublicKey) -> Result<Place, Failure> {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = readers.get(&caller).copied().unwrap_or_default();
        if own >= PER_KEY_MAX || readers.values().sum::<usize>() >= ALL_MAX {
            let message = format!("too many streams are open; close one: a key has at most {PER_KEY_MAX}");
            return Err(Failure::new(Code::ServerBusy, message));
        }
        readers.insert(caller, own + 1);
        Ok(Place(Arc::clone(self), caller))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut readers = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        match readers.get_mut(&self.1) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(readers.remove(&self.1)),
        }
    }
}

/// The container's output, for as long as it is the caller's.
pub(super) fn output(
    api: &Api,
    caller: PublicKey,
    pubkey: PublicKey,
    place: Place,
) -> Result<Response, Failure> {
    // Refused before the stream begins, with a status.
    drop(api.follow(&caller, &pubkey)?);
    let (events, receiver) = mpsc::channel(WAITING_MAX);
    let api = api.clone();
    tokio::spawn(async move {
        if let Err(failure) = pump_output(&api, &caller, &pubkey, &events).await {
            drop(events.send(event("error", &failure.message)).await);
        }
        drop(place);
    });
    Ok(respond(receiver))
}

async fn pump_output(
    api: &Api,
    caller: &PublicKey,
    pubkey: &PublicKey,
    events: &mpsc::Sender<Event>,
) -> Result<(), Failure> {
    let mut changes = api.context().changes.watch();
    let mut last = String::new();
    loop {
        let mut lines = Box::pin(api.follow(caller, pubkey)?);
        loop {
            tokio::select! {
                // What changed first: it may have been given to another key.
                biased;
                changed = changes.changed() => {
                    if changed.is_err() || api.status(caller, pubkey)?.info.state == "terminated" {
                        return Ok(());
                    }
                }
                () = events.closed() => return Ok(()),
                line = lines.next() => {
                    let Some(line) = line else { break };
                    // Followed again after a restart, the engine tells the last lines once more.
                    if line.at > last {
                        last.clone_from(&line.at);
                        if events.send(event("line", &line)).await.is_err() {
                            return Ok(());
                        }
                    }
                }
            }
        }
        tokio::select! {
            () = events.closed() => return Ok(()),
            () = tokio::time::sleep(AGAIN_AFTER) => {}
        }
    }
}

/// The container's status, now and whenever it changes, for as long as it is the caller's.
pub(super) fn states(
    api: &Api,
    caller: PublicKey,
    pubkey: PublicKey,
    place: Place,
) -> Result<Response, Failure> {
    let mut changes = api.context().changes.watch();
    let mut told: ContainerStatus = api.status(&caller, &pubkey)?;
    let (events, receiver) = mpsc::channel(WAITING_MAX);
    let api = api.clone();
    tokio::spawn(async move {
        let _place = place;
        if events.send(event("status", &told)).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                () = events.closed() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
            match api.status(&caller, &pubkey) {
                Ok(status) if status == told => {}
                Ok(status) => {
                    if events.send(event("status", &status)).await.is_err() {
                        return;
                    }
                    told = status;
                }
                Err(failure) => return drop(events.send(event("error", &failure.message)).await),
            }
        }
    });
    Ok(respond(receiver))
}

fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
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

    #[test]
    fn key_has_so_many_streams_and_gets_them_back() {
        let (streams, key) = (Streams::new(), Keys::generate().public_key());
        let mut places: Vec<_> = (0..PER_KEY_MAX).map(|_| streams.begin(key).unwrap()).collect();
        assert_eq!(streams.begin(key).unwrap_err().code, Code::ServerBusy);
        assert!(streams.begin(Keys::generate().public_key()).is_ok());
        places.pop();
        assert!(streams.begin(key).is_ok());
        drop(places);
        assert!(streams.0.lock().unwrap().is_empty());
        let all: Vec<_> =
            (0..ALL_MAX).map(|_| streams.begin(Keys::generate().public_key()).unwrap()).collect();
        assert_eq!(streams.begin(key).unwrap_err().code, Code::ServerBusy);
        drop(all);
    }
}
