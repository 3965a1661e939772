//! Everything that a refused request must not change: the daemon's rows, the wallet's books, what the
//! engine and the volume folder hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptions};
use devnet::world::World;
use nostr::key::PublicKey;
use rusqlite::{Connection, OpenFlags};
use units::Stopwatch;

use crate::stranger::{LOOK_EVERY, SOON};

/// What goes on for longer changes something meanwhile.
const REST: Duration = Duration::from_millis(500);

/// A container, as far as a refused request could touch it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) pubkey: PublicKey,
    pub(crate) phase: String,
    pub(crate) owner_paused: bool,
    pub(crate) units_held: u32,
    pub(crate) has_network: bool,
}

/// The whole of it at one moment at which nothing is under way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Facts {
    /// Launched containers, oldest first; built-ins left out.
    pub(crate) containers: Vec<Row>,
    pub(crate) ports: u32,
    /// Charges on record, and those paid.
    pub(crate) charges: (u32, u32),
    /// Withdrawals on record, and those paid.
    pub(crate) withdrawals: (u32, u32),
    /// The wallet's accounts, in millisatoshi.
    pub(crate) accounts: BTreeMap<String, i64>,
    /// Invoices of the wallet, by state.
    pub(crate) invoices: BTreeMap<String, u32>,
    /// What the engine holds: containers and networks.
    pub(crate) engine: BTreeSet<String>,
    /// Files and mount points in the volume folder.
    pub(crate) volumes: BTreeSet<String>,
}

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// When something cannot be read, or the wallet's books do not sum to zero.
    pub(crate) async fn of(world: &World) -> Result<Self> {
        let state = open(&world.data_dir().join("state.db"))?;
        let count = |sql: &str| -> Result<u32> { Ok(state.query_row(sql, [], |row| row.get(0))?) };
        let copy = tempfile::tempdir()?;
        let wallet = open(&copy_of_wallet_db(world, copy.path())?)?;
        let facts = Self {
            containers: containers(&state)?,
            ports: count("SELECT count(*) FROM ports")?,
            charges: (
                count("SELECT count(*) FROM charges")?,
                count("SELECT count(*) FROM charges WHERE preimage IS NOT NULL")?,
            ),
            withdrawals: (
                count("SELECT count(*) FROM withdrawals")?,
                count("SELECT count(*) FROM withdrawals WHERE preimage IS NOT NULL")?,
            ),
            accounts: pairs(&wallet, "SELECT key, balance_msat FROM ledger_account")?,
            invoices: pairs(&wallet, "SELECT state, count(*) FROM invoice GROUP BY state")?,
            engine: engine(world).await?,
            volumes: volumes(world)?,
        };
        let sum: i64 = facts.accounts.values().sum();
        ensure!(sum == 0, "the wallet's books sum to {sum} msat: {:?}", facts.accounts);
        Ok(facts)
    }

    /// Reads them again and again until they are as wanted, or for so long that they will not be.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(crate) async fn once(world: &World, are_so: impl Fn(&Self) -> bool) -> Result<Self> {
        let took = Stopwatch::start();
        loop {
            let facts = Self::of(world).await?;
            if are_so(&facts) || took.elapsed() > SOON {
                return Ok(facts);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Reads them when the server has done what it does after it has answered.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(crate) async fn at_rest(world: &World) -> Result<Self> {
        let settled = async {
            let mut last = Self::of(world).await?;
            loop {
                tokio::time::sleep(REST).await;
                let now = Self::of(world).await?;
                if now == last {
                    return Ok(now);
                }
                last = now;
            }
        };
        tokio::time::timeout(SOON, settled).await.context("the world never came to rest")?
    }

    /// Units held by launched containers.
    pub(crate) fn units_held(&self) -> u32 {
        self.containers.iter().map(|row| row.units_held).sum()
    }

    /// What a key has in the wallet.
    pub(crate) fn balance_msat(&self, key: &PublicKey) -> i64 {
        self.accounts.get(&format!("user:{}", key.to_hex())).copied().unwrap_or_default()
    }
}

fn containers(state: &Connection) -> Result<Vec<Row>> {
    let mut statement = state.prepare(
        "SELECT pubkey, json_extract(state, '$.phase'), json_extract(state, '$.owner_paused'),
                units * holds_units, slot IS NOT NULL
         FROM containers WHERE builtin IS NULL ORDER BY created_at, rowid",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Row {
            pubkey: PublicKey::from_byte_array(row.get(0)?),
            phase: row.get(1)?,
            owner_paused: row.get(2)?,
            units_held: row.get(3)?,
            has_network: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn pairs<T: rusqlite::types::FromSql>(connection: &Connection, sql: &str) -> Result<BTreeMap<String, T>> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

async fn engine(world: &World) -> Result<BTreeSet<String>> {
    let docker = world.engine().client();
    let all = ListContainersOptionsBuilder::default().all(true).build();
    let containers = docker.list_containers(Some(all)).await?;
    let networks = docker.list_networks(None::<ListNetworksOptions>).await?;
    let names = containers.into_iter().filter_map(|one| one.names?.pop());
    Ok(names.chain(networks.into_iter().filter_map(|one| one.name)).collect())
}

fn volumes(world: &World) -> Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(world.data_dir().join("volumes"))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn open(path: &Path) -> Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| path.display().to_string())
}

/// The key of the built-in wallet's container.
pub(crate) fn wallet_container(world: &World) -> Result<PublicKey> {
    let state = open(&world.data_dir().join("state.db"))?;
    let sql = "SELECT pubkey FROM containers WHERE builtin = 'nwc'";
    Ok(PublicKey::from_byte_array(state.query_row(sql, [], |row| row.get(0))?))
}

/// A copy of the wallet's database. Its volume is mounted in the box only, and SQLite does not follow
/// the way into the box (`/proc/PID/root` is no symbolic link that it could resolve); copying does.
fn copy_of_wallet_db(world: &World, to: &Path) -> Result<PathBuf> {
    let volume = world.data_dir().join("volumes").join(wallet_container(world)?.to_hex()).join("0");
    let inside = seen_in_box(world, &volume)?;
    for name in ["wallet.db", "wallet.db-wal"] {
        std::fs::copy(inside.join(name), to.join(name))
            .with_context(|| inside.join(name).display().to_string())?;
    }
    Ok(to.join("wallet.db"))
}

/// An absolute path of the box, as this process reaches it.
pub(crate) fn seen_in_box(world: &World, path: &Path) -> Result<PathBuf> {
    let root = PathBuf::from(format!("/proc/{}/root", world.enclave().init_pid()));
    Ok(root.join(path.strip_prefix("/").context("an absolute path")?))
}
