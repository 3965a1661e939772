//! The bytes of volumes, at the moments of an upgrade at which nobody writes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::world::{StepWatch, World};
use enclaved::checkpoint::Step;
use nostr::key::PublicKey;

/// Longest silence between steps.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// What a volume held at one step.
#[derive(Clone, Debug)]
struct Seen {
    step: String,
    subject: String,
    bytes: Option<Vec<u8>>,
    /// Copies that lie beside it.
    copies: Vec<PathBuf>,
}

/// Lets the daemon on at every step, and keeps what volumes held.
pub(super) struct Volumes {
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Volumes {
    pub(super) fn watch(world: &World) -> Result<Self> {
        let steps = StepWatch::new(world)?;
        let folder = world.state_dir().join("volumes");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let kept = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok(step) = steps.next(SILENCE_MAX).await {
                if step.name.starts_with("upgrade.") {
                    let bytes = std::fs::read(folder.join(format!("{}.img", step.subject))).ok();
                    let all = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
                    let copies =
                        all.filter(|path| path.extension().is_some_and(|it| it == "saved")).collect();
                    let (name, subject) = (step.name.clone(), step.subject.clone());
                    kept.lock().unwrap().push(Seen { step: name, subject, bytes, copies });
                }
                // A daemon that was killed meanwhile does not hear it.
                drop(step.go_on().await);
            }
        });
        Ok(Self { seen, task })
    }

    fn last(&self, pubkey: &PublicKey, step: Step) -> Result<Seen> {
        let seen = self.seen.lock().unwrap();
        let mut last = seen.iter().rev();
        let found = last.find(|seen| seen.step == step.name() && seen.subject == pubkey.to_hex());
        found.cloned().with_context(|| format!("{} was not reached", step.name()))
    }

    /// The names of the steps of a container so far; forgets them.
    pub(super) fn steps(&self, pubkey: &PublicKey) -> Vec<String> {
        let mut seen = self.seen.lock().unwrap();
        let steps = seen.iter().filter(|seen| seen.subject == pubkey.to_hex()).map(|seen| seen.step.clone());
        let steps = steps.collect();
        seen.clear();
        steps
    }

    /// What was restored is what was copied, byte for byte, and what a trial that `spoils` left was something
    /// else.
    pub(super) fn check_restored(&self, pubkey: &PublicKey, spoils: bool) -> Result<()> {
        let saved = self.last(pubkey, Step::UpgradeSaved)?;
        let failed = self.last(pubkey, Step::UpgradeFailed)?;
        let restored = self.last(pubkey, Step::UpgradeRestored)?;
        let before = saved.bytes.context("a volume")?;
        ensure!(before.len() == 10_000_000, "a unit has 10 MB, not {}", before.len());
        ensure!(
            saved.copies.len() == 1 && restored.copies.is_empty(),
            "{:?}, {:?}",
            saved.copies,
            restored.copies
        );
        let spoilt = failed.bytes.as_ref() != Some(&before);
        ensure!(spoilt || !spoils, "the trial changed nothing: this proves nothing");
        ensure!(restored.bytes == Some(before), "the volume is not what it was");
        Ok(())
    }
}

impl Drop for Volumes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Every file of the volume of a container that writes nothing. The other bytes are the filesystem's own: the kernel
/// changes them when it likes.
pub(super) fn at_rest(world: &World, pubkey: &PublicKey) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    ensure!(Command::new("sync").status()?.success());
    let folder = tempfile::tempdir()?;
    let (copy, out) = (folder.path().join("copy.img"), folder.path().join("out"));
    std::fs::copy(world.state_dir().join("volumes").join(format!("{pubkey}.img")), &copy)?;
    std::fs::create_dir(&out)?;
    let dump = format!("rdump / {}", out.display());
    let dumped = Command::new("debugfs").args(["-R", &dump]).arg(&copy).output().context("debugfs")?;
    ensure!(dumped.status.success(), "{dumped:?}");
    let (mut files, mut folders) = (BTreeMap::new(), vec![out.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(&out)?.to_owned(), std::fs::read(&path)?);
            }
        }
    }
    ensure!(files.values().any(|bytes| !bytes.is_empty()), "nothing lies in it: {:?}", files.keys());
    Ok(files)
}

/// No copy of a volume is left.
pub(super) fn check_no_copies(world: &World) -> Result<()> {
    for entry in world.state_dir().join("volumes").read_dir()? {
        let name = entry?.file_name().into_string().unwrap();
        ensure!(!name.ends_with(".saved") && !name.ends_with(".saving"), "{name} was left");
    }
    Ok(())
}
