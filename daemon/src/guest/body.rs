//! An answer on its way to a guest.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use units::Stopwatch;

use super::limits::FetchPlace;

/// What is handed to the connection at once, in bytes: it asks for more when this is written.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long a guest may take to read an answer for which a place is held.
const READ_WAIT: Duration = Duration::from_secs(60);

/// The body of an answer. What place it takes in memory is given back when all of it is on its way, and the guest
/// has a minute for that.
#[derive(Debug)]
pub(super) struct Written {
    left: Bytes,
    place: Option<FetchPlace>,
    since: Stopwatch,
}

impl Written {
    pub(super) fn new(text: Bytes, place: Option<FetchPlace>) -> Self {
        Self { left: text, place, since: Stopwatch::start() }
    }
}

impl Body for Written {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.left.is_empty() {
            return Poll::Ready(None);
        }
        if this.place.is_some() && this.since.elapsed() >= READ_WAIT {
            this.left.clear();
            this.place = None;
            return Poll::Ready(Some(Err(Error::new(ErrorKind::TimedOut, "the guest reads too slowly"))));
        }
        let chunk = this.left.split_to(this.left.len().min(CHUNK_BYTES));
        // Copied: a part of it would hold all of it in memory.
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(&chunk)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.left.len()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::BodyExt;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response, body::Incoming};
    use hyper_util::rt::TokioIo;
    use nostr::key::Keys;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;
    use crate::config::Guest;
    use crate::guest::limits::Limits;
    use crate::stalls::Stalls;

    const ANSWER_BYTES: usize = 1024 * 1024;

    async fn serve(stream: UnixStream, limits: &Limits, pubkey: nostr::key::PublicKey, wait: Duration) {
        let service = service_fn(|_: Request<Incoming>| async move {
            let place = limits.fetch(pubkey).ok();
            Ok::<_, Infallible>(Response::new(Written::new(vec![b'x'; ANSWER_BYTES].into(), place)))
        });
        let stream = TokioIo::new(Stalls::new(stream, wait));
        drop(http1::Builder::new().max_buf_size(8 * 1024).serve_connection(stream, service).await);
    }

    #[tokio::test]
    async fn answer_comes_whole_with_its_length() {
        let text = "y".repeat(3 * CHUNK_BYTES + 1);
        let body = Written::new(text.clone().into(), None);
        assert_eq!(body.size_hint().exact(), Some(3 * 16_384 + 1));
        assert_eq!(body.collect().await.unwrap().to_bytes(), text);
    }

    #[tokio::test]
    async fn place_is_held_while_nothing_is_read_and_given_back_when_it_is_or_when_the_guest_is_given_up() {
        let (limits, pubkey) = (Limits::new(&Guest::default()), Keys::generate().public_key());
        for reads in [false, true] {
            let (mut guest, ours) = UnixStream::pair().unwrap();
            let wait = Duration::from_millis(if reads { 60_000 } else { 300 });
            let serving = serve(ours, &limits, pubkey, wait);
            tokio::pin!(serving);
            guest.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let soon = tokio::time::timeout(Duration::from_millis(100), &mut serving).await;
            assert!(soon.is_err(), "the connection has ended");
            let other = limits.fetch(pubkey).unwrap();
            assert!(limits.fetch(pubkey).is_err(), "the answer has no place");
            drop(other);
            if reads {
                let mut answer = vec![0; ANSWER_BYTES];
                tokio::select! {
                    read = guest.read_exact(&mut answer) => drop(read.unwrap()),
                    () = &mut serving => panic!("the connection has ended"),
                }
            } else {
                tokio::time::timeout(Duration::from_secs(10), &mut serving).await.expect("it waits for ever");
            }
            let places = [limits.fetch(pubkey), limits.fetch(pubkey)];
            assert!(places.iter().all(Result::is_ok), "a place is held for ever");
        }
    }
}
