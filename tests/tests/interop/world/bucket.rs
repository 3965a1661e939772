//! The parent's bucket against an S3 server from npm: snapshots, restores, retention, a restart, and
//! keys that are wrong.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backup::{DiskSecret, Engine, Source};
use devnet::helper::HelperBinary;
use protocol::parent::backup::Head;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use transport::{BackupClient, StreamAddress};
use units::{Stopwatch, UnixSecs};
use zeroize::Zeroizing;

use crate::npm;

const WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const NOW: UnixSecs = UnixSecs(1_700_000_000);
const BUCKET: &str = "backups";
/// The server's only account.
const ACCOUNT: &str = "S3RVER";

#[tokio::test(flavor = "multi_thread")]
async fn bucket_keeps_backups() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_server, port) = start_server(dir.path()).await?;
    let mut parent = start_parent(dir.path(), port, ACCOUNT).await?;
    let mut engine = Engine::new(&DiskSecret::new(Zeroizing::new([1; 32])))?;
    let mut heads = Vec::new();
    for seed in 0..4u8 {
        heads.push(back_up(dir.path(), &mut engine, &content(seed)).await?);
    }
    // Two are kept: a restored generation before them is gone, with what only it needed.
    let gone = restore(dir.path(), heads[1]).await.map(drop).map_err(|e| e.code());
    ensure!(gone == Err("no_such_object"), "{gone:?}");
    parent.kill().await?;
    parent = start_parent(dir.path(), port, ACCOUNT).await?;
    for (head, seed) in heads.iter().zip(0..).skip(2) {
        ensure!(restore(dir.path(), *head).await? == content(seed), "generation {}", head.generation);
    }
    let mut client = connect(dir.path(), &engine).await?;
    let kept: Vec<_> = client.list().await?.iter().map(|one| one.head).collect();
    ensure!(kept == heads[2..], "{kept:?}");
    parent.kill().await?;
    let refused = start_parent(dir.path(), port, "STRANGER").await;
    ensure!(refused.is_err(), "a parent with wrong keys started");
    Ok(())
}

/// Two chunks that are the same in all generations, and one that is not.
fn content(seed: u8) -> Vec<u8> {
    (0..2_500_000u32).map(|i| if i >> 21 == 0 { i.to_le_bytes()[2] } else { seed }).collect()
}

fn socket(dir: &Path) -> StreamAddress {
    StreamAddress::Unix(dir.join("backup.sock"))
}

async fn connect(dir: &Path, engine: &Engine) -> Result<BackupClient> {
    Ok(BackupClient::connect(&socket(dir), engine.instance()).await?)
}

async fn back_up(dir: &Path, engine: &mut Engine, content: &[u8]) -> Result<Head> {
    let mut client = connect(dir, engine).await?;
    let sources = vec![Source::bytes("a", content.to_vec())?];
    let snapshot = engine.snapshot(&mut client, sources, NOW).await?;
    let head = snapshot.head();
    engine.acknowledge(&mut client, snapshot).await?;
    Ok(head)
}

async fn restore(dir: &Path, head: Head) -> Result<Vec<u8>, backup::RestoreError> {
    let into = tempfile::tempdir().map_err(backup::RestoreError::Open)?;
    let into = into.path().join("r");
    let secret = DiskSecret::new(Zeroizing::new([1; 32]));
    let mut engine = Engine::new(&secret).map_err(|_| backup::RestoreError::Worker)?;
    let mut client = BackupClient::connect(&socket(dir), engine.instance()).await?;
    engine.restore(&mut client, head, &into, u64::MAX, |_| {}).await?;
    std::fs::read(into.join("a")).map_err(backup::RestoreError::Open)
}

async fn start_server(dir: &Path) -> Result<(Child, u16)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let server = Command::new("node")
        .arg(npm::installed()?.join("node_modules/s3rver/bin/s3rver.js"))
        .args(["--silent", "--address", "127.0.0.1", "--configure-bucket", BUCKET])
        .arg("--port")
        .arg(port.to_string())
        .arg("--directory")
        .arg(dir.join("s3"))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start node: run scripts/install")?;
    let since = Stopwatch::start();
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        ensure!(since.elapsed() < WAIT, "the S3 server does not start");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok((server, port))
}

async fn start_parent(dir: &Path, port: u16, account: &str) -> Result<Child> {
    let config = json!({
        "listen": StreamAddress::Unix(dir.join("parent.sock")),
        "instance_dir": dir,
        "ip": "127.0.0.1",
        "backup": {
            "listen": socket(dir),
            "bucket": {
                "endpoint": format!("http://127.0.0.1:{port}"),
                "name": BUCKET,
                "access_key_id": "env:TEST_KEY_ID",
                "secret_access_key": "env:TEST_KEY",
            },
            "keep_count": 2,
            "keep_days": 0,
        },
    });
    let path = dir.join("parent.json");
    std::fs::write(&path, config.to_string())?;
    match std::fs::remove_file(dir.join("backup.sock")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
        Ok(()) | Err(_) => {}
    }
    let mut parent = Command::new(HelperBinary::find()?.path().with_file_name("enclaved-parent"))
        .arg("--config")
        .arg(path)
        .env("TEST_KEY_ID", account)
        .env("TEST_KEY", account)
        .kill_on_drop(true)
        .spawn()
        .context("enclaved-parent: run scripts/build")?;
    let since = Stopwatch::start();
    while !dir.join("backup.sock").exists() {
        ensure!(parent.try_wait()?.is_none(), "enclaved-parent ended");
        ensure!(since.elapsed() < WAIT, "enclaved-parent does not start");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(parent)
}
