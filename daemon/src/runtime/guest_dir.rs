//! What a container sees at `/run/enclaved`: a folder in memory with its socket and its secrets, mounted
//! there and nowhere else, so that who speaks on the socket is known.

use std::collections::HashMap;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nostr::key::PublicKey;
use protocol::guest::{SECRETS_NAME, SOCKET_NAME};
use protocol::secrets::{SECRETS_BYTES_MAX, SECRETS_MAX, Secrets};
use tokio::net::UnixListener;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::plan::container_name;
use super::volume::{absent, at, is_mounted, run};
use super::{RuntimeError, VolumeError};

/// Sockets that wait to be served: as many as containers start while the daemon is busy.
const DOORS_MAX: usize = 256;
/// What memory is given out by: a file of one byte takes as much.
const PAGE_BYTES: usize = 4_096;
/// A container's folder at its largest: every secret in pages of its own, the largest of them twice while it is
/// replaced, and a page for each folder, the socket and whatever the kernel needs to keep their names.
const PAGES_PER_CONTAINER: usize = SECRETS_MAX + 2 * SECRETS_BYTES_MAX.div_ceil(PAGE_BYTES) + 1 + 4;
/// Its files: the secrets, the one that is being replaced, the socket and two folders.
const FILES_PER_CONTAINER: usize = SECRETS_MAX + 1 + 1 + 2;
/// For the mount itself.
const BESIDES: usize = 16;

/// A container's socket, to be served until `closed`.
#[derive(Debug)]
pub struct Door {
    /// Whose it is.
    pub pubkey: PublicKey,
    /// The socket.
    pub listener: UnixListener,
    /// Ends with the container.
    pub closed: CancellationToken,
}

/// The folders of all containers.
#[derive(Debug)]
pub(super) struct GuestDirs {
    dir: PathBuf,
    root_uid: u32,
    doors: mpsc::Sender<Door>,
    open: Mutex<HashMap<PublicKey, CancellationToken>>,
}

impl GuestDirs {
    /// Makes the folder, in memory, with room for so many containers; a server that restarts finds it with its
    /// containers' sockets in it, and may have been configured for more of them.
    pub(super) async fn set_up(
        dir: &Path,
        root_uid: u32,
        containers: u16,
    ) -> Result<(Self, mpsc::Receiver<Door>), VolumeError> {
        at(dir, std::fs::create_dir_all(dir))?;
        let options = options(containers);
        if is_mounted(dir)? {
            let mut mount = Command::new("mount");
            mount.arg("-o").arg(format!("remount,{options}")).arg(dir);
            // The kernel makes it no smaller than what is in it, which has room already.
            if let Err(e) = run("mount", &mut mount).await {
                tracing::warn!("the folders of containers keep the size that they have: {e}");
            }
        } else {
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &options, "enclaved"]).arg(dir);
            run("mount", &mut mount).await?;
        }
        let (doors, doors_rx) = mpsc::channel(DOORS_MAX);
        Ok((Self { dir: dir.to_owned(), root_uid, doors, open: Mutex::default() }, doors_rx))
    }

    /// The folder of a container.
    pub(super) fn of(&self, pubkey: &PublicKey) -> PathBuf {
        self.dir.join(container_name(pubkey))
    }

    /// Makes sure that the folder is there, with these secrets and an open socket.
    pub(super) async fn ensure(&self, pubkey: &PublicKey, secrets: &Secrets) -> Result<(), RuntimeError> {
        let dir = self.of(pubkey);
        at(&dir, std::fs::create_dir_all(&dir))?;
        at(&dir, std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)))?;
        self.write_secrets(&dir, secrets)?;
        self.open(&dir, pubkey).await
    }

    /// Makes the folder of secrets hold these and no others. A container that runs meanwhile sees each of
    /// them whole, the old one or the new one.
    fn write_secrets(&self, dir: &Path, secrets: &Secrets) -> Result<(), VolumeError> {
        let folder = dir.join(SECRETS_NAME);
        at(&folder, std::fs::create_dir_all(&folder))?;
        at(&folder, std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)))?;
        let wanted: HashMap<_, _> = secrets.contents().collect();
        for entry in at(&folder, std::fs::read_dir(&folder))? {
            let entry = at(&folder, entry)?;
            if !entry.file_name().to_str().is_some_and(|name| wanted.contains_key(name)) {
                at(&entry.path(), std::fs::remove_file(entry.path()))?;
            }
        }
        for (name, content) in wanted {
            let (path, new) = (folder.join(name), folder.join(NEW));
            at(&new, std::fs::write(&new, content))?;
            // Any user in the container, and nobody else: the folder is mounted nowhere else.
            at(&new, std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o444)))?;
            at(&new, chown(&new, Some(self.root_uid), Some(self.root_uid)))?;
            at(&path, std::fs::rename(&new, &path))?;
        }
        Ok(())
    }

    async fn open(&self, dir: &Path, pubkey: &PublicKey) -> Result<(), RuntimeError> {
        if self.lock().contains_key(pubkey) {
            return Ok(());
        }
        let path = dir.join(SOCKET_NAME);
        // The socket of before a restart answers no more.
        at(&path, absent(std::fs::remove_file(&path)))?;
        let listener = at(&path, UnixListener::bind(&path))?;
        at(&path, std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)))?;
        let closed = CancellationToken::new();
        self.lock().insert(*pubkey, closed.clone());
        let door = Door { pubkey: *pubkey, listener, closed };
        self.doors.send(door).await.map_err(|_| RuntimeError::Ending)
    }

    /// Closes a container's socket and removes its folder.
    pub(super) fn remove(&self, pubkey: &PublicKey) -> Result<(), VolumeError> {
        if let Some(closed) = self.lock().remove(pubkey) {
            closed.cancel();
        }
        let dir = self.of(pubkey);
        at(&dir, absent(std::fs::remove_dir_all(&dir)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PublicKey, CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory is taken as it is used, not when it is mounted.
fn options(containers: u16) -> String {
    let containers = usize::from(containers);
    let bytes = (containers * PAGES_PER_CONTAINER + BESIDES) * PAGE_BYTES;
    let files = containers * FILES_PER_CONTAINER + BESIDES;
    format!("mode=0711,nosuid,nodev,noexec,size={bytes},nr_inodes={files}")
}

/// Not a name that a secret can have.
const NEW: &str = ".new";

#[cfg(test)]
mod tests {
    use protocol::statement::Base64;

    use super::*;

    /// Memory that these take, in pages, each written anew while all others are there.
    fn pages(secrets: &Secrets) -> usize {
        let each: Vec<_> = secrets.contents().map(|(_, bytes)| bytes.len().div_ceil(PAGE_BYTES)).collect();
        each.iter().sum::<usize>() + each.iter().max().copied().unwrap_or_default()
    }

    #[test]
    fn whatever_secrets_a_launch_may_have_fit_for_every_container() {
        let named = |sizes: &[usize]| {
            let file = |(n, size): (usize, &usize)| (format!("{n:03}"), Base64(vec![7; *size]));
            let mut secrets = Secrets::default();
            secrets.files = sizes.iter().enumerate().map(file).collect();
            secrets.check().unwrap();
            secrets
        };
        // One that is as large as all may be; as many as there may be; and all but one just over a page.
        let all = SECRETS_BYTES_MAX - 3;
        let many = vec![SECRETS_BYTES_MAX / SECRETS_MAX - 3; SECRETS_MAX];
        let mut uneven = vec![1; SECRETS_MAX - 5];
        uneven.extend([PAGE_BYTES + 1; 5]);
        for sizes in [vec![all], many, uneven] {
            let used = pages(&named(&sizes)) + 4;
            assert!(used <= PAGES_PER_CONTAINER, "{used} pages for {} secrets", sizes.len());
        }
        let value = |options: &str, name: &str| -> usize {
            let found = options.split(',').find_map(|option| option.strip_prefix(name));
            found.unwrap().parse().unwrap()
        };
        for containers in [1, 212, 250, u16::MAX] {
            let options = options(containers);
            let count = usize::from(containers);
            assert!(value(&options, "size=") >= count * PAGES_PER_CONTAINER * PAGE_BYTES);
            assert!(value(&options, "nr_inodes=") >= count * (SECRETS_MAX + 4));
        }
        assert!(value(&options(250), "size=") > 64 << 20, "what there was before was too small");
    }
}
