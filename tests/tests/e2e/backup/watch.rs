//! Hears every step of snapshots and restores, keeps the hashes of what is in each snapshot, and holds the
//! daemon at the step that a test waits for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::world::{StepReached, StepWatch, World};
use enclaved::checkpoint::Step;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use units::Stopwatch;

use crate::stranger::{LOOK_EVERY, SOON};

/// Longest wait for a step: an interval, a lease, a snapshot.
const STEP_WAIT: Duration = Duration::from_secs(60);
/// Longest silence between steps.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// SHA-256 of each file, by its name.
pub(super) type Hashes = BTreeMap<String, [u8; 32]>;

/// What is known of one generation.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// What was copied for it; the last, if several snapshots had this number and one alone counts.
    pub(super) files: Vec<Hashes>,
    /// The number of the last note that had been written when it was begun.
    pub(super) notes: u64,
    /// True once the key stores have its head.
    pub(super) counts: bool,
    /// From its begin to its end.
    pub(super) took: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    armed: Option<&'static str>,
    seen: BTreeMap<u64, Seen>,
    notes: u64,
    began: Option<Stopwatch>,
    restored: Option<(u64, Hashes)>,
    killed: BTreeMap<&'static str, u32>,
}

/// Hears every step of the daemon.
pub(super) struct Watch {
    shared: Arc<Mutex<Shared>>,
    reached: tokio::sync::Mutex<mpsc::Receiver<StepReached>>,
}

impl Watch {
    pub(super) fn start(world: &World) -> Result<Self> {
        let steps = StepWatch::new(world)?;
        let (sender, reached) = mpsc::channel(1);
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let (known, state_dir) = (Arc::clone(&shared), world.state_dir());
        tokio::spawn(async move {
            while let Ok(step) = steps.next(SILENCE_MAX).await {
                note(&known, &step, &state_dir);
                let hit = known.lock().unwrap().armed.take_if(|name| *name == step.name).is_some();
                if hit {
                    drop(sender.send(step).await);
                } else {
                    // A daemon that was killed meanwhile does not hear it.
                    drop(step.go_on().await);
                }
            }
        });
        Ok(Self { shared, reached: reached.into() })
    }

    /// The daemon will wait at the next such step.
    pub(super) fn arm(&self, step: Step) {
        self.shared.lock().unwrap().armed = Some(step.name());
    }

    /// Waits until the daemon waits at the step.
    pub(super) async fn reached(&self, step: Step) -> Result<StepReached> {
        let mut reached = self.reached.lock().await;
        let hit = tokio::time::timeout(STEP_WAIT, reached.recv()).await;
        let hit = hit.with_context(|| format!("{} was never reached", step.name()))?;
        *self.shared.lock().unwrap().killed.entry(step.name()).or_default() += 1;
        hit.context("the watch ended")
    }

    /// A note with this number has been written.
    pub(super) fn wrote(&self, note: u64) {
        self.shared.lock().unwrap().notes = note;
    }

    /// The newest generation that counts.
    pub(super) fn newest(&self) -> u64 {
        let shared = self.shared.lock().unwrap();
        shared.seen.iter().filter(|(_, seen)| seen.counts).map(|(number, _)| *number).max().unwrap_or(0)
    }

    /// Waits until this generation counts, or a newer one.
    pub(super) async fn wait_newest(&self, generation: u64) -> Result<()> {
        let took = Stopwatch::start();
        while self.newest() < generation {
            ensure!(took.elapsed() < SOON, "generation {generation} was never acknowledged");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// What is known of a generation.
    pub(super) fn seen(&self, generation: u64) -> Option<Seen> {
        self.shared.lock().unwrap().seen.get(&generation).cloned()
    }

    /// What was last restored, and in which generation; forgotten with this.
    pub(super) fn take_restored(&self) -> Option<(u64, Hashes)> {
        self.shared.lock().unwrap().restored.take()
    }

    /// How often something was killed at this step.
    pub(super) fn killed_at(&self, step: Step) -> u32 {
        self.shared.lock().unwrap().killed.get(step.name()).copied().unwrap_or_default()
    }
}

fn note(shared: &Mutex<Shared>, step: &StepReached, state_dir: &Path) {
    let Ok(generation) = step.subject.parse::<u64>() else { return };
    let is = |one: Step| step.name == one.name();
    let mut shared = shared.lock().unwrap();
    if is(Step::SnapshotDue) {
        shared.began = Some(Stopwatch::start());
        let notes = shared.notes;
        shared.seen.entry(generation).or_default().notes = notes;
    } else if is(Step::SnapshotCopied) {
        let files = hashes(&state_dir.join("copies"));
        shared.seen.entry(generation).or_default().files.push(files);
    } else if is(Step::SnapshotAdvanced) {
        let took = shared.began.map(|began| began.elapsed()).unwrap_or_default();
        let seen = shared.seen.entry(generation).or_default();
        (seen.counts, seen.took) = (true, took);
    } else if is(Step::RestorePlaced) {
        shared.restored = Some((generation, hashes(&state_dir.join("data"))));
    }
}

/// The hashes of all files below a folder; holes read as zeros.
fn hashes(dir: &Path) -> Hashes {
    let mut folders = vec![PathBuf::from(dir)];
    let mut files = Hashes::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let digest = Sha256::digest(std::fs::read(entry.path()).unwrap());
            files.insert(entry.file_name().to_string_lossy().into_owned(), digest.into());
        }
    }
    files
}
