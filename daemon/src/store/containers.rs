//! Rows of containers.

use std::collections::BTreeSet;

use lifecycle::State;
use nostr::key::{Keys, PublicKey, SecretKey};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use units::{Msat, UnixSecs};

use super::record::{Container, Origin, Spec, Token};
use super::{PortMapping, Store, StoreError};

/// A launch that is to be put on record.
#[derive(Debug)]
pub struct NewLaunch {
    /// The container's new key.
    pub keys: Keys,
    /// Its new token.
    pub token: Token,
    /// Where it comes from.
    pub origin: Origin,
    /// What it takes to run it; `ports` is filled in here.
    pub spec: Spec,
    /// Ports of the container to publish.
    pub container_ports: Vec<u16>,
    /// Its first state.
    pub state: State,
    /// Now.
    pub created_at: UnixSecs,
}

/// What a launch must fit into.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Units of the server in all.
    pub units: u32,
    /// Unpaid launches in all.
    pub unpaid_max: u32,
    /// Networks in all.
    pub slots: u16,
    /// First and last port that may be published.
    pub ports: (u16, u16),
}

/// Launches of before ?1 that nobody ever paid for.
const NEVER_PAID: &str = "builtin IS NULL AND slot IS NULL AND created_at < ?1 AND balance_msat = 0
    AND json_extract(state, '$.phase') = 'expired'
    AND NOT EXISTS (SELECT 1 FROM charges WHERE charges.pubkey = containers.pubkey)
    AND NOT EXISTS (SELECT 1 FROM withdrawals WHERE withdrawals.pubkey = containers.pubkey)";

/// Why a launch was not put on record.
#[derive(Debug, Error)]
pub enum ReserveError {
    /// Not enough units, networks or ports are left.
    #[error("not enough is free: {0}")]
    Full(String),
    /// This owner has an unpaid launch.
    #[error("the owner has an unpaid launch")]
    OwnerHasUnpaid,
    /// Too many launches are unpaid.
    #[error("too many launches are unpaid")]
    TooManyUnpaid,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for ReserveError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

pub(super) const COLUMNS: &str = "seckey, token, slot, builtin, owner, request_key, spec, state, invoice, balance_msat, \
                       app, reason, created_at, started_at";
/// A launch that nobody has paid yet.
const UNPAID: &str = "json_extract(state, '$.phase') = 'waiting'";

impl Store {
    /// Puts a launch on record and reserves what it takes, all or nothing: of many that come at once
    /// for the last unit, one wins.
    ///
    /// # Errors
    /// [`ReserveError`]; nothing is reserved.
    pub fn reserve(&self, mut launch: NewLaunch, room: &Room) -> Result<Container, ReserveError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let wanted = launch.spec.units.get();
        let free = units_free(&tx, room.units)?;
        if free < wanted {
            return Err(ReserveError::Full(format!("{wanted} units are asked for, {free} are free")));
        }
        if let Origin::Launched { owner, .. } = &launch.origin {
            check_unpaid(&tx, owner, room.unpaid_max)?;
        }
        let slot = free_slot(&tx, room.slots)?;
        launch.spec.ports = free_ports(&tx, &launch.container_ports, room.ports)?;
        insert(&tx, &launch, slot)?;
        tx.commit()?;
        Ok(Container {
            keys: launch.keys,
            token: launch.token,
            slot: Some(slot),
            origin: launch.origin,
            spec: launch.spec,
            state: launch.state,
            invoice: None,
            balance: Msat::ZERO,
            app: None,
            reason: None,
            created_at: launch.created_at,
            started_at: None,
        })
    }

    /// Takes a launch that got no invoice off the record again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_launch(&self, pubkey: &PublicKey) -> Result<(), StoreError> {
        let sql = "DELETE FROM containers WHERE pubkey = ?1 AND invoice IS NULL AND builtin IS NULL";
        self.lock().execute(sql, params![pubkey.to_bytes()])?;
        Ok(())
    }

    /// Launches of before `created` that were never paid, as far as the wallet has told, oldest first, at
    /// most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unpaid(&self, created: UnixSecs, limit: u32) -> Result<Vec<Container>, StoreError> {
        let connection = self.lock();
        let sql = format!(
            "SELECT {COLUMNS} FROM containers WHERE {NEVER_PAID} ORDER BY created_at, rowid LIMIT ?2"
        );
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_and_then(params![secs(created), limit], read)?;
        rows.collect()
    }

    /// Forgets a launch of before `created` that was never paid, its key included: otherwise strangers
    /// could fill the disk with quotes. False if there is no such launch, or something was paid after all.
    /// The caller has asked the wallet, as what is in the account could never be had again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_unpaid(&self, pubkey: &PublicKey, created: UnixSecs) -> Result<bool, StoreError> {
        let sql = format!("DELETE FROM containers WHERE {NEVER_PAID} AND pubkey = ?2");
        Ok(self.lock().execute(&sql, params![secs(created), pubkey.to_bytes()])? == 1)
    }

    /// All containers, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn containers(&self) -> Result<Vec<Container>, StoreError> {
        let connection = self.lock();
        let sql = format!("SELECT {COLUMNS} FROM containers ORDER BY created_at, rowid");
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_and_then([], read)?;
        rows.collect()
    }

    /// One container.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn container(&self, pubkey: &PublicKey) -> Result<Option<Container>, StoreError> {
        self.find("pubkey = ?1", &pubkey.to_bytes().as_slice())
    }

    /// The container that a command launched.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn launched_by(&self, request_key: &str) -> Result<Option<Container>, StoreError> {
        self.find("request_key = ?1", &request_key)
    }

    /// The container that has network number `slot`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn in_slot(&self, slot: u16) -> Result<Option<Container>, StoreError> {
        self.find("slot = ?1", &slot)
    }

    /// The built-in of this name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn builtin(&self, name: &str) -> Result<Option<Container>, StoreError> {
        self.find("builtin = ?1", &name)
    }

    fn find(&self, condition: &str, value: &dyn rusqlite::ToSql) -> Result<Option<Container>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM containers WHERE {condition}");
        let connection = self.lock();
        let row = connection.query_row(&sql, [value], |row| Ok(read(row))).optional()?;
        row.transpose()
    }

    /// True if this owner has an unpaid launch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_unpaid(&self, owner: &PublicKey) -> Result<bool, StoreError> {
        Ok(count_unpaid_of(&self.lock(), owner)? > 0)
    }

    /// Units that no container holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn units_free(&self, total: u32) -> Result<u32, StoreError> {
        units_free(&self.lock(), total)
    }

    /// Lets a paused container hold its units again, if they are free.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn readmit(&self, pubkey: &PublicKey, units: u32, total: u32) -> Result<bool, StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let key = pubkey.to_bytes();
        let holds: bool =
            tx.query_row("SELECT holds_units FROM containers WHERE pubkey = ?1", [key], |row| row.get(0))?;
        let fits = holds || units_free(&tx, total)? >= units;
        if fits {
            tx.execute("UPDATE containers SET holds_units = 1 WHERE pubkey = ?1", [key])?;
        }
        tx.commit()?;
        Ok(fits)
    }

    /// Gives the network and the ports of a container that is over to others.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn release(&self, pubkey: &PublicKey) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute("DELETE FROM ports WHERE pubkey = ?1", [pubkey.to_bytes()])?;
        tx.execute("UPDATE containers SET slot = NULL WHERE pubkey = ?1", [pubkey.to_bytes()])?;
        tx.commit()?;
        Ok(())
    }
}

fn units_free(connection: &Connection, total: u32) -> Result<u32, StoreError> {
    let sql = "SELECT coalesce(sum(units), 0) FROM containers WHERE holds_units = 1";
    let used: u32 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(total.saturating_sub(used))
}

fn count_unpaid_of(connection: &Connection, owner: &PublicKey) -> Result<u32, StoreError> {
    let sql = format!("SELECT count(*) FROM containers WHERE owner = ?1 AND {UNPAID}");
    Ok(connection.query_row(&sql, [owner.to_bytes()], |row| row.get(0))?)
}

fn check_unpaid(connection: &Connection, owner: &PublicKey, unpaid_max: u32) -> Result<(), ReserveError> {
    if count_unpaid_of(connection, owner)? > 0 {
        return Err(ReserveError::OwnerHasUnpaid);
    }
    let sql = format!("SELECT count(*) FROM containers WHERE {UNPAID}");
    let unpaid: u32 = connection.query_row(&sql, [], |row| row.get(0))?;
    if unpaid >= unpaid_max { Err(ReserveError::TooManyUnpaid) } else { Ok(()) }
}

/// The lowest number that no container has.
fn free_slot(connection: &Connection, slots: u16) -> Result<u16, ReserveError> {
    let mut statement = connection.prepare("SELECT slot FROM containers WHERE slot IS NOT NULL")?;
    let taken = statement.query_map([], |row| row.get(0))?.collect::<Result<BTreeSet<u16>, _>>()?;
    (0..slots)
        .find(|slot| !taken.contains(slot))
        .ok_or_else(|| ReserveError::Full(format!("all {slots} networks are taken")))
}

fn free_ports(
    connection: &Connection,
    container_ports: &[u16],
    (from, to): (u16, u16),
) -> Result<Vec<PortMapping>, ReserveError> {
    let mut statement = connection.prepare("SELECT port FROM ports")?;
    let taken = statement.query_map([], |row| row.get(0))?.collect::<Result<BTreeSet<u16>, _>>()?;
    let mut free = (from..=to).filter(|port| !taken.contains(port));
    container_ports
        .iter()
        .map(|&container_port| {
            let server_port = free.next().ok_or_else(|| ReserveError::Full("all ports are taken".into()))?;
            Ok(PortMapping { container_port, server_port })
        })
        .collect()
}

fn insert(connection: &Connection, launch: &NewLaunch, slot: u16) -> Result<(), StoreError> {
    let pubkey = launch.keys.public_key().to_bytes();
    let (builtin, owner, request_key) = match &launch.origin {
        Origin::Builtin(name) => (Some(name), None, None),
        Origin::Launched { owner, request_key } => (None, Some(owner.to_bytes()), Some(request_key)),
    };
    connection.execute(
        "INSERT INTO containers (pubkey, seckey, token, slot, builtin, owner, request_key, units, holds_units,
             spec, state, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            pubkey,
            launch.keys.secret_key().to_secret_bytes(),
            launch.token.expose(),
            slot,
            builtin,
            owner,
            request_key,
            launch.spec.units.get(),
            launch.state.holds_units(),
            to_json("spec", &launch.spec)?,
            to_json("state", &launch.state)?,
            secs(launch.created_at),
        ],
    )?;
    for mapping in &launch.spec.ports {
        connection.execute(
            "INSERT INTO ports (port, pubkey) VALUES (?1, ?2)",
            params![mapping.server_port, pubkey],
        )?;
    }
    Ok(())
}

pub(super) fn read(row: &Row<'_>) -> Result<Container, StoreError> {
    let seckey: [u8; 32] = row.get(0)?;
    let seckey = SecretKey::from_slice(&seckey).map_err(|e| StoreError::malformed("key", e))?;
    let public_key = |what: &'static str, bytes: Option<[u8; 32]>| {
        bytes
            .map(|bytes| PublicKey::from_slice(&bytes).map_err(|e| StoreError::malformed(what, e)))
            .transpose()
    };
    let owner = public_key("owner", row.get(4)?)?;
    let origin = match (row.get::<_, Option<String>>(3)?, owner, row.get::<_, Option<String>>(5)?) {
        (Some(name), None, None) => Origin::Builtin(name),
        (None, Some(owner), Some(request_key)) => Origin::Launched { owner, request_key },
        _ => return Err(StoreError::malformed("origin", "neither a built-in nor a launch")),
    };
    let optional_secs = |secs: Option<i64>| secs.and_then(|secs| u64::try_from(secs).ok()).map(UnixSecs);
    Ok(Container {
        keys: Keys::new(seckey),
        token: Token::new(row.get(1)?),
        slot: row.get(2)?,
        origin,
        spec: from_json("spec", &row.get::<_, String>(6)?)?,
        state: from_json("state", &row.get::<_, String>(7)?)?,
        invoice: row.get::<_, Option<String>>(8)?.map(|text| from_json("invoice", &text)).transpose()?,
        balance: Msat::new(row.get(9)?),
        app: public_key("app", row.get(10)?)?,
        reason: row.get::<_, Option<String>>(11)?.map(|text| from_json("reason", &text)).transpose()?,
        created_at: optional_secs(row.get(12)?).unwrap_or_default(),
        started_at: optional_secs(row.get(13)?),
    })
}

pub(super) fn to_json(what: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::malformed(what, e))
}

pub(super) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::malformed(what, e))
}

pub(super) fn secs(at: UnixSecs) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}
