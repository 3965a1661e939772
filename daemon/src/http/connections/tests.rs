use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::Extension;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use units::Stopwatch;

use super::*;

const SOON: Duration = Duration::from_secs(10);

struct Door {
    connections: Arc<Connections>,
    address: SocketAddr,
}

impl Door {
    fn open(limits: Limits, proxies: Vec<IpAddr>) -> Self {
        let connections = Connections::new(limits, proxies);
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let slow = async || {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "done"
        };
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/slow", get(slow))
            .route("/flood", get(async || Body::from_stream(flood())))
            .route(
                "/stream",
                get(async |Extension(via): Extension<Via>| Body::from_stream(until_closing(via))),
            );
        tokio::spawn(Arc::clone(&connections).serve(listener, router));
        Self { connections, address }
    }

    async fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        drop(stream.write_all(request.as_bytes()).await);
        stream
    }

    fn free(&self) -> usize {
        self.connections.places.available_permits()
    }

    /// Waits until so many places are free.
    async fn wait_free(&self, count: usize) {
        let took = Stopwatch::start();
        while self.free() != count {
            assert!(took.elapsed() < SOON, "{} places are free, not {count}", self.free());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn flood() -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    futures_util::stream::repeat_with(|| Ok(Bytes::from_static(&[b'x'; 64 * 1024])))
}

/// A first word, and a last one once the connection is to end.
fn until_closing(via: Via) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    futures_util::stream::unfold((0, via), |(step, mut via)| async move {
        let text = match step {
            0 => "first",
            1 => {
                via.closing.wait_for(|closes| *closes).await.unwrap();
                "last"
            }
            _ => return None,
        };
        Some((Ok(Bytes::from_static(text.as_bytes())), (step + 1, via)))
    })
}

async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    drop(tokio::time::timeout(SOON, stream.read_to_end(&mut text)).await.expect("it is not closed"));
    String::from_utf8_lossy(&text).into_owned()
}

async fn first(stream: &mut TcpStream) -> String {
    let mut text = vec![0; 4_096];
    let length = tokio::time::timeout(SOON, stream.read(&mut text)).await.expect("no answer").unwrap();
    String::from_utf8_lossy(&text[..length]).into_owned()
}

#[tokio::test]
async fn address_that_holds_its_places_stops_nobody_else() {
    let door = Door::open(Limits { all: 4, per_address: 2, ..Limits::default() }, Vec::new());
    let held = [door.ask("/stream").await, door.ask("/stream").await];
    door.wait_free(2).await;
    assert_eq!(rest(door.ask("/").await).await, "", "a third of one address");
    // Another address of this machine.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(door.address).await.unwrap();
    other.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(first(&mut other).await.ends_with("here"));
    drop((held, other));
    door.wait_free(4).await;
    assert!(first(&mut door.ask("/").await).await.ends_with("here"), "places come back");
    assert_eq!(door.connections.lock().len(), 1);
}

#[tokio::test]
async fn proxy_is_not_counted_as_one_client() {
    let proxy = "127.0.0.1".parse().unwrap();
    let door = Door::open(Limits { all: 4, per_address: 1, ..Limits::default() }, vec![proxy]);
    let _held = [door.ask("/stream").await, door.ask("/stream").await, door.ask("/stream").await];
    door.wait_free(1).await;
    assert!(first(&mut door.ask("/").await).await.ends_with("here"));
}

#[test]
fn client_is_who_the_proxy_names_and_not_who_the_client_does() {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let proxies = vec![address("127.0.0.1"), address("10.0.0.7")];
    let connections = Connections::new(Limits::default(), proxies);
    let counted = |from: &str, lines: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, axum::http::HeaderValue::from_bytes(line).unwrap());
        }
        connections.counted_client(address(from), &headers).map(|client| client.to_string())
    };
    type Case = (&'static str, &'static [&'static [u8]], Option<&'static str>);
    let cases: [Case; 10] = [
        ("127.0.0.1", &[b"192.0.2.1"], Some("192.0.2.1")),
        ("127.0.0.1", &[b"198.51.100.9, 192.0.2.1"], Some("192.0.2.1")),
        ("127.0.0.1", &[b"198.51.100.9", b"192.0.2.1"], Some("192.0.2.1")),
        ("127.0.0.1", &[b"\xff", b"192.0.2.1"], Some("192.0.2.1")),
        ("127.0.0.1", &[b"\xff, 192.0.2.1:4711"], Some("192.0.2.1")),
        ("127.0.0.1", &[b"192.0.2.1, 10.0.0.7"], Some("192.0.2.1")),
        ("::ffff:127.0.0.1", &[b"[2001:db8:1:2:3::4]:80"], Some("2001:db8:1:2::")),
        ("127.0.0.1", &[b"192.0.2.1, unknown"], None),
        ("127.0.0.1", &[], None),
        // Who is no proxy is believed nothing.
        ("192.0.2.8", &[b"192.0.2.1"], Some("192.0.2.8")),
    ];
    for (from, lines, expected) in cases {
        assert_eq!(counted(from, lines).as_deref(), expected, "{from} {lines:?}");
    }
}

#[tokio::test]
async fn reader_that_does_not_read_loses_its_place() {
    let door = Door::open(Limits { write_wait: Duration::from_millis(200), ..Limits::default() }, Vec::new());
    let all = door.free();
    let mut reads = door.ask("/flood").await;
    let sits = door.ask("/flood").await;
    door.wait_free(all - 2).await;
    let (took, mut buffer) = (Stopwatch::start(), vec![0; 64 * 1024]);
    while door.free() != all - 1 {
        assert!(took.elapsed() < SOON, "it keeps its place");
        assert!(reads.read(&mut buffer).await.unwrap() > 0, "who reads is cut off");
    }
    drop(sits);
    assert!(reads.read(&mut buffer).await.unwrap() > 0, "who reads is cut off");
}

#[tokio::test]
async fn connection_has_an_age_and_its_stream_a_last_word() {
    let door = Door::open(Limits { age: Duration::from_millis(200), ..Limits::default() }, Vec::new());
    let text = rest(door.ask("/stream").await).await;
    assert!(text.contains("first") && text.contains("last") && text.ends_with("0\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn end_lets_what_is_under_way_finish_and_takes_nothing_more() {
    let door = Door::open(Limits { end_wait: Duration::from_millis(700), ..Limits::default() }, Vec::new());
    let all = door.free();
    let idle = TcpStream::connect(door.address).await.unwrap();
    let (slow, stream) = (door.ask("/slow").await, door.ask("/stream").await);
    let stuck = door.ask("/flood").await;
    door.wait_free(all - 4).await;
    let took = Stopwatch::start();
    door.connections.end();
    assert!(rest(slow).await.ends_with("done"));
    assert!(rest(stream).await.contains("last"));
    assert_eq!(rest(idle).await, "");
    tokio::time::timeout(SOON, door.connections.drain()).await.expect("it does not end");
    assert!(took.elapsed() < Duration::from_secs(3), "{:?}", took.elapsed());
    drop(stuck);
    assert!(TcpStream::connect(door.address).await.is_err(), "it still listens");
}

#[test]
fn network_of_version_six_counts_as_one_address() {
    let of = |text: &str| origin(text.parse().unwrap()).to_string();
    assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
    assert_eq!(of("192.0.2.7"), "192.0.2.7");
}
