//! The real parent.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::process::{Child, Command};
use transport::StreamAddress;
use units::Stopwatch;

const START_WAIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(super) struct Parent {
    child: Child,
    address: StreamAddress,
}

impl Parent {
    pub(super) async fn start(dir: &Path) -> Result<Self> {
        let (kept, instance) = (dir.join("kept"), dir.join("instance"));
        std::fs::create_dir(&kept)?;
        std::fs::create_dir(&instance)?;
        let socket = dir.join("backup.sock");
        let address = StreamAddress::Unix(socket.clone());
        let config = json!({
            "listen": StreamAddress::Unix(dir.join("parent.sock")),
            "instance_dir": instance,
            "ip": "127.0.0.1",
            "backup": {"listen": address, "dir": kept, "min_free_bytes": 0},
        });
        let path = dir.join("parent.json");
        std::fs::write(&path, config.to_string())?;
        let program = std::env::current_exe()?.with_file_name("enclaved-parent");
        let child = Command::new(&program)
            .arg("--config")
            .arg(path)
            .env("RUST_LOG", "error")
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{}: run scripts/build --release", program.display()))?;
        let since = Stopwatch::start();
        while !socket.exists() {
            ensure!(since.elapsed() < START_WAIT, "enclaved-parent does not start");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(Self { child, address })
    }

    pub(super) fn address(&self) -> StreamAddress {
        self.address.clone()
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
