//! One snapshot or restore in a process of its own, whose memory is measured.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backup::{DiskSecret, Engine, Source};
use protocol::parent::backup::Head;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use transport::{BackupClient, StreamAddress};
use units::{Clock, Stopwatch, SystemClock};
use zeroize::Zeroizing;

use super::data;

/// What the process does.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Job {
    pub(super) task: Task,
    pub(super) secret: u8,
    pub(super) address: StreamAddress,
    pub(super) files: PathBuf,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Task {
    Snapshot,
    Delta { head: Head },
    Restore { head: Head, into: PathBuf },
}

/// What came of it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Done {
    secs: f64,
    pub(super) rss_mib: f64,
    pub(super) sent_bytes: f64,
    pub(super) head: Head,
}

impl Done {
    pub(super) fn took(&self) -> Duration {
        Duration::from_secs_f64(self.secs)
    }
}

impl FromStr for Job {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl Job {
    /// Starts this program again to do it.
    pub(super) async fn spawn(&self) -> Result<Done> {
        let output = Command::new(std::env::current_exe()?)
            .arg("--backup-job")
            .arg(serde_json::to_string(self)?)
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await?;
        ensure!(output.status.success(), "{:?} failed", self.task);
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    #[expect(clippy::print_stdout, reason = "whoever started this process reads it")]
    pub(super) async fn run(self) -> Result<ExitCode> {
        let secret = DiskSecret::new(Zeroizing::new([self.secret; 32]));
        let took = Stopwatch::start();
        let mut engine = Engine::new(&secret)?;
        let mut client = BackupClient::connect(&self.address, engine.instance()).await?;
        let mut sent_bytes: u32 = 0;
        let head = match self.task {
            Task::Restore { head, ref into } => {
                engine.restore(&mut client, head, into, u64::MAX, |_| {}).await?;
                head
            }
            Task::Snapshot | Task::Delta { .. } => {
                if let Task::Delta { head } = self.task {
                    engine.adopt(&mut client, head).await?;
                }
                let sources = data::names().map(|name| Source::file(name, self.files.join(name)));
                let sources = sources.collect::<Result<Vec<_>, _>>()?;
                let snapshot = engine.snapshot(&mut client, sources, SystemClock.now()).await?;
                sent_bytes = u32::try_from(snapshot.stats().sent_bytes)?;
                let head = snapshot.head();
                engine.acknowledge(&mut client, snapshot).await?;
                head
            }
        };
        let secs = took.elapsed().as_secs_f64();
        let done = Done { secs, rss_mib: peak_rss_mib()?, sent_bytes: sent_bytes.into(), head };
        println!("{}", serde_json::to_string(&done)?);
        Ok(ExitCode::SUCCESS)
    }
}

fn peak_rss_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u32 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(f64::from(kib) / 1024.0)
}

#[cfg(test)]
mod tests {
    use protocol::parent::backup::ObjectId;

    use super::*;

    #[test]
    fn jobs_survive_the_command_line() {
        let head = Head { generation: 1, manifest: ObjectId([1; 32]) };
        let task = Task::Restore { head, into: "/x".into() };
        let job = Job { task, secret: 1, address: "unix:/s".parse().unwrap(), files: "/f".into() };
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::to_string(&text.parse::<Job>().unwrap()).unwrap(), text);
    }
}
