//! The store behind a real stream, with the engine that the enclave uses.

mod hostile;
mod keeping;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::backup::{DiskSecret, Engine, Source};
use protocol::parent::backup::Head;
use tokio::task::JoinHandle;
use transport::{BackupClient, Listener, StreamAddress, serve_backups};
use units::{ManualClock, UnixSecs};
use zeroize::Zeroizing;

use super::Backups;
use super::config::BackupConfig;

const NOW: UnixSecs = UnixSecs(1_700_000_000);
const ROOM: u64 = 1 << 40;

/// A parent's store in a folder of its own.
struct Store {
    dir: tempfile::TempDir,
    config: BackupConfig,
    clock: Arc<ManualClock>,
    backups: Option<Arc<Backups>>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

impl Store {
    async fn start(change: impl FnOnce(&mut BackupConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        let text =
            format!(r#"{{"listen":"unix:{}/sock","dir":{kept:?},"min_free_bytes":0}}"#, dir.path().display());
        let mut config = serde_json::from_str(&text).unwrap();
        change(&mut config);
        let clock = Arc::new(ManualClock::at(NOW));
        let mut store = Self { dir, config, clock, backups: None, serving: None };
        store.resume().await;
        store
    }

    async fn resume(&mut self) {
        let backups = Arc::new(Backups::open(&self.config, self.clock.clone()).await.unwrap());
        let listener = Listener::bind(&self.config.listen).await.unwrap();
        self.backups = Some(Arc::clone(&backups));
        self.serving = Some(tokio::spawn(serve_backups(listener, backups)));
    }

    /// Ends it, and whatever it was in the middle of.
    async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            drop(serving.await);
        }
        let backups = Arc::downgrade(&self.backups.take().unwrap());
        // Streams hold it until they notice that their other end is gone.
        until(|| backups.strong_count() == 0).await;
    }

    fn address(&self) -> &StreamAddress {
        &self.config.listen
    }

    async fn client(&self, engine: &Engine) -> BackupClient {
        BackupClient::connect(self.address(), engine.instance()).await.unwrap()
    }

    /// Snapshots and acknowledges.
    async fn back_up(&self, engine: &mut Engine, content: &[u8]) -> Head {
        let mut client = self.client(engine).await;
        let sources = vec![Source::bytes("a", content.to_vec()).unwrap()];
        let snapshot = engine.snapshot(&mut client, sources, NOW).await.unwrap();
        let head = snapshot.head();
        engine.acknowledge(&mut client, snapshot).await.unwrap();
        head
    }

    /// What is restored for `head`, or the code of the refusal.
    async fn restored(&self, secret: u8, head: Head) -> Result<Vec<u8>, &'static str> {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = engine(secret);
        let mut client = self.client(&engine).await;
        match engine.restore(&mut client, head, &dir.path().join("r"), ROOM, |_| {}).await {
            Ok(_) => Ok(std::fs::read(dir.path().join("r/a")).unwrap()),
            Err(e) => Err(e.code()),
        }
    }

    fn folder(&self, engine: &Engine) -> PathBuf {
        self.dir.path().join("kept").join(engine.instance().to_string())
    }

    fn objects(&self, engine: &Engine) -> Vec<String> {
        names(&self.folder(engine).join("objects"))
    }

    fn generations(&self, engine: &Engine) -> Vec<String> {
        names(&self.folder(engine).join("generations"))
    }
}

fn engine(secret: u8) -> Engine {
    Engine::new(&DiskSecret::new(Zeroizing::new([secret; 32]))).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn until(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it does not happen");
}
