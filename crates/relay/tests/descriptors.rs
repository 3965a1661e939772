//! A relay without descriptors for a moment. Alone in its program: the limit is the whole process's.

use std::fs::File;
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use relay::{LocalRelayLimits, LocalRelayServer, Pool};
use tokio::net::TcpListener;

#[tokio::test]
async fn listener_outlives_a_moment_without_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = LocalRelayServer::new(LocalRelayLimits::default());
    let serving = tokio::spawn(async move { server.listen(listener).await });
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    let mut all = Vec::new();
    while let Ok(one) = File::open("/dev/null") {
        all.push(one);
    }
    // One for whoever connects, and none for whoever accepts.
    drop(all.pop());
    let waiting = TcpStream::connect(address).unwrap();
    assert!(File::open("/dev/null").is_err());
    let ended = tokio::time::timeout(Duration::from_millis(500), async {
        while !serving.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(ended.await.is_err(), "nobody is served any more");
    drop((all, waiting));
    let pool = Pool::connect([format!("ws://{address}")]).await.unwrap();
    assert!(pool.wait_connected(Duration::from_secs(10)).await);
}
