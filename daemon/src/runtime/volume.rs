//! Volumes: a file system of fixed size in a file, mounted through a loop device, so that a container
//! that fills its volume fills nothing else.

mod saved;

pub(crate) use saved::saved_name;

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::statvfs::{Statvfs, statvfs};
use nix::unistd::syncfs;
use nostr::key::PublicKey;
use thiserror::Error;
use tokio::process::Command;

/// Name of the folder of volumes, among the server's data.
pub const VOLUMES_DIR: &str = "volumes";
/// `mkfs.ext4` makes nothing smaller.
const VOLUME_BYTES_MIN: u64 = 1 << 20;
/// How a volume is called that is being made.
const NEW: &str = "new";

/// A volume cannot be used.
#[derive(Debug, Error)]
pub enum VolumeError {
    /// A file or folder failed.
    #[error("the volume {} failed", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed on a volume: {said}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it said.
        said: String,
    },
}

/// A path in the container, and what is mounted there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct VolumeMount {
    pub(super) source: PathBuf,
    pub(super) path: String,
}

/// The folder of volumes: for each container a file, and while it is in use the mounted file system.
#[derive(Debug)]
pub struct Volumes {
    dir: PathBuf,
    root_uid: u32,
}

impl Volumes {
    /// Opens or creates the folder. Volumes belong to `root_uid`, the user that containers' root is.
    ///
    /// # Errors
    /// [`VolumeError::Io`].
    pub fn open(dir: &Path, root_uid: u32) -> Result<Self, VolumeError> {
        at(dir, std::fs::create_dir_all(dir))?;
        // The engine looks paths up as the remapped root; nobody needs to list them.
        at(dir, std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711)))?;
        Ok(Self { dir: dir.to_owned(), root_uid })
    }

    fn file(&self, pubkey: &PublicKey) -> PathBuf {
        self.dir.join(file_name(pubkey))
    }

    /// What there is to copy of a container: its volume's file, and where it is mounted, if it is.
    pub(super) fn source(
        &self,
        pubkey: &PublicKey,
    ) -> Result<Option<(PathBuf, Option<PathBuf>)>, VolumeError> {
        let (file, point) = (self.file(pubkey), self.mount_point(pubkey));
        if !file.exists() {
            return Ok(None);
        }
        let mounted = is_mounted(&point)?.then_some(point);
        Ok(Some((file, mounted)))
    }

    /// What is used of a container's volume; none if it has none, or it is not mounted.
    pub(super) fn used_bytes(&self, pubkey: &PublicKey) -> Result<Option<u64>, VolumeError> {
        let used = |stat: Statvfs| {
            stat.fragment_size().saturating_mul(stat.blocks().saturating_sub(stat.blocks_free()))
        };
        Ok(self.look(pubkey)?.map(used))
    }

    /// The same in hundredths of what files can take, which is less than the volume: the filesystem has its
    /// part.
    pub(super) fn used_percent(&self, pubkey: &PublicKey) -> Result<Option<u64>, VolumeError> {
        let percent = |stat: Statvfs| {
            let used = stat.blocks().saturating_sub(stat.blocks_free());
            used.saturating_mul(100).checked_div(stat.blocks()).unwrap_or_default()
        };
        Ok(self.look(pubkey)?.map(percent))
    }

    fn look(&self, pubkey: &PublicKey) -> Result<Option<Statvfs>, VolumeError> {
        let point = self.mount_point(pubkey);
        if !is_mounted(&point)? {
            return Ok(None);
        }
        match statvfs(&point) {
            Ok(stat) => Ok(Some(stat)),
            Err(e) => Err(VolumeError::Io { path: point, source: e.into() }),
        }
    }

    fn mount_point(&self, pubkey: &PublicKey) -> PathBuf {
        self.dir.join(pubkey.to_hex())
    }

    /// Makes sure that the container's volume is there and mounted, with a folder for each path.
    pub(super) async fn ensure(
        &self,
        pubkey: &PublicKey,
        bytes: u64,
        paths: &[String],
    ) -> Result<Vec<VolumeMount>, VolumeError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let (file, point) = (self.file(pubkey), self.mount_point(pubkey));
        if !file.exists() {
            self.make(&file, bytes.max(VOLUME_BYTES_MIN)).await?;
        }
        at(&point, std::fs::create_dir_all(&point))?;
        if !is_mounted(&point)? {
            run(
                "mount",
                Command::new("mount")
                    .args(["-t", "ext4", "-o", "loop,nosuid,nodev,noatime"])
                    .arg(&file)
                    .arg(&point),
            )
            .await?;
        }
        paths.iter().enumerate().map(|(i, path)| self.folder(&point, i, path)).collect()
    }

    /// One folder per path. The container's own user, whoever that is, must be able to write there.
    fn folder(&self, point: &Path, number: usize, path: &str) -> Result<VolumeMount, VolumeError> {
        let source = point.join(number.to_string());
        if !source.is_dir() {
            at(&source, std::fs::create_dir(&source))?;
            at(&source, chown(&source, Some(self.root_uid), Some(self.root_uid)))?;
            at(&source, std::fs::set_permissions(&source, std::fs::Permissions::from_mode(0o777)))?;
        }
        Ok(VolumeMount { source, path: path.to_owned() })
    }

    /// Makes the file system in a file beside and renames it, so that a crash leaves all or nothing.
    ///
    /// No journal: when this machine crashes its memory is gone with it, and what survives a mere
    /// crash of the daemon was never at risk.
    async fn make(&self, file: &Path, bytes: u64) -> Result<(), VolumeError> {
        let new = file.with_extension(NEW);
        let created = std::fs::File::create(&new).and_then(|file| file.set_len(bytes));
        at(&new, created)?;
        let owner = format!("root_owner={0}:{0},lazy_itable_init=1,nodiscard", self.root_uid);
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.args(["-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode", "-E", &owner]).arg(&new);
        run("mkfs.ext4", &mut mkfs).await?;
        at(file, std::fs::rename(&new, file))
    }

    /// Unmounts the container's volume if it is mounted. Its file stays, and all that was written is on it:
    /// where another mount namespace has the volume mounted still, unmounting it here writes nothing.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub async fn detach(&self, pubkey: &PublicKey) -> Result<(), VolumeError> {
        let point = self.mount_point(pubkey);
        if is_mounted(&point)? {
            let mounted = point.clone();
            let flushed = tokio::task::spawn_blocking(move || flush(&mounted)).await;
            at(&point, flushed.unwrap_or_else(|e| Err(io::Error::other(e))))?;
        }
        self.unmount(pubkey).await
    }

    async fn unmount(&self, pubkey: &PublicKey) -> Result<(), VolumeError> {
        let point = self.mount_point(pubkey);
        if is_mounted(&point)? {
            run("umount", Command::new("umount").arg(&point)).await?;
        }
        Ok(())
    }

    /// Removes the container's volume.
    ///
    /// # Errors
    /// [`VolumeError`].
    pub async fn remove(&self, pubkey: &PublicKey) -> Result<(), VolumeError> {
        self.unmount(pubkey).await?;
        let (file, point) = (self.file(pubkey), self.mount_point(pubkey));
        at(&file, absent(std::fs::remove_file(&file)))?;
        let new = file.with_extension(NEW);
        at(&new, absent(std::fs::remove_file(&new)))?;
        self.forget_saved(pubkey)?;
        at(&point, absent(std::fs::remove_dir(&point)))
    }
}

/// Name of the file that holds a container's volume.
pub(crate) fn file_name(pubkey: &PublicKey) -> String {
    format!("{}.img", pubkey.to_hex())
}

/// Unmounts every volume of the folder.
pub(super) async fn unmount_below(dir: &Path) -> Result<(), VolumeError> {
    for point in mount_points(dir)? {
        if dir == point.parent().unwrap_or(&point) {
            run("umount", Command::new("umount").arg(&point)).await?;
        }
    }
    Ok(())
}

/// Writes to its file what the kernel still has in its memory of the volume that is mounted here.
pub(super) fn flush(point: &Path) -> io::Result<()> {
    Ok(syncfs(std::fs::File::open(point)?)?)
}

pub(super) fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, VolumeError> {
    result.map_err(|source| VolumeError::Io { path: path.to_owned(), source })
}

/// Whether a filesystem of its own is mounted here: then it is another device than the folder that it is in. The
/// kernel's list of all mounts is longer the more there are, and this is asked for each container every few seconds.
pub(super) fn is_mounted(point: &Path) -> Result<bool, VolumeError> {
    let device = |found: io::Result<std::fs::Metadata>| match found {
        Ok(found) => Ok(Some(found.dev())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(VolumeError::Io { path: point.to_owned(), source }),
    };
    // The folder may be a link to another disk, the point itself is none.
    let above = point.parent().map_or(Ok(None), |above| device(std::fs::metadata(above)))?;
    Ok(device(std::fs::symlink_metadata(point))?.is_some_and(|own| Some(own) != above))
}

/// Everything that is mounted here, as far as `for_what` can be looked up.
fn mount_points(for_what: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let mounts = at(for_what, std::fs::read_to_string("/proc/self/mounts"))?;
    // Our paths have no white space that this file would escape.
    Ok(mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from).collect())
}

pub(super) async fn run(program: &'static str, command: &mut Command) -> Result<(), VolumeError> {
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.map_err(|e| VolumeError::Program { program, said: e.to_string() })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().chars().take(400).collect();
    Err(VolumeError::Program { program, said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_point_is_told_from_a_folder_also_through_a_link_to_another_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, link) = (dir.path().join("folder"), dir.path().join("link"));
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink("/proc", &link).unwrap();
        for (point, is) in [
            (PathBuf::from("/proc"), true),
            (folder.clone(), false),
            (folder.join("none/of/these"), false),
            // A link is no mount point, whatever it leads to; what is behind it may be one.
            (link.clone(), false),
            (link.join("sys"), false),
        ] {
            assert_eq!(is_mounted(&point).unwrap(), is, "{}", point.display());
        }
    }
}
