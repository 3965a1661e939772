//! Snapshots and restores of 1 GiB against `tar | zstd | age` on the same files, and against
//! `rclone rcat` behind it. Both ends of ours run: the engine in a process of its own, and the real
//! `enclaved-parent`, which checks, syncs and renames every object. The peers' output is synced, too.

mod data;
mod job;
mod parent;
mod peer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use units::Stopwatch;

pub(crate) use self::job::Job;
use self::job::{Done, Task};
use self::parent::Parent;
use crate::samples::Samples;
use crate::summary::Figure;

const RUNS: usize = 3;
const PAUSE_RUNS: usize = 10;
const PAUSE_MIB: usize = 100;
/// What the issue allows.
const RSS_AIM_MIB: f64 = 64.0;
const DELTA_AIM: f64 = 0.05;

/// Does what a process of a benchmark is told.
pub(crate) async fn run_job(job: Job) -> Result<ExitCode> {
    job.run().await
}

pub(crate) async fn measure() -> Result<Vec<(&'static str, Figure)>> {
    let dir = tempfile::tempdir()?;
    let files = dir.path().join("files");
    data::make(&files)?;
    peer::make_key(&dir.path().join("key"))?;
    let parent = Parent::start(dir.path()).await?;
    let mut rounds = Rounds::default();
    for round in 0..RUNS {
        rounds.once(dir.path(), &files, &parent, u8::try_from(round)?).await?;
    }
    let mut figures = rounds.figures()?;
    figures.push(delta(&files, &parent).await?);
    figures.push(pause(dir.path())?);
    parent.stop().await?;
    Ok(figures)
}

#[derive(Default)]
struct Rounds {
    snapshot: Samples,
    restore: Samples,
    peer_snapshot: Samples,
    peer_restore: Samples,
    rclone: Samples,
    rss_mib: f64,
}

impl Rounds {
    /// Ours and the peers take turns, so that whatever else the machine does hits both.
    async fn once(&mut self, dir: &Path, files: &Path, parent: &Parent, round: u8) -> Result<()> {
        let job = |task| Job { task, secret: round + 1, address: parent.address(), files: files.to_owned() };
        let (key, sealed, restored) = (dir.join("key"), dir.join("peer.age"), dir.join("restored"));
        self.peer_snapshot.add(peer::snapshot(files, &key, &sealed)?);
        let done = job(Task::Snapshot).spawn().await?;
        self.note(&done);
        self.snapshot.add(done.took());
        if let Some(took) = peer::rclone(files, &key, &dir.join("rclone.age"))? {
            self.rclone.add(took);
        }
        self.peer_restore.add(peer::restore(&sealed, &key, &restored)?);
        data::same(files, &restored)?;
        std::fs::remove_dir_all(&restored)?;
        let restored = dir.join("restored-ours");
        let done = job(Task::Restore { head: done.head, into: restored.clone() }).spawn().await?;
        self.note(&done);
        self.restore.add(done.took());
        data::same(files, &restored)?;
        std::fs::remove_dir_all(&restored)?;
        Ok(())
    }

    fn note(&mut self, done: &Done) {
        self.rss_mib = self.rss_mib.max(done.rss_mib);
    }

    fn figures(&self) -> Result<Vec<(&'static str, Figure)>> {
        let mib_per_sec = |samples: &Samples| data::MIB * 1_000.0 / samples.median_ms();
        let ratio = |ours: &Samples, peer: &Samples, name: &str| {
            Figure::ratio("MiB/s, median", mib_per_sec(ours), mib_per_sec(peer), name, RUNS)
        };
        let mut figures = vec![
            ("backup.snapshot_vs_pipeline", ratio(&self.snapshot, &self.peer_snapshot, "tar | zstd | age")),
            (
                "backup.restore_vs_pipeline",
                ratio(&self.restore, &self.peer_restore, "age -d | zstd -d | tar -x"),
            ),
            (
                "backup.peak_rss_mib",
                plain(self.rss_mib, "MiB", RSS_AIM_MIB, "the most that is allowed", RUNS),
            ),
        ];
        if self.rclone.len() > 0 {
            let name = "tar | zstd | age | rclone rcat";
            figures.push(("backup.snapshot_vs_rclone", ratio(&self.snapshot, &self.rclone, name)));
        }
        Ok(figures)
    }
}

fn plain(ours: f64, unit: &str, peer: f64, peer_name: &str, runs: usize) -> Figure {
    Figure { value: ours, unit: unit.to_owned(), ours, peer, peer_name: peer_name.to_owned(), runs }
}

/// What is sent when 1 % of the bytes changed in runs of 1 MiB, of what was sent at first.
async fn delta(files: &Path, parent: &Parent) -> Result<(&'static str, Figure)> {
    let job = |task| Job { task, secret: 100, address: parent.address(), files: files.to_owned() };
    let first = job(Task::Snapshot).spawn().await?;
    data::change(files)?;
    let second = job(Task::Delta { head: first.head }).spawn().await?;
    let fraction = second.sent_bytes / first.sent_bytes;
    Ok(("backup.delta_fraction", plain(fraction, "of the bytes", DELTA_AIM, "the most that is allowed", 1)))
}

/// How long a container stands still while its volume is copied, against `cp`.
fn pause(dir: &Path) -> Result<(&'static str, Figure)> {
    let volume: PathBuf = dir.join("volume");
    data::volume(&volume, PAUSE_MIB)?;
    let (mut ours, mut peer) = (Samples::default(), Samples::default());
    for _ in 0..PAUSE_RUNS {
        let copy = dir.join("copy");
        let took = Stopwatch::start();
        backup::copy_frozen(&volume, &copy).context("a volume cannot be copied")?;
        ours.add(took.elapsed());
        std::fs::remove_file(&copy)?;
        peer.add(peer::copy(&volume, &copy)?);
        std::fs::remove_file(&copy)?;
    }
    let name = "cp --reflink=auto";
    Ok((
        "backup.pause_ms_per_100mib",
        plain(ours.median_ms(), "ms, median", peer.median_ms(), name, PAUSE_RUNS),
    ))
}
