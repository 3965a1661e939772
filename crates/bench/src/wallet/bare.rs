//! The least that a payment could be on the disk: what it is and moves, without the counts by which a wallet is
//! bounded, in tables without a second index. Each payment is a commit of its own.

use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, params};
use units::Stopwatch;

use super::same;

/// What figures call it.
pub(super) const PEER: &str = "bare commits of the fewest rows, no index, synchronous=FULL";
/// Payments, after a tenth of them to warm up.
const PAYMENTS: u32 = 2_000;
pub(super) const BOLT11_CHARS: usize = 300;

const TABLES: &str = "
    CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL) STRICT;
    CREATE TABLE entry (id INTEGER PRIMARY KEY, key TEXT NOT NULL, kind TEXT NOT NULL, memo TEXT NOT NULL,
        at INTEGER NOT NULL) STRICT;
    CREATE TABLE posting (entry INTEGER NOT NULL, account INTEGER NOT NULL, amount INTEGER NOT NULL,
        after INTEGER NOT NULL, PRIMARY KEY (entry, account)) STRICT, WITHOUT ROWID;
    CREATE TABLE invoice (id INTEGER PRIMARY KEY, hash BLOB NOT NULL, bolt11 TEXT NOT NULL, state TEXT NOT NULL,
        settled_at INTEGER, received INTEGER) STRICT;
    CREATE TABLE payment (id INTEGER PRIMARY KEY, payer BLOB NOT NULL, hash BLOB NOT NULL, bolt11 TEXT NOT NULL,
        amount INTEGER NOT NULL, state TEXT NOT NULL, preimage BLOB, at INTEGER NOT NULL) STRICT;
    CREATE TABLE request (event BLOB PRIMARY KEY, client BLOB NOT NULL, reply TEXT NOT NULL, at INTEGER NOT NULL)
        STRICT, WITHOUT ROWID;";

/// Commits a second.
pub(super) fn commits_per_sec(dir: &Path) -> Result<f64> {
    let mut connection = Connection::open(dir.join("bare.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", same::LOG_PAGES)?;
    connection.execute_batch(TABLES)?;
    let bolt11 = "x".repeat(BOLT11_CHARS);
    let insert = "INSERT INTO invoice (id, hash, bolt11, state) VALUES (?1, ?2, ?3, 'open')";
    let total = PAYMENTS + PAYMENTS / 10;
    let tx = connection.transaction()?;
    for n in 0..total {
        tx.prepare_cached(insert)?.execute(params![n, hash(n), bolt11])?;
    }
    for n in 0..66 {
        tx.execute("INSERT INTO account VALUES (?1, 0)", [n])?;
    }
    tx.commit()?;
    for n in 0..PAYMENTS / 10 {
        pay(&mut connection, n, &bolt11)?;
    }
    let took = Stopwatch::start();
    for n in PAYMENTS / 10..total {
        pay(&mut connection, n, &bolt11)?;
    }
    Ok(f64::from(PAYMENTS) / took.elapsed().as_secs_f64())
}

/// Thirty-two bytes that lie all over an index, as hashes do.
pub(super) fn hash(n: u32) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
    hash
}

fn pay(connection: &mut Connection, n: u32, bolt11: &str) -> Result<()> {
    let (hash, now) = (hash(n), 1_700_000_000);
    let tx = connection.transaction()?;
    tx.prepare_cached("INSERT INTO payment VALUES (?1, ?2, ?3, ?4, 10, 'settled', ?2, ?5)")?
        .execute(params![n, hash, hash, bolt11, now])?;
    tx.prepare_cached("UPDATE invoice SET state = 'settled', settled_at = ?2, received = 10 WHERE id = ?1")?
        .execute(params![n, now])?;
    for (kind, from, to) in [("hold", n % 64, 64), ("settle", 64, (n + 1) % 64)] {
        let entry = tx
            .prepare_cached("INSERT INTO entry (key, kind, memo, at) VALUES (?1, ?2, ?3, ?4)")?
            .insert(params![format!("payment/{n}/1/{kind}"), kind, format!("{n:064x}"), now])?;
        for (account, amount) in [(from, -10), (to, 10)] {
            tx.prepare_cached("INSERT INTO posting VALUES (?1, ?2, ?3, ?3)")?
                .execute(params![entry, account, amount])?;
            tx.prepare_cached("UPDATE account SET balance = balance + ?2 WHERE id = ?1")?
                .execute(params![account, amount])?;
        }
    }
    tx.prepare_cached("INSERT INTO request VALUES (?1, ?1, ?2, ?3)")?.execute(params![
        hash,
        &bolt11[..150],
        now
    ])?;
    tx.commit()?;
    Ok(())
}
