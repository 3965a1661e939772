//! Names that keys chose for their Lightning addresses.

use ledger::{LedgerTx, View};
use nostr::key::PublicKey;
use rusqlite::{OptionalExtension, params};
use units::UnixSecs;

use super::sql::{Columns, secs};

/// Whose name it is.
pub(crate) fn key_of(view: View<'_>, name: &str) -> rusqlite::Result<Option<PublicKey>> {
    view.sql()
        .prepare_cached("SELECT pubkey FROM lightning_name WHERE name = ?1")?
        .query_row([name], |row| row.pubkey("pubkey"))
        .optional()
}

/// The name that a key chose last.
pub(crate) fn name_of(view: View<'_>, key: &PublicKey) -> rusqlite::Result<Option<String>> {
    view.sql()
        .prepare_cached(
            "SELECT name FROM lightning_name WHERE pubkey = ?1 ORDER BY chosen_at DESC, name LIMIT 1",
        )?
        .query_row([key.as_bytes()], |row| row.get(0))
        .optional()
}

/// How many names a key has, and how many all have, counted no further than `total_max`.
pub(crate) fn counts(view: View<'_>, key: &PublicKey, total_max: u32) -> rusqlite::Result<(u32, u32)> {
    let of_key = view
        .sql()
        .prepare_cached("SELECT count(*) FROM lightning_name WHERE pubkey = ?1")?
        .query_row([key.as_bytes()], |row| row.get(0))?;
    let total = view
        .sql()
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM lightning_name LIMIT ?1)")?
        .query_row([total_max], |row| row.get(0))?;
    Ok((of_key, total))
}

/// Writes that a key chose a name; one that it has becomes the newest again. The caller has looked whose
/// it is.
pub(crate) fn choose(tx: &LedgerTx<'_>, key: &PublicKey, name: &str, now: UnixSecs) -> rusqlite::Result<()> {
    // Two choices within a second are still one after the other.
    tx.sql()
        .prepare_cached(
            "INSERT INTO lightning_name (name, pubkey, chosen_at)
             SELECT ?1, ?2, max(?3, coalesce(max(chosen_at) + 1, 0)) FROM lightning_name WHERE pubkey = ?2
             ON CONFLICT (name) DO UPDATE SET chosen_at = excluded.chosen_at",
        )?
        .execute(params![name, key.as_bytes(), secs(now)])
        .map(drop)
}
