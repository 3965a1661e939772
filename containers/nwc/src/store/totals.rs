//! Sums and counts for limits, solvency and metrics, each cheap enough for every request.

use ledger::{Account, View};
use nostr::key::PublicKey;
use rusqlite::params;
use units::Msat;

/// The accounts that are nobody's: with those of users they sum to zero.
const HOUSE: [Account; 7] = [
    Account::Faucet,
    Account::ServiceFee,
    Account::NodeLightning,
    Account::NodeOnchain,
    Account::RoutingFee,
    Account::LiquidityCost,
    Account::Suspense,
];

/// What the wallet owes and what was put into it, as the books say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Owed {
    /// To users, with what is on hold for them.
    pub(crate) liabilities: Msat,
    /// What a development faucet gave; it stands for money that is really there.
    pub(crate) endowment: Msat,
}

/// Sums up what is owed. The books balance, so it is what the house's own few accounts are short of.
pub(crate) fn owed(view: View<'_>) -> rusqlite::Result<Owed> {
    let mut house: i64 = 0;
    for account in HOUSE {
        house = house.saturating_add(view.balance(account)?.msat());
    }
    let endowment = view.balance(Account::Faucet)?;
    Ok(Owed {
        liabilities: Msat::new(house.saturating_neg()),
        endowment: Msat::new(endowment.msat().saturating_neg()),
    })
}

/// How many accounts there are, the house's few included. Accounts are numbered and never deleted.
pub(crate) fn accounts(view: View<'_>) -> rusqlite::Result<u32> {
    view.sql()
        .prepare_cached("SELECT coalesce(max(id), 0) FROM ledger_account")?
        .query_row([], |row| row.get(0))
}

/// Keys without an account that money is being taken for.
pub(crate) fn accounts_to_come(view: View<'_>, but: &PublicKey) -> rusqlite::Result<u32> {
    view.sql()
        .prepare_cached(
            "SELECT count(DISTINCT payee) FROM invoice i WHERE state IN ('accepted', 'claiming') AND payee <> ?1
                 AND NOT EXISTS (SELECT 1 FROM ledger_account WHERE key = 'user:' || lower(hex(i.payee)))",
        )?
        .query_row([but.as_bytes()], |row| row.get(0))
}

/// What is being taken for a payee: not credited yet, but decided.
pub(crate) fn coming_in(view: View<'_>, payee: &PublicKey) -> rusqlite::Result<Msat> {
    view.sql()
        .prepare_cached(
            "SELECT coalesce(sum(amount_msat), 0) FROM invoice
             WHERE payee = ?1 AND state IN ('accepted', 'claiming')",
        )?
        .query_row([payee.as_bytes()], |row| row.get(0).map(Msat::new))
}

/// True if fewer than `max` wallets hold at least `least`. Wallets that were emptied take no place: whoever
/// moves the same money through many keys fills none.
pub(crate) fn has_place(view: View<'_>, max: u32, least: Msat, to_come: u32) -> rusqlite::Result<bool> {
    // As long as there are so few accounts in all, nothing needs to be counted.
    if accounts(view)?.saturating_add(to_come) < max {
        return Ok(true);
    }
    let holding: u32 = view
        .sql()
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM ledger_account
                 WHERE class = 'liability' AND key <> 'hold' AND balance_msat >= ?1 LIMIT ?2)",
        )?
        .query_row(params![least.msat(), max], |row| row.get(0))?;
    Ok(holding.saturating_add(to_come) < max)
}

/// Payments in flight to the outside: of this payer, and of all. What is locked in for a hold invoice of ours
/// takes no place in a channel, and is bounded by itself.
pub(crate) fn in_flight(view: View<'_>, payer: &PublicKey) -> rusqlite::Result<(u32, u32)> {
    view.sql()
        .prepare_cached(
            "SELECT coalesce(sum(payer = ?1), 0), count(*) FROM payment p WHERE state IN ('held', 'dispatched')
                 AND NOT EXISTS (SELECT 1 FROM invoice i
                     WHERE i.payment_hash = p.payment_hash AND i.bolt11 = p.bolt11)",
        )?
        .query_row(params![payer.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// What was set aside for payments that may have been handed over to the node: amounts and what routing may take.
pub(crate) fn on_the_way(view: View<'_>) -> rusqlite::Result<Msat> {
    view.sql()
        .prepare_cached(
            "SELECT coalesce(sum(amount_msat + reserve_msat), 0) FROM payment p WHERE state = 'dispatched'
                 AND NOT EXISTS (SELECT 1 FROM invoice i
                     WHERE i.payment_hash = p.payment_hash AND i.bolt11 = p.bolt11)",
        )?
        .query_row([], |row| row.get(0).map(Msat::new))
}

/// All open invoices.
pub(crate) fn open_invoices(view: View<'_>) -> rusqlite::Result<u32> {
    view.sql().prepare_cached("SELECT total FROM open_invoices")?.query_row([], |row| row.get(0))
}
