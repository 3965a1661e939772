//! The parent API's client and server over a real Unix socket.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::time::Duration;

use protocol::parent::backup::InstanceId;
use protocol::parent::{BackupHint, Call, Message, Outcome, Push};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport::{CallError, Listener, ParentClient, ParentHandler, Pusher, StreamAddress, connect, serve};

struct Host;

impl ParentHandler for Host {
    async fn handle(&self, call: Call) -> Outcome {
        match call {
            Call::GetIp => Outcome::Result(json!({"ip": "198.18.0.2"})),
            Call::GetMeta { attestation } if attestation == "lie" => Outcome::Result(json!({"releases": 7})),
            Call::GetMeta { .. } => Outcome::Error("no release files".into()),
            Call::HasBackup { .. } => Outcome::Result(json!({"has_backup": true, "generation": 3})),
            Call::Log { .. } => Outcome::Result(json!(null)),
        }
    }
}

async fn start() -> (tempfile::TempDir, StreamAddress, Pusher) {
    let dir = tempfile::tempdir().unwrap();
    let address = StreamAddress::Unix(dir.path().join("parent.sock"));
    let pusher = Pusher::default();
    let listener = Listener::bind(&address).await.unwrap();
    tokio::spawn(serve(listener, Arc::new(Host), pusher.clone()));
    (dir, address, pusher)
}

#[tokio::test]
async fn calls_are_answered_and_events_pushed() {
    let (_dir, address, pusher) = start().await;
    let (client, mut pushes) = ParentClient::connect(&address).await.unwrap();
    assert_eq!(client.get_ip().await.unwrap().ip.to_string(), "198.18.0.2");
    client.log("hello".into()).await.unwrap();
    let hint = client.has_backup(InstanceId([1; 16])).await.unwrap();
    assert_eq!(hint, BackupHint { has_backup: true, generation: Some(3) });
    assert!(
        matches!(client.get_meta(String::new()).await, Err(CallError::Refused(m)) if m == "no release files")
    );
    assert!(matches!(client.get_meta("lie".into()).await, Err(CallError::Malformed(_))));
    assert_eq!(pusher.push(Push::Shutdown { deadline_secs: 3 }), 1);
    let push = tokio::time::timeout(Duration::from_secs(5), pushes.recv()).await.unwrap();
    assert_eq!(push, Some(Push::Shutdown { deadline_secs: 3 }));
}

#[tokio::test]
async fn parent_that_goes_away_ends_the_call_and_not_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let address = StreamAddress::Unix(dir.path().join("parent.sock"));
    let listener = Listener::bind(&address).await.unwrap();
    tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap();
        let mut asked = [0; 4];
        stream.read_exact(&mut asked).await.unwrap();
        // A length that no frame may have: the client must give up, not allocate.
        stream.write_all(&[0xff; 4]).await.unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
        // The next time it says something that is understood.
        serve(listener, Arc::new(Host), Pusher::default()).await
    });
    let (client, _pushes) = ParentClient::connect(&address).await.unwrap();
    assert!(matches!(client.get_ip().await, Err(CallError::Gone)));
    assert_eq!(client.get_ip().await.unwrap().ip.to_string(), "198.18.0.2");
}

/// A parent that can be ended with every connection of it, as a process is.
struct Mortal {
    runtime: tokio::runtime::Runtime,
    pusher: Pusher,
}

impl Mortal {
    fn start(address: &StreamAddress) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (address, pusher) = (address.clone(), Pusher::default());
        let pushing = pusher.clone();
        runtime.spawn(async move {
            let listener = Listener::bind(&address).await.unwrap();
            serve(listener, Arc::new(Host), pushing).await
        });
        Self { runtime, pusher }
    }

    /// Returns once nothing of it is left, the socket's listener neither.
    async fn end(self) {
        let ending = move || self.runtime.shutdown_timeout(Duration::from_secs(20));
        tokio::task::spawn_blocking(ending).await.unwrap();
    }
}

async fn until<T>(mut done: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(value) = done().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap()
}

#[tokio::test]
async fn parent_that_restarts_is_found_again_and_heard() {
    let dir = tempfile::tempdir().unwrap();
    let address = StreamAddress::Unix(dir.path().join("parent.sock"));
    let mut parent = Mortal::start(&address);
    let (client, mut pushes) = until(async || ParentClient::connect(&address).await.ok()).await;
    for life in 1..=3 {
        until(async || client.log("a line".into()).await.ok()).await;
        parent.end().await;
        parent = Mortal::start(&address);
        until(async || client.log("a line".into()).await.ok()).await;
        assert_eq!(parent.pusher.connected(), 1, "{life}");
    }
    // Whoever only listens is heard of, too.
    drop(client);
    assert_eq!(parent.pusher.push(Push::Shutdown { deadline_secs: 3 }), 1);
    let push = tokio::time::timeout(Duration::from_secs(20), pushes.recv()).await.unwrap();
    assert_eq!(push, Some(Push::Shutdown { deadline_secs: 3 }));
    drop(pushes);
    until(async || (parent.pusher.connected() == 0).then_some(())).await;
    parent.end().await;
}

/// It says that this is the end, and goes, while we are about to tell it something.
#[tokio::test]
async fn last_word_of_the_parent_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("parent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let parent = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let push = Message::Push { event: Push::Shutdown { deadline_secs: 9 } };
        let text = serde_json::to_vec(&push).unwrap();
        let frame = [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_slice()].concat();
        std::io::Write::write_all(&mut stream, &frame).unwrap();
    });
    let (client, mut pushes) = ParentClient::connect(&StreamAddress::Unix(path)).await.unwrap();
    // On this thread alone: nothing was read yet when it has gone.
    parent.join().unwrap();
    drop(client.log("a line".into()).await.unwrap_err());
    let push = tokio::time::timeout(Duration::from_secs(20), pushes.recv()).await.unwrap();
    assert_eq!(push, Some(Push::Shutdown { deadline_secs: 9 }));
}

#[tokio::test]
async fn event_before_the_connection_is_told() {
    let (_dir, address, pusher) = start().await;
    assert_eq!(pusher.push(Push::Shutdown { deadline_secs: 7 }), 0);
    let (_client, mut pushes) = ParentClient::connect(&address).await.unwrap();
    let push = tokio::time::timeout(Duration::from_secs(20), pushes.recv()).await.unwrap();
    assert_eq!(push, Some(Push::Shutdown { deadline_secs: 7 }));
}

#[tokio::test]
async fn malformed_frame_ends_the_connection_and_the_server_lives() {
    let (_dir, address, _pusher) = start().await;
    let mut stream = connect(&address).await.unwrap();
    stream.write_all(b"\0\0\0\x02{}").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
    let (client, _pushes) = ParentClient::connect(&address).await.unwrap();
    client.get_ip().await.unwrap();
}

#[tokio::test]
async fn socket_is_private_and_a_stale_one_is_replaced() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let address = StreamAddress::Unix(path.clone());
    drop(Listener::bind(&address).await.unwrap());
    let again = Listener::bind(&address).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let taken = Listener::bind(&address).await.unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    drop(again);
}

#[tokio::test]
async fn what_is_no_socket_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("precious"), dir.path().join("link"));
    std::fs::write(&file, "precious").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        let refused = Listener::bind(&StreamAddress::Unix(path.clone())).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
        assert!(refused.to_string().contains("is no socket"), "{refused}");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "precious");
    }
}

#[tokio::test]
async fn hybrid_address_asks_the_monitor_for_the_port() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vm.sock");
    let monitor = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        for answer in ["OK 1073741824\nfirst", "no\n"] {
            let (mut stream, _) = monitor.accept().await.unwrap();
            let mut asked = [0; 13];
            stream.read_exact(&mut asked).await.unwrap();
            assert_eq!(&asked, b"CONNECT 5000\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let address = StreamAddress::Hybrid { path, port: 5000 };
    let mut stream = connect(&address).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "first");
    assert!(connect(&address).await.is_err());
}
