//! How the state of a world's server survives: its key stores, and where its backups go.

use std::path::{Path, PathBuf};

use std::time::Duration;

use anyhow::{Context, Result};
use nostr::event::Event;
use nostr::key::{Keys, PublicKey};
use serde_json::{Value, json};

use super::{KEYCRUX_REPO, KeyStores, World};

/// What the daemon says when it may begin anew if its launcher permits it.
const ASKING: &str = "waiting for the launcher's genesis event";
/// How long it may take until it asks.
const ASKING_DEADLINE: Duration = Duration::from_secs(30);

/// Room that the parent leaves on the disk: worlds are small, and so may be the disk that they are on.
const MIN_FREE_BYTES: u64 = 64 << 20;

/// How state survives in a world.
#[derive(Clone, Debug)]
pub struct SealingOptions {
    /// Key stores.
    pub key_stores: usize,
    /// How many of them must acknowledge a write.
    pub writes: usize,
    /// Whether they can be cut off from the relay.
    pub cables: bool,
    /// How long the server may act without having been heard, in seconds.
    pub lease_secs: u64,
    /// How long it waits for the key stores when it starts, and for its launcher.
    pub wait_secs: u64,
    /// How often a snapshot is made, in seconds.
    pub interval_secs: u64,
    /// How long the parent may take for one request of the backup, in seconds.
    pub stall_secs: u64,
    /// How many shares make the secret whole; none, if each key store has all of it.
    pub split: Option<u8>,
    /// More of the section `release` of the server's configuration.
    pub release: Value,
}

impl Default for SealingOptions {
    /// Three key stores, and a lease as short as goes.
    fn default() -> Self {
        Self {
            key_stores: 3,
            writes: 2,
            cables: false,
            lease_secs: 3,
            wait_secs: 60,
            interval_secs: 300,
            stall_secs: 60,
            split: None,
            release: json!({}),
        }
    }
}

impl SealingOptions {
    /// The sections of the server's configuration.
    pub(super) fn sections(&self, world: &World) -> Result<Value> {
        let stores = world.key_stores()?;
        let public = |keys: &[Keys]| keys.iter().map(Keys::public_key).collect::<Vec<_>>();
        let mut release = json!({"maintainers": public(world.operator().maintainers()), "threshold": 2});
        let more = self.release.as_object().context("`release` is an object")?.clone();
        release.as_object_mut().context("an object")?.extend(more);
        Ok(json!({
            "keycrux": {
                "repo": KEYCRUX_REPO,
                "env": "dev",
                "maintainers": public(stores.maintainers()),
                "threshold": 2,
                "launchers": public(stores.launchers()),
                "writes": self.writes,
                "lease_secs": self.lease_secs,
                "margin_secs": 1,
                "wait_secs": self.wait_secs,
                "split": self.split,
            },
            "release": release,
            "backup": {
                "address": format!("unix:{}", backup_socket(world.dir()).display()),
                "interval_secs": self.interval_secs,
                "stall_secs": self.stall_secs,
            },
        }))
    }
}

/// The section of the parent's configuration.
pub(super) fn parent_section(dir: &Path, backups: &Path) -> Value {
    json!({
        "listen": format!("unix:{}", backup_socket(dir).display()),
        "dir": backups,
        "min_free_bytes": MIN_FREE_BYTES,
    })
}

pub(super) fn backup_socket(dir: &Path) -> PathBuf {
    dir.join("backup.sock")
}

/// The server's key, which in a sealed world lies nowhere on the disk.
pub(super) fn service(log: &str) -> Result<PublicKey> {
    let line = log.lines().find(|line| line.contains("INFO enclaved::server: starting"));
    let key = line.and_then(|line| field(line, "pubkey=")).context("the daemon has not said its key")?;
    PublicKey::from_hex(key).context("the daemon's key")
}

/// The value of a field in a line of the log.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let value = line.split_once(name)?.1.trim_start_matches('"');
    value.split(|c: char| !c.is_ascii_alphanumeric()).next()
}

impl World {
    /// Waits until the daemon asks for its launcher's permission to begin anew, and gives it.
    ///
    /// # Errors
    /// When it does not ask.
    pub async fn permit_genesis(&mut self) -> Result<Event> {
        let boot_key = self.boot_key().await?;
        self.operator().permit_genesis(&boot_key)
    }

    /// Waits until the daemon asks for its launcher's permission, and returns the boot key that it says.
    ///
    /// # Errors
    /// When it does not ask.
    pub async fn boot_key(&mut self) -> Result<PublicKey> {
        self.wait_for_line(ASKING, ASKING_DEADLINE).await?;
        let log = self.daemon_log()?;
        let line = log.lines().find(|line| line.contains(ASKING)).context("no such line")?;
        Ok(PublicKey::from_hex(field(line, "boot_key=").context("the daemon says no boot key")?)?)
    }

    /// The key stores.
    ///
    /// # Errors
    /// In a world whose state lies in clear.
    pub fn key_stores(&self) -> Result<&KeyStores> {
        self.key_stores.as_ref().context("this world has no key stores: see WorldOptions::sealing")
    }

    /// The key stores, to be killed and restarted.
    ///
    /// # Errors
    /// As [`Self::key_stores`].
    pub fn key_stores_mut(&mut self) -> Result<&mut KeyStores> {
        self.key_stores.as_mut().context("this world has no key stores: see WorldOptions::sealing")
    }
}
