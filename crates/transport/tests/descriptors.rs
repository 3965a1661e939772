//! A process without descriptors for a moment. Alone in its program: the limit is the whole process's.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use protocol::parent::{Call, Outcome};
use serde_json::json;
use transport::{Listener, ParentClient, ParentHandler, Pusher, StreamAddress, serve};

struct Host;

impl ParentHandler for Host {
    async fn handle(&self, _: Call) -> Outcome {
        Outcome::Result(json!({"ip": "198.18.0.2"}))
    }
}

#[tokio::test]
async fn listener_outlives_a_moment_without_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("parent.sock");
    let address = StreamAddress::Unix(path.clone());
    let listener = Listener::bind(&address).await.unwrap();
    let serving = tokio::spawn(serve(listener, Arc::new(Host), Pusher::default()));
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    let mut all = Vec::new();
    while let Ok(one) = File::open("/dev/null") {
        all.push(one);
    }
    // One for whoever connects, and none for whoever accepts.
    drop(all.pop());
    let waiting = UnixStream::connect(&path).unwrap();
    assert_eq!(File::open("/dev/null").unwrap_err().raw_os_error(), Some(nix::libc::EMFILE));
    let ended = tokio::time::timeout(Duration::from_millis(500), async {
        while !serving.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(ended.await.is_err(), "nobody is served any more");
    drop((all, waiting));
    let (client, _pushes) = ParentClient::connect(&address).await.unwrap();
    assert_eq!(client.get_ip().await.unwrap().ip.to_string(), "198.18.0.2");
}
