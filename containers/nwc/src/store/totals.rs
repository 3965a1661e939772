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

/// Open invoices of payees who had never been paid.
pub(crate) fn open_unfunded(view: View<'_>) -> rusqlite::Result<u32> {
    view.sql().prepare_cached("SELECT unfunded FROM open_invoices")?.query_row([], |row| row.get(0))
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
