//! A host that tries the server by the stream itself: it never answers, trickles, or never ends. What runs goes
//! on, what starts ends with the reason, and the store behind it stays as good as it was.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use devnet::world::{SealingOptions, World};
use futures_util::future::BoxFuture;
use protocol::parent::backup::{FRAME_BYTES_MAX, Reply, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use transport::{Listener, Stream, StreamAddress, read_frame, write_frame};

use super::REFUSED_WAIT;
use super::stores::snapshots_pass;
use crate::in_world::{calm, in_world};
use crate::stranger::{SOON, Stranger, get, put};

/// Short, so that a stall is told soon.
const STALL_SECS: u64 = 2;
/// More than any answer may be.
const FLOOD: [u8; 4096] = [0; 4096];

/// What the host does once a request has come, the code that names it, and how it is done.
type Trick = (&'static str, &'static str, fn(Stream) -> BoxFuture<'static, ()>);

const TRICKS: [Trick; 4] = [
    ("never answers", "backup_stalled", |stream| Box::pin(be_silent(stream))),
    ("sends a byte now and then", "backup_stalled", |stream| Box::pin(trickle(stream))),
    ("announces more than an object can be", "backup_too_long", |stream| Box::pin(flood(stream, u32::MAX))),
    ("sends more than it announced, without an end", "backup_manifest_mismatch", |stream| {
        Box::pin(flood(stream, 4096))
    }),
];

/// A host in the place of the parent's store, which goes on behind it and hears nothing.
struct Impostor {
    task: JoinHandle<()>,
    socket: PathBuf,
    real: PathBuf,
}

impl Impostor {
    async fn take_the_place(world: &World, then: fn(Stream) -> BoxFuture<'static, ()>) -> Result<Self> {
        let socket = world.backup_socket();
        let real = socket.with_extension("real");
        std::fs::rename(&socket, &real)?;
        let listener = Listener::bind(&StreamAddress::Unix(socket.clone())).await?;
        let task = tokio::spawn(async move {
            while let Ok(stream) = listener.accept().await {
                tokio::spawn(answer(stream, then));
            }
        });
        Ok(Self { task, socket, real })
    }

    async fn leave(self) -> Result<()> {
        self.task.abort();
        drop(self.task.await);
        Ok(std::fs::rename(self.real, self.socket)?)
    }
}

async fn answer(mut stream: Stream, then: fn(Stream) -> BoxFuture<'static, ()>) {
    let opened = read_frame::<Request>(&mut stream, FRAME_BYTES_MAX).await;
    if !matches!(opened, Ok(Request::Open { .. }))
        || write_frame(&mut stream, &Reply::Opened {}, FRAME_BYTES_MAX).await.is_err()
        || read_frame::<Request>(&mut stream, FRAME_BYTES_MAX).await.is_err()
    {
        return;
    }
    then(stream).await;
}

async fn be_silent(mut stream: Stream) {
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest).await, Ok(1..)) {}
}

async fn trickle(mut stream: Stream) {
    drop(write_frame(&mut stream, &Reply::Object { bytes: 4096 }, FRAME_BYTES_MAX).await);
    while stream.write_all(&[0]).await.is_ok() {
        tokio::time::sleep(Duration::from_secs(STALL_SECS) / 20).await;
    }
}

async fn flood(mut stream: Stream, bytes: u32) {
    drop(write_frame(&mut stream, &Reply::Object { bytes }, FRAME_BYTES_MAX).await);
    while stream.write_all(&FLOOD).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn host_that_stalls_or_never_ends_is_given_up_and_harms_nothing() -> Result<()> {
    let sealing = SealingOptions { interval_secs: 1, stall_secs: STALL_SECS, ..SealingOptions::default() };
    in_world(calm()?.sealed(sealing), async |world| {
        let (owner, pubkey, url) = Stranger::keeper(world, 100).await?;
        assert_eq!(put(&format!("{url}/note"), "kept").await?, 200);
        snapshots_pass(world).await?;

        // While it runs: it says so, serves on, and the next snapshot counts once it can be sent.
        let impostor = Impostor::take_the_place(world, |stream| Box::pin(be_silent(stream))).await?;
        world.wait_for_line("backup_stalled", SOON).await?;
        assert_eq!(put(&format!("{url}/note"), "kept, too").await?, 200);
        impostor.leave().await?;
        snapshots_pass(world).await?;
        world.lose_enclave().await?;

        for (what, code, then) in TRICKS {
            let impostor = Impostor::take_the_place(world, then).await?;
            world.spawn_daemon()?;
            let status = world.wait_for_end(REFUSED_WAIT).await?;
            let log = world.daemon_log()?;
            let last = log.lines().rfind(|line| line.contains("ERROR")).unwrap_or_default();
            println!("{what}: {last}");
            ensure!(!status.success() && last.contains(code), "a host that {what}: {code} is wanted: {last}");
            ensure!(
                !world.state_dir().join("data").exists(),
                "a host that {what}: something was put in place"
            );
            impostor.leave().await?;
        }

        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        owner.wait_for(&pubkey, "deployed").await?;
        assert_eq!(get(&format!("{url}/note")).await?, (200, "kept, too".to_owned()));
        Ok(())
    })
    .await
}
