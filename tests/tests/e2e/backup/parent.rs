//! A host that gives something else than the newest backup. Each time it is refused with its reason, nothing
//! is put in place, and the newest backup, once it is there again, is as good as before.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::stores::snapshots_pass;
use super::{REFUSED_WAIT, sealed};
use crate::in_world::in_world;
use crate::stranger::{Stranger, get, put};

/// The lie, how it is told in the folder that the good one was copied to, and the code that names it.
type Lie = (&'static str, fn(&Lies<'_>, &Path) -> Result<()>, &'static str);

/// What a lie can be made of.
struct Lies<'l> {
    /// What the parent had some generations before.
    older: &'l Path,
    /// What it has of another instance.
    other: &'l Path,
}

const LIES: [Lie; 10] = [
    ("no backup", |_, dir| Ok(std::fs::remove_dir_all(dir)?), "no_such_object"),
    ("an older generation", |lies, dir| swap(dir, lies.older), "no_such_object"),
    ("another instance's folder", |lies, dir| swap_instance(dir, lies.other), "no_such_object"),
    (
        "another instance's objects under our names",
        |lies, dir| graft(dir, lies.other),
        "backup_manifest_mismatch",
    ),
    (
        "an older generation's manifest under the newest's name",
        |lies, dir| forge(dir, lies, |ours| &ours[..1]),
        "backup_manifest_mismatch",
    ),
    (
        "an older generation's objects under the newest's names",
        |lies, dir| forge(dir, lies, |ours| ours),
        "backup_manifest_mismatch",
    ),
    (
        "a truncated manifest",
        |_, dir| change(&objects(dir)?[..1], |bytes| bytes.truncate(60)),
        "backup_manifest_mismatch",
    ),
    (
        "truncated chunks",
        |_, dir| change(&objects(dir)?[1..], |bytes| bytes.truncate(60)),
        "backup_object_size",
    ),
    (
        "a flipped bit in each chunk",
        |_, dir| change(&objects(dir)?[1..], |bytes| bytes[60] ^= 1),
        "backup_object_mismatch",
    ),
    ("a chunk under the names of all others", |_, dir| mix(dir), "backup_object"),
];

#[tokio::test(flavor = "multi_thread")]
async fn lying_parent_is_refused_and_the_newest_backup_stays_usable() -> Result<()> {
    in_world(sealed(2)?, async |world| {
        // What this machine had before stays at the parent, under another instance's name.
        let first = only_instance(world.backups())?;
        world.lose_enclave().await?;
        std::fs::remove_file(world.operator().dir().join("genesis.json"))?;
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        let (owner, pubkey, url) = Stranger::keeper(world, 100).await?;
        assert_eq!(put(&format!("{url}/note"), "one").await?, 200);
        let (good, keep) = (world.backups().to_owned(), tempfile::tempdir()?);
        let older = keep.path().join("older");
        snapshots_pass(world).await?;
        copy(&good, &older)?;
        assert_eq!(put(&format!("{url}/note"), "two").await?, 200);
        snapshots_pass(world).await?;
        world.lose_enclave().await?;
        world.stop_parent().await?;
        let lies = Lies { older: &older, other: &first };

        for (what, tell, code) in LIES {
            println!("{what}");
            let told = keep.path().join(what.replace(' ', "-"));
            copy(&good, &told)?;
            tell(&lies, &told).with_context(|| what.to_owned())?;
            std::fs::create_dir_all(&told)?;
            world.start_parent(told).await?;
            world.spawn_daemon()?;
            let status = world.wait_for_end(REFUSED_WAIT).await?;
            let log = world.daemon_log()?;
            let last = log.lines().rfind(|line| line.contains("ERROR")).context("no error is said")?;
            println!("  {last}");
            ensure!(!status.success(), "{what}: it ended well");
            ensure!(last.contains(code), "{what}: {code} is wanted: {last}");
            ensure!(!world.state_dir().join("data").exists(), "{what}: something was put in place");
            ensure!(!log.contains("a fresh start"), "{what}: it began anew");
            world.stop_parent().await?;
        }

        world.start_parent(good).await?;
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        owner.wait_for(&pubkey, "deployed").await?;
        assert_eq!(get(&format!("{url}/note")).await?, (200, "two".to_owned()));
        Ok(())
    })
    .await
}

fn only_instance(dir: &Path) -> Result<PathBuf> {
    instance_of(dir, Path::new("none"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(copied.success(), "{} was not copied", from.display());
    Ok(())
}

fn swap(dir: &Path, with: &Path) -> Result<()> {
    std::fs::remove_dir_all(dir)?;
    copy(with, dir)
}

/// Puts another instance's folder in the place of ours.
fn swap_instance(dir: &Path, other: &Path) -> Result<()> {
    let ours = instance_of(dir, other)?;
    std::fs::remove_dir_all(&ours)?;
    copy(other, &ours)
}

/// Our instance's folder, beside the other one's.
fn instance_of(dir: &Path, other: &Path) -> Result<PathBuf> {
    let is_instance = |path: &PathBuf| {
        path.is_dir()
            && path.file_name() != other.file_name()
            && path.file_name().is_some_and(|n| n.len() == 32)
    };
    let mut folders =
        std::fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_instance);
    let ours = folders.next().context("no folder of ours")?;
    ensure!(folders.next().is_none(), "more than two instances");
    Ok(ours)
}

/// Each of our objects has the content of one of another instance's.
fn graft(dir: &Path, other: &Path) -> Result<()> {
    let theirs = objects(other)?;
    for (object, content) in objects(&instance_of(dir, other)?)?.iter().zip(theirs.iter().cycle()) {
        std::fs::copy(content, object)?;
    }
    Ok(())
}

/// Objects of ours have the content of those that were there some generations before.
fn forge(dir: &Path, lies: &Lies<'_>, which: fn(&[PathBuf]) -> &[PathBuf]) -> Result<()> {
    let then = objects(&instance_of(lies.older, lies.other)?)?;
    for (object, content) in which(&objects(&instance_of(dir, lies.other)?)?).iter().zip(then.iter().cycle())
    {
        std::fs::copy(content, object)?;
    }
    Ok(())
}

/// Every chunk has the content of another one, of this generation or of one before it: the shortest, because
/// what is longer than it can be is refused before it is looked at.
fn mix(dir: &Path) -> Result<()> {
    let chunks = objects(dir)?.split_off(1);
    let mut contents = chunks.iter().map(std::fs::read).collect::<std::io::Result<Vec<_>>>()?;
    ensure!(contents.len() > 2, "there is too little to be mixed up");
    contents.sort_by_key(Vec::len);
    change(&chunks, |bytes| bytes.clone_from(&contents[0]))
}

fn change(objects: &[PathBuf], change: impl Fn(&mut Vec<u8>)) -> Result<()> {
    for object in objects {
        let mut bytes = std::fs::read(object)?;
        change(&mut bytes);
        std::fs::write(object, bytes)?;
    }
    Ok(())
}

/// Every sealed object below a folder: a file named by a digest. The newest comes first: the manifest of the
/// newest generation, which is sent last.
fn objects(dir: &Path) -> Result<Vec<PathBuf>> {
    let (mut folders, mut found) = (vec![dir.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_digest = name.len() == 64 && name.to_string_lossy().bytes().all(|b| b.is_ascii_hexdigit());
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if is_digest {
                found.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
    }
    ensure!(!found.is_empty(), "no objects in {}", dir.display());
    found.sort();
    Ok(found.into_iter().rev().map(|(_, path)| path).collect())
}
