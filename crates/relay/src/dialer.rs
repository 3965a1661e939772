//! Connects to relays: with `TCP_NODELAY`, bounded messages, headers of ours, the address guard where a
//! stranger named the relay, and backoff.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_wsocket::Message;
use futures_util::stream::SplitSink;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use guard::AddressGuard;
use nostr::types::Url;
use nostr_sdk::error::Error;
use nostr_sdk::transport::websocket::{WebSocketSink, WebSocketStream, WebSocketTransport};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message as Native};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream as NativeStream};
use units::Stopwatch;

use crate::acks::Acks;

/// Longest message from a relay. Events stop at 128 KiB; the rest is room for the envelope.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// What is read at once. The library writes zeros over it before each attempt to read; most messages fit.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// Wait after a connection that ended, however long it lasted. The library subscribes again only if the new
/// connection is of a later second than the subscription, and would be deaf on it otherwise.
const AGAIN_MIN: Duration = Duration::from_secs(1);
/// First wait after a failed attempt; doubled each time.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Longest wait between attempts: an operator who repairs a relay sees it used within a minute.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A connection that lasted less counts as a failed attempt.
const LASTED_MIN: Duration = Duration::from_secs(5);
/// 2^8 × 250 ms is above [`BACKOFF_MAX`].
const DOUBLINGS_MAX: u32 = 8;

/// Headers to send to one relay, such as the token of the internal relay.
pub(crate) type Headers = Vec<(HeaderName, HeaderValue)>;

/// Makes the pool's connections.
pub(crate) struct Dialer {
    /// Connections made so far.
    connected: watch::Sender<u64>,
    guard: Option<AddressGuard>,
    /// Told of each connection that ends, or cannot be made.
    acks: Acks,
    relays: Mutex<HashMap<Url, Arc<Mutex<Attempts>>>>,
    headers: Mutex<HashMap<Url, Headers>>,
}

#[derive(Default)]
struct Attempts {
    failures: u32,
    connected: Option<Stopwatch>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("guarded", &self.guard.is_some()).finish_non_exhaustive()
    }
}

impl Dialer {
    pub(crate) fn new(guard: Option<AddressGuard>, acks: Acks) -> Self {
        let connected = watch::Sender::new(0);
        Self { connected, guard, acks, relays: Mutex::default(), headers: Mutex::default() }
    }

    pub(crate) fn connected(&self) -> watch::Receiver<u64> {
        self.connected.subscribe()
    }

    pub(crate) fn set_headers(&self, url: Url, headers: Headers) {
        lock(&self.headers).insert(url, headers);
    }

    fn attempts(&self, url: &Url) -> Arc<Mutex<Attempts>> {
        Arc::clone(lock(&self.relays).entry(url.clone()).or_default())
    }

    async fn dial(&self, url: &Url) -> Result<NativeStream<MaybeTlsStream<TcpStream>>, DialError> {
        let mut request = url.as_str().into_client_request().map_err(DialError::WebSocket)?;
        if let Some(headers) = lock(&self.headers).get(url) {
            request.headers_mut().extend(headers.iter().cloned());
        }
        let stream = self.connect_tcp(url).await?;
        stream.set_nodelay(true).map_err(DialError::Io)?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            .read_buffer_size(READ_BUFFER_BYTES);
        let connected = tokio_tungstenite::client_async_tls_with_config(request, stream, Some(config), None);
        let (stream, _) = connected.await.map_err(DialError::WebSocket)?;
        Ok(stream)
    }

    async fn connect_tcp(&self, url: &Url) -> Result<TcpStream, DialError> {
        let host = url.host_str().ok_or(DialError::Url)?;
        // An IPv6 literal stands in brackets in a URL.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().ok_or(DialError::Url)?;
        let Some(guard) = &self.guard else {
            return TcpStream::connect((host, port)).await.map_err(DialError::Io);
        };
        let addresses: Vec<SocketAddr> = guard.resolve(host, port).await.map_err(DialError::Guard)?;
        TcpStream::connect(addresses.as_slice()).await.map_err(DialError::Io)
    }
}

impl WebSocketTransport for Dialer {
    fn support_ping(&self) -> bool {
        true
    }

    fn connect<'a>(
        &'a self,
        url: &'a Url,
        _proxy: Option<SocketAddr>,
    ) -> Pin<Box<dyn Future<Output = Result<(WebSocketSink, WebSocketStream), Error>> + Send + 'a>> {
        Box::pin(async move {
            let attempts = self.attempts(url);
            let (is_again, wait) = {
                let mut attempts = lock(&attempts);
                (attempts.connected.is_some(), attempts.next_wait())
            };
            let at_least = if is_again { AGAIN_MIN } else { Duration::ZERO };
            tokio::time::sleep(jittered(wait).max(at_least)).await;
            match self.dial(url).await {
                Ok(stream) => {
                    lock(&attempts).connected = Some(Stopwatch::start());
                    self.connected.send_modify(|made| *made += 1);
                    let (sink, stream) = stream.split();
                    let gone = Gone { acks: self.acks.clone(), relay: url.to_string() };
                    Ok((
                        Box::pin(TextSink(sink)) as WebSocketSink,
                        Box::pin(incoming(stream, gone)) as WebSocketStream,
                    ))
                }
                Err(e) => {
                    lock(&attempts).failures += 1;
                    self.acks.gone(url.as_str());
                    tracing::debug!(relay = %url.host_str().unwrap_or_default(), "relay cannot be reached: {e}");
                    Err(Error::transport(e))
                }
            }
        })
    }
}

impl Attempts {
    /// How long to wait before the next attempt, judged by how the last connection went.
    fn next_wait(&mut self) -> Duration {
        if let Some(connected) = self.connected.take() {
            self.failures = if connected.elapsed() >= LASTED_MIN { 0 } else { self.failures + 1 };
        }
        if self.failures == 0 {
            return Duration::ZERO;
        }
        (BACKOFF_FIRST * (1 << (self.failures - 1).min(DOUBLINGS_MAX))).min(BACKOFF_MAX)
    }
}

/// Between half of `wait` and all of it, so that clients of one relay do not return in step.
fn jittered(wait: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    wait / 2 + wait.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("the URL has no host or port")]
    Url,
    #[error("{0}")]
    Guard(#[source] guard::GuardError),
    #[error("{0}")]
    Io(#[source] std::io::Error),
    #[error("{0}")]
    WebSocket(#[source] tungstenite::Error),
}

type Incoming = futures_util::stream::SplitStream<NativeStream<MaybeTlsStream<TcpStream>>>;

fn incoming(stream: Incoming, gone: Gone) -> impl Stream<Item = Result<Message, Error>> + Send {
    stream.filter_map(move |message| {
        // The closure ends with the connection, and `gone` with it.
        let _kept = &gone;
        std::future::ready(match message {
            Ok(Native::Text(text)) => Some(Ok(Message::Text(text.to_string()))),
            Ok(Native::Ping(data)) => Some(Ok(Message::Ping(data.to_vec()))),
            Ok(Native::Pong(data)) => Some(Ok(Message::Pong(data.to_vec()))),
            Ok(Native::Close(_)) => Some(Ok(Message::Close(None))),
            // Nostr is text; raw frames are never read.
            Ok(Native::Binary(_) | Native::Frame(_)) => None,
            Err(e) => Some(Err(Error::transport(e))),
        })
    })
}

/// A connection; when it ends, nobody waits for its answers any longer.
struct Gone {
    acks: Acks,
    relay: String,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.acks.gone(&self.relay);
    }
}

struct TextSink(SplitSink<NativeStream<MaybeTlsStream<TcpStream>>, Native>);

impl Sink<Message> for TextSink {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready_unpin(cx).map_err(Error::transport)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.0.start_send_unpin(message.into()).map_err(Error::transport)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_flush_unpin(cx).map_err(Error::transport)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_close_unpin(cx).map_err(Error::transport)
    }
}

/// A poisoned lock guards plain data here; whoever panicked left it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let waits: Vec<_> =
            (0..10).map(|failures| Attempts { failures, connected: None }.next_wait().as_millis()).collect();
        assert_eq!(waits, [0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]);
    }

    #[test]
    fn short_connection_counts_as_a_failure() {
        let mut attempts = Attempts { failures: 0, connected: Some(Stopwatch::start()) };
        assert_eq!(attempts.next_wait(), BACKOFF_FIRST);
    }

    #[test]
    fn jitter_stays_within_half_and_whole() {
        for _ in 0..100 {
            let wait = jittered(Duration::from_secs(2));
            assert!((Duration::from_secs(1)..=Duration::from_secs(2)).contains(&wait), "{wait:?}");
        }
    }
}
