//! Connections: further keys of a wallet.

use std::fmt;

use ledger::{LedgerTx, View};
use nostr::key::PublicKey;
use protocol::nwc::{BudgetRenewal, Method};
use rusqlite::{OptionalExtension, Row, params};
use units::{Msat, UnixSecs};
use zeroize::Zeroizing;

use super::sql::{Columns, secs};

/// How long a connection whose time is over takes its place: whoever makes them to last a second makes no
/// more of them than somebody who makes them to last.
const ENDED_KEPT_SECS: u64 = 24 * 3_600;

/// A connection's row. The secret does not print.
#[derive(Clone, Eq, PartialEq)]
pub struct Connection {
    /// The row's number; none until it is inserted.
    pub id: i64,
    /// Its service key.
    pub service: PublicKey,
    /// The secret of that.
    pub secret: Zeroizing<[u8; 32]>,
    /// The key that uses it.
    pub client: PublicKey,
    /// Whose wallet it uses.
    pub owner: PublicKey,
    /// A name for people.
    pub name: String,
    /// What it may call.
    pub methods: Vec<Method>,
    /// The types of notifications that it hears.
    pub notifications: Vec<String>,
    /// What it may spend in a period.
    pub budget: Option<Msat>,
    /// The period.
    pub renewal: BudgetRenewal,
    /// The last second in which it works.
    pub expires_at: Option<UnixSecs>,
    /// When it was made.
    pub created_at: UnixSecs,
    /// Whether the house made it: the server around the wallet, for one of its containers.
    pub by_house: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("service", &self.service)
            .field("client", &self.client)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl Connection {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let methods: String = row.get("methods")?;
        Ok(Self {
            id: row.get("id")?,
            service: row.pubkey("service")?,
            secret: Zeroizing::new(row.get("secret")?),
            client: row.pubkey("client")?,
            owner: row.pubkey("owner")?,
            name: row.get("name")?,
            methods: methods.split(' ').map(Method::from_name).collect(),
            notifications: row
                .get::<_, String>("notification_types")?
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            budget: row.get::<_, Option<i64>>("budget_msat")?.map(Msat::new),
            renewal: row.word("renewal", |word| {
                BudgetRenewal::ALL.into_iter().find(|renewal| renewal.as_str() == word)
            })?,
            expires_at: row.secs_or_none("expires_at")?,
            created_at: row.secs("created_at")?,
            by_house: row.get("house")?,
        })
    }

    /// Whether it works at this moment, as far as its own terms say.
    #[must_use]
    pub fn is_alive(&self, now: UnixSecs) -> bool {
        self.expires_at.is_none_or(|until| now <= until)
    }
}

/// Inserts a connection and returns it with its number.
pub(crate) fn insert(tx: &LedgerTx<'_>, new: Connection) -> rusqlite::Result<Connection> {
    let methods: Vec<&str> = new.methods.iter().map(Method::as_str).collect();
    let id = tx
        .sql()
        .prepare_cached(
            "INSERT INTO connection (service, secret, client, owner, name, methods, notifications, budget_msat,
                 renewal, expires_at, created_at, notification_types, house)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .insert(params![
            new.service.as_bytes(),
            new.secret.as_slice(),
            new.client.as_bytes(),
            new.owner.as_bytes(),
            new.name,
            methods.join(" "),
            !new.notifications.is_empty(),
            new.budget.map(Msat::msat),
            new.renewal.as_str(),
            new.expires_at.map(secs),
            secs(new.created_at),
            new.notifications.join(" "),
            new.by_house,
        ])?;
    Ok(Connection { id, ..new })
}

/// All that work at this moment or may later, oldest first.
pub(crate) fn living(view: View<'_>, now: UnixSecs) -> rusqlite::Result<Vec<Connection>> {
    view.sql()
        .prepare_cached("SELECT * FROM connection WHERE coalesce(expires_at, ?1) >= ?1 ORDER BY id")?
        .query_map([secs(now)], Connection::from_row)?
        .collect()
}

/// All of this owner, also those whose time is over: they take a place until they are forgotten.
pub(crate) fn of_owner(view: View<'_>, owner: &PublicKey) -> rusqlite::Result<Vec<Connection>> {
    view.sql()
        .prepare_cached("SELECT * FROM connection WHERE owner = ?1 ORDER BY id")?
        .query_map([owner.as_bytes()], Connection::from_row)?
        .collect()
}

/// The connection of this number, unless it was revoked.
pub(crate) fn by_id(view: View<'_>, id: i64) -> rusqlite::Result<Option<Connection>> {
    view.sql()
        .prepare_cached("SELECT * FROM connection WHERE id = ?1")?
        .query_row([id], Connection::from_row)
        .optional()
}

/// Deletes those whose time has long been over.
pub(crate) fn forget_ended(tx: &LedgerTx<'_>, now: UnixSecs) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM connection WHERE expires_at < ?1")?
        .execute([secs(now.minus_secs(ENDED_KEPT_SECS))])
        .map(drop)
}

/// Notes that the house made all connections of an owner: it asks for that owner's wallet itself. Those from before that
/// was noted are found out so. True if there were any.
pub(crate) fn are_of_house(tx: &LedgerTx<'_>, owner: &PublicKey) -> rusqlite::Result<bool> {
    let changed = tx
        .sql()
        .prepare_cached("UPDATE connection SET house = 1 WHERE owner = ?1 AND house = 0")?
        .execute([owner.as_bytes()])?;
    Ok(changed > 0)
}

/// Ends a connection of `owner`: its row is deleted, with its secret. False if it has none with this service
/// key.
pub(crate) fn revoke(tx: &LedgerTx<'_>, owner: &PublicKey, service: &PublicKey) -> rusqlite::Result<bool> {
    let changed = tx
        .sql()
        .prepare_cached("DELETE FROM connection WHERE owner = ?1 AND service = ?2")?
        .execute(params![owner.as_bytes(), service.as_bytes()])?;
    Ok(changed == 1)
}

/// What a connection spent since a moment, the beginning of a day, with what is on its way and set aside for
/// fees, and with payments whose rows are gone.
pub(crate) fn spent(view: View<'_>, id: i64, since: UnixSecs) -> rusqlite::Result<Msat> {
    view.sql()
        .prepare_cached(
            "SELECT coalesce(sum(amount_msat +
                 CASE state WHEN 'settled' THEN fee_msat ELSE reserve_msat + service_fee_msat END), 0)
                 + (SELECT coalesce(sum(msat), 0) FROM connection_spent WHERE connection = ?1 AND day >= ?2 / 86400)
             FROM payment WHERE connection = ?1 AND created_at >= ?2 AND state <> 'failed'",
        )?
        .query_row(params![id, secs(since)], |row| row.get(0).map(Msat::new))
}
