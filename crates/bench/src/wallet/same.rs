//! What a payment costs SQLite itself: every row that it changes, in the wallet's own tables with their indexes, each
//! payment a commit of its own. Nothing is looked up or checked, and no trigger runs.

use std::path::Path;

use anyhow::Result;
use nwc::store::Store;
use rusqlite::{Connection, Transaction, params};
use units::Stopwatch;

use super::bare::{BOLT11_CHARS, hash};
use super::{PAYERS, books};

/// What figures call it.
pub(super) const PEER: &str = "bare commits of the same rows, synchronous=FULL";
/// Payments of each payer, after a tenth of them to warm up.
const PAYMENTS: u32 = books::EACH;
const EACH: u32 = PAYMENTS + PAYMENTS / 10;
const NOW: u32 = 1_700_000_000;
/// Of the account that holds what is on its way; those of payers follow.
const HOLD: u32 = 1;
/// As the ledger has them, and as the wallet does where its books may become as large as here.
const CACHE_KIB: i64 = 16 * 1024;
pub(super) const LOG_PAGES: u32 = 8_192;

/// Commits a second.
pub(super) fn commits_per_sec(dir: &Path) -> Result<f64> {
    let path = dir.join("same.db");
    drop(Store::open(&path)?);
    let mut connection = Connection::open(&path)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(64);
    let bolt11 = "x".repeat(BOLT11_CHARS);
    fill(&mut connection, &bolt11)?;
    for n in 0..PAYERS * PAYMENTS / 10 {
        pay(&mut connection, n, &bolt11)?;
    }
    let took = Stopwatch::start();
    for n in PAYERS * PAYMENTS / 10..PAYERS * EACH {
        pay(&mut connection, n, &bolt11)?;
    }
    Ok(f64::from(PAYERS * PAYMENTS) / took.elapsed().as_secs_f64())
}

/// The accounts, and the open invoices of each payee one after the other, as the wallet has them.
fn fill(connection: &mut Connection, bolt11: &str) -> Result<()> {
    let triggers: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let tx = connection.transaction()?;
    for name in triggers {
        tx.execute_batch(&format!("DROP TRIGGER {name}"))?;
    }
    tx.execute("INSERT INTO ledger_account VALUES (?1, 'hold', 'liability', 0)", [HOLD])?;
    tx.execute("INSERT INTO open_pool VALUES ('payee', 0, ?1, ?1)", [PAYERS * EACH * 2_000])?;
    tx.execute("UPDATE open_invoices SET total = ?1", [PAYERS * EACH])?;
    for payer in 0..PAYERS {
        let key = hash(payer);
        tx.execute(
            "INSERT INTO ledger_account VALUES (?1, 'user:' || lower(hex(?2)), 'liability', 1000000)",
            params![HOLD + 1 + payer, key],
        )?;
        tx.execute(
            "INSERT INTO open_of (payee, asked_by, unfunded, items, bytes) VALUES (?1, 'payee', 0, ?2, ?3)",
            params![key, EACH + 1, EACH * 2_000],
        )?;
        tx.execute("INSERT INTO answers_of (client, bytes, stranger) VALUES (?1, 0, 0)", [key])?;
        tx.execute("INSERT INTO history_of (pubkey, items, bytes, stranger) VALUES (?1, 0, 0, 0)", [key])?;
        for n in 0..EACH {
            let number = payer * EACH + n;
            tx.prepare_cached(
                "INSERT INTO invoice (id, payment_hash, preimage, payee, own, unfunded, bolt11, amount_msat, state,
                     created_at, expires_at, accept_until)
                 VALUES (?1, ?2, ?2, ?3, 1, 0, ?4, 10, 'open', ?5, ?5, ?5)",
            )?
            .execute(params![number, hash(number), key, bolt11, NOW])?;
        }
    }
    tx.commit()?;
    Ok(())
}

fn pay(connection: &mut Connection, n: u32, bolt11: &str) -> Result<()> {
    // In turn, each the next one's oldest invoice.
    let (from, to) = (n % PAYERS, (n + 1) % PAYERS);
    let invoice = to * EACH + n / PAYERS;
    let (payer, payee, hash) = (hash(from), hash(to), hash(invoice));
    let tx = connection.transaction()?;
    run(
        &tx,
        "INSERT INTO payment (id, payer, payment_hash, bolt11, amount_msat, reserve_msat, attempt, state, preimage,
             created_at, expires_at, settled_at, outside)
         VALUES (?1, ?2, ?3, ?4, 10, 0, 1, 'settled', ?3, ?5, ?5, ?5, 0)",
        params![n, payer, hash, bolt11, NOW],
    )?;
    run(
        &tx,
        "UPDATE invoice SET state = 'settled', settled_at = ?2, received_msat = 10, outside = 0 WHERE id = ?1",
        params![invoice, NOW],
    )?;
    let (from, to) = (HOLD + 1 + from, HOLD + 1 + to);
    for (step, kind, less, more) in
        [("hold", "payment_hold", from, HOLD), ("settle", "internal_payment", HOLD, to)]
    {
        let id = tx
            .prepare_cached(
                "INSERT INTO ledger_transaction (key, kind, memo, posted_at, missing) VALUES (?1, ?2, ?3, ?4, 0)",
            )?
            .insert(params![format!("payment/{n}/1/{step}"), kind, format!("{n:064x}"), NOW])?;
        for (account, amount) in [(less, -10), (more, 10)] {
            run(&tx, "INSERT INTO ledger_posting VALUES (?1, ?2, ?3, ?3)", params![id, account, amount])?;
            run(
                &tx,
                "UPDATE ledger_account SET balance_msat = balance_msat + ?2 WHERE id = ?1",
                params![account, amount],
            )?;
        }
    }
    run(
        &tx,
        "INSERT INTO request (event, client, service, scheme, reply, at, signed_at)
         VALUES (?1, ?2, ?2, 'nip44', ?3, ?4, ?4)",
        params![hash, payer, &bolt11[..150], NOW],
    )?;
    run(&tx, "UPDATE answers_of SET items = items + 1, bytes = bytes + 550 WHERE client = ?1", [payer])?;
    run(&tx, "UPDATE request_bytes SET bytes = bytes + 550", [])?;
    for key in [payer, payee] {
        run(&tx, "UPDATE history_of SET items = items + 1, bytes = bytes + 900 WHERE pubkey = ?1", [key])?;
    }
    run(&tx, "UPDATE history_size SET items = items + 2, bytes = bytes + 1800", [])?;
    run(
        &tx,
        "UPDATE open_of SET items = items - 1, bytes = bytes - 1100
         WHERE payee = ?1 AND asked_by = 'payee' AND unfunded = 0",
        [payee],
    )?;
    run(
        &tx,
        "UPDATE open_pool SET items = items - 1, bytes = bytes - 1100 WHERE asked_by = 'payee' AND unfunded = 0",
        [],
    )?;
    run(&tx, "UPDATE open_invoices SET total = total - 1", [])?;
    tx.commit()?;
    Ok(())
}

fn run(tx: &Transaction<'_>, sql: &str, with: impl rusqlite::Params) -> Result<()> {
    tx.prepare_cached(sql)?.execute(with)?;
    Ok(())
}
