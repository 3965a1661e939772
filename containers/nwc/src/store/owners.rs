//! How many connections there are, of whom, and which of them gives way where there are too many.

use ledger::{LedgerTx, View};
use nostr::key::PublicKey;
use rusqlite::{OptionalExtension, Row};
use units::Msat;

use super::accounts;
use super::sql::Columns;

/// How many there are, with those whose time is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Counts {
    /// Of one owner, whoever made them.
    pub(crate) of_owner: u32,
    /// That the house made.
    pub(crate) of_house: u32,
    /// That others made.
    pub(crate) of_others: u32,
}

pub(crate) fn counts(view: View<'_>, owner: &PublicKey) -> rusqlite::Result<Counts> {
    view.sql()
        .prepare_cached(
            "SELECT house, others, (SELECT count(*) FROM connection WHERE owner = ?1) AS own
             FROM connections_size",
        )?
        .query_row([owner.as_bytes()], |row| {
            Ok(Counts {
                of_owner: row.get("own")?,
                of_house: row.get("house")?,
                of_others: row.get("others")?,
            })
        })
}

/// An owner of connections that the house did not make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Owner {
    pub(crate) pubkey: PublicKey,
    pub(crate) items: u64,
    /// What its money weighed when that was looked up.
    pub(crate) weight: u64,
}

impl Owner {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { pubkey: row.pubkey("owner")?, items: row.get("items")?, weight: row.get("weight")? })
    }
}

/// One of them.
pub(crate) fn owner(view: View<'_>, of: &PublicKey) -> rusqlite::Result<Option<Owner>> {
    view.sql()
        .prepare_cached("SELECT * FROM connections_of WHERE owner = ?1")?
        .query_row([of.as_bytes()], Owner::from_row)
        .optional()
}

/// The one that has most for its weight.
pub(crate) fn most(view: View<'_>) -> rusqlite::Result<Option<Owner>> {
    view.sql()
        .prepare_cached("SELECT * FROM connections_of ORDER BY items * 65536 / weight DESC, last LIMIT 1")?
        .query_row([], Owner::from_row)
        .optional()
}

/// All of them with what they hold.
pub(crate) fn owners(view: View<'_>) -> rusqlite::Result<Vec<(Owner, Msat)>> {
    let owners: Vec<Owner> = view
        .sql()
        .prepare_cached("SELECT * FROM connections_of")?
        .query_map([], Owner::from_row)?
        .collect::<Result<_, _>>()?;
    owners.into_iter().map(|owner| Ok((owner, accounts::holds(view, &owner.pubkey)?))).collect()
}

/// Notes what an owner's money weighs.
pub(crate) fn weigh(tx: &LedgerTx<'_>, owner: &PublicKey, weight: u64) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("UPDATE connections_of SET weight = ?2 WHERE owner = ?1")?
        .execute(rusqlite::params![owner.as_bytes(), weight])
        .map(drop)
}

/// Ends the newest connection of an owner that the house did not make: the others have been in use for longer.
pub(crate) fn drop_newest(tx: &LedgerTx<'_>, owner: &PublicKey) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached(
            "DELETE FROM connection WHERE id = (SELECT max(id) FROM connection WHERE owner = ?1 AND house = 0)",
        )?
        .execute([owner.as_bytes()])
        .map(drop)
}
