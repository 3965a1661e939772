//! What a parent may try with the stream itself.

use std::time::Duration;

use backup::Source;
use protocol::parent::backup::{FRAME_BYTES_MAX, Head, InstanceId, ObjectId, Reply, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport::{BackupClient, Listener, Stream, StreamAddress, read_frame, write_frame};
use units::Stopwatch;

use crate::{NOW, ROOM, engine, noise};

/// Short, so that a stall is told soon.
const WAIT: Duration = Duration::from_millis(300);
const HEAD: Head = Head { generation: 1, manifest: ObjectId([5; 32]) };

/// A parent that opens the stream, takes one request, and then does what `then` does.
async fn parent<F: Future<Output = ()> + Send + 'static>(
    then: fn(Stream) -> F,
) -> (tempfile::TempDir, BackupClient) {
    let dir = tempfile::tempdir().unwrap();
    let address = StreamAddress::Unix(dir.path().join("backup.sock"));
    let listener = Listener::bind(&address).await.unwrap();
    tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap();
        let opened: Request = read_frame(&mut stream, FRAME_BYTES_MAX).await.unwrap();
        assert!(matches!(opened, Request::Open { version: 1, .. }));
        write_frame(&mut stream, &Reply::Opened {}, FRAME_BYTES_MAX).await.unwrap();
        let _: Request = read_frame(&mut stream, FRAME_BYTES_MAX).await.unwrap();
        then(stream).await;
    });
    let client = BackupClient::connect_with(&address, InstanceId([1; 16]), WAIT).await.unwrap();
    (dir, client)
}

async fn reply(stream: &mut Stream, reply: Reply) {
    write_frame(stream, &reply, FRAME_BYTES_MAX).await.unwrap();
}

/// Keeps the stream open without a word until the other end goes.
async fn be_silent(mut stream: Stream) {
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest).await);
}

async fn check<F: Future<Output = ()> + Send + 'static>(then: fn(Stream) -> F, code: &str) {
    let (_socket, mut client) = parent(then).await;
    let dir = tempfile::tempdir().unwrap();
    let took = Stopwatch::start();
    let done = engine(1).restore(&mut client, HEAD, &dir.path().join("r"), ROOM, |_| {}).await;
    assert_eq!(done.unwrap_err().code(), code);
    assert!(took.elapsed() < Duration::from_secs(20), "{code}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // Nothing more is taken from such a stream.
    let done = engine(1).restore(&mut client, HEAD, &dir.path().join("r"), ROOM, |_| {}).await;
    assert!(done.is_err());
}

#[tokio::test]
async fn endless_streams_are_refused() {
    check(
        |mut stream| async move {
            reply(&mut stream, Reply::Object { bytes: u32::MAX }).await;
            while stream.write_all(&[0; 4096]).await.is_ok() {}
        },
        "backup_too_long",
    )
    .await;
    check(
        |mut stream| async move {
            drop(stream.write_all(&[0xff; 4]).await);
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
        },
        "backup_too_long",
    )
    .await;
    // As many bytes as are allowed, and then more: what follows is no answer to anything.
    check(
        |mut stream| async move {
            reply(&mut stream, Reply::Object { bytes: 100 }).await;
            while stream.write_all(&[0; 4096]).await.is_ok() {}
        },
        "backup_manifest_mismatch",
    )
    .await;
}

#[tokio::test]
async fn stalled_streams_are_given_up() {
    check(be_silent, "backup_stalled").await;
    check(
        |mut stream| async move {
            reply(&mut stream, Reply::Object { bytes: 1000 }).await;
            drop(stream.write_all(&[0; 999]).await);
            be_silent(stream).await;
        },
        "backup_stalled",
    )
    .await;
    // A byte now and then is not progress.
    check(
        |mut stream| async move {
            reply(&mut stream, Reply::Object { bytes: 1000 }).await;
            while stream.write_all(&[0]).await.is_ok() {
                tokio::time::sleep(WAIT / 10).await;
            }
        },
        "backup_stalled",
    )
    .await;
    check(
        |mut stream| async move {
            drop(stream.write_all(&[0, 0]).await);
            be_silent(stream).await;
        },
        "backup_stalled",
    )
    .await;
}

#[tokio::test]
async fn broken_and_wrong_answers_are_refused() {
    check(|stream| async move { drop(stream) }, "backup_stream_broke").await;
    check(
        |mut stream| async move {
            reply(&mut stream, Reply::Object { bytes: 1000 }).await;
            drop(stream.write_all(&[0; 10]).await);
        },
        "backup_stream_broke",
    )
    .await;
    check(
        |mut stream| async move {
            reply(&mut stream, Reply::Committed {}).await;
            be_silent(stream).await;
        },
        "backup_malformed_reply",
    )
    .await;
    check(
        |mut stream| async move {
            drop(stream.write_all(b"\0\0\0\x02{}").await);
            be_silent(stream).await;
        },
        "backup_malformed_reply",
    )
    .await;
}

#[tokio::test]
async fn parent_that_takes_nothing_stalls_the_snapshot() {
    let (_socket, mut client) = parent(be_silent_unread).await;
    let sources = vec![Source::bytes("a", noise(1, 8 << 20)).unwrap()];
    let error = engine(1).snapshot(&mut client, sources, NOW).await.unwrap_err();
    assert_eq!(error.code(), "backup_stalled");
}

/// Holds the stream without reading it.
async fn be_silent_unread(stream: Stream) {
    tokio::time::sleep(Duration::from_secs(60)).await;
    drop(stream);
}

#[tokio::test]
async fn parent_that_is_not_there_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let address = StreamAddress::Unix(dir.path().join("none.sock"));
    let error = BackupClient::connect(&address, InstanceId([1; 16])).await.unwrap_err();
    assert_eq!(error.code(), "backup_unreachable");
}
