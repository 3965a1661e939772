//! `encli wallet history`, with what was there after each payment.

use protocol::nwc::{GetBalance, ListTransactions, Transaction, TransactionState, TransactionType};
use serde::Serialize;
use units::{Msat, UnixSecs};

use super::connect;
use crate::args::WalletHistory;
use crate::context::Context;
use crate::error::Failure;
use crate::output::{Page, Table, View, time};
use crate::wallet::Wallet;

/// Transactions in one reply.
const PAGE: u32 = 20;
/// Pages that are read for the balances: a wallet sorts by when an invoice was made, money moves when it
/// is paid.
const PAGES_MAX: u32 = 25;
/// How long after it was made an invoice may be paid, for all that is known of a wallet: a week.
const PAID_LATE_SECS: u64 = 7 * 24 * 3_600;
/// How often is looked again if something moved in between.
const TRIES: u32 = 3;

/// What went in and out.
#[derive(Debug, Serialize)]
pub(crate) struct History {
    transactions: Vec<Entry>,
    balance_msat: Msat,
    /// What was made at this moment or before may be gone: the wallet keeps a bounded history.
    #[serde(skip_serializing_if = "Option::is_none")]
    forgotten_until: Option<UnixSecs>,
}

/// One of them.
#[derive(Debug, Serialize)]
struct Entry {
    direction: TransactionType,
    state: Option<TransactionState>,
    amount_msat: Msat,
    fees_msat: Msat,
    /// What was there once it had happened; absent if it did not happen, or if that cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    balance_msat: Option<Msat>,
    description: Option<String>,
    payment_hash: String,
    created_at: UnixSecs,
    settled_at: Option<UnixSecs>,
}

/// Lists the newest transactions.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn history(ctx: &Context, args: &WalletHistory) -> Result<History, Failure> {
    let wallet = connect(ctx, &args.wallet).await?;
    let _doing = ctx.progress.begin("asking the wallet");
    for _ in 1..TRIES {
        if let Some(history) = read(&wallet, args, false).await? {
            return Ok(history);
        }
    }
    // A wallet that is never still is shown without balances.
    let history = read(&wallet, args, true).await?;
    history.ok_or_else(|| Failure::refused("bad_reply", "the wallet's answers do not fit together"))
}

/// None if the balance moved while the list was read, unless that is put up with.
async fn read(wallet: &Wallet, args: &WalletHistory, moving: bool) -> Result<Option<History>, Failure> {
    let before = wallet.call(&GetBalance {}).await?.balance;
    let Listed { all, whole, forgotten_until } = transactions(wallet, args).await?;
    let pending = ListTransactions {
        limit: Some(PAGE),
        unpaid: Some(true),
        direction: Some(TransactionType::Outgoing),
        ..ListTransactions::default()
    };
    // What is set aside for a payment on its way, and for its fees, is in no list: nothing can be told then.
    let pending = wallet.call(&pending).await?.transactions;
    let after = wallet.call(&GetBalance {}).await?.balance;
    if before != after && !moving {
        return Ok(None);
    }
    let known = (whole && before == after).then_some(after).filter(|_| !is_on_its_way(&pending));
    let mut entries = run_down(all, known);
    entries.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    Ok(Some(History { transactions: entries, balance_msat: after, forgotten_until }))
}

/// Whether something is set aside for a payment.
fn is_on_its_way(outgoing: &[Transaction]) -> bool {
    outgoing.iter().any(|it| it.state == Some(TransactionState::Pending))
}

/// What a wallet listed.
struct Listed {
    all: Vec<Transaction>,
    /// Whether it is far enough.
    whole: bool,
    forgotten_until: Option<UnixSecs>,
}

/// The transactions from the newest down, far enough to know everything that moved since the last one
/// that is shown; and whether that is far enough.
async fn transactions(wallet: &Wallet, args: &WalletHistory) -> Result<Listed, Failure> {
    let mut all: Vec<Transaction> = Vec::new();
    let mut offset = 0;
    let mut forgotten_until = None;
    for _ in 0..PAGES_MAX {
        let call = ListTransactions {
            limit: Some(PAGE),
            offset: Some(offset),
            unpaid: args.unpaid.then_some(true),
            ..ListTransactions::default()
        };
        let listed = wallet.call(&call).await?;
        forgotten_until = listed.forgotten_until;
        let listed = listed.transactions;
        // A page may be shorter than was asked for; only an empty one is the end.
        let Some(oldest) = listed.last().map(|it| it.created_at) else {
            return Ok(Listed { all, whole: true, forgotten_until });
        };
        let fresh = |it: &Transaction| !all.iter().any(|known| known.payment_hash == it.payment_hash);
        let fresh: Vec<_> = listed.iter().filter(|it| fresh(it)).cloned().collect();
        offset = offset.saturating_add(u32::try_from(listed.len()).unwrap_or(PAGE));
        all.extend(fresh);
        all.sort_by_key(|it| std::cmp::Reverse(moved_at(it)));
        let shown = all.get(usize::try_from(args.limit).unwrap_or(usize::MAX).saturating_sub(1));
        if shown.is_some_and(|it| moved_at(it).minus_secs(PAID_LATE_SECS) > oldest) {
            return Ok(Listed { all, whole: true, forgotten_until });
        }
    }
    Ok(Listed { all, whole: false, forgotten_until })
}

fn moved_at(transaction: &Transaction) -> UnixSecs {
    transaction.settled_at.unwrap_or(transaction.created_at)
}

/// From the balance now, if it is known, back through everything that moved it.
fn run_down(transactions: Vec<Transaction>, mut balance: Option<Msat>) -> Vec<Entry> {
    let entry = |transaction: Transaction| {
        let settled = transaction.state.is_none_or(|state| state == TransactionState::Settled)
            && transaction.settled_at.is_some();
        let after = balance.filter(|_| settled);
        if settled {
            balance = balance.and_then(|after| before(&transaction, after));
        }
        Entry {
            direction: transaction.direction,
            state: transaction.state,
            amount_msat: transaction.amount,
            fees_msat: transaction.fees_paid,
            balance_msat: after,
            description: transaction.description,
            payment_hash: transaction.payment_hash.to_hex(),
            created_at: transaction.created_at,
            settled_at: transaction.settled_at,
        }
    };
    transactions.into_iter().map(entry).collect()
}

/// What was there before; none if that would be less than nothing, as where the wallet took a fee that it
/// does not list.
fn before(transaction: &Transaction, after: Msat) -> Option<Msat> {
    let before = match transaction.direction {
        TransactionType::Incoming => after.minus(transaction.amount).ok()?,
        TransactionType::Outgoing => after.plus(transaction.amount).ok()?.plus(transaction.fees_paid).ok()?,
    };
    (!before.is_negative()).then_some(before)
}

impl View for History {
    fn show(&self, page: &mut Page) {
        if self.transactions.is_empty() {
            page.line("No payments yet.");
            return;
        }
        let mut table = Table::new(&["WHEN", "WAY", "SAT", "FEES", "BALANCE", "STATE", "FOR"]);
        for entry in &self.transactions {
            let way = match entry.direction {
                TransactionType::Incoming => "in",
                TransactionType::Outgoing => "out",
            };
            let state = entry.state.map(|state| match state {
                TransactionState::Pending => "pending",
                TransactionState::Settled => "settled",
                TransactionState::Accepted => "accepted",
                TransactionState::Expired => "expired",
                TransactionState::Failed => "failed",
            });
            table.row([
                time::both_ways(entry.settled_at.unwrap_or(entry.created_at), page.now()),
                way.to_owned(),
                entry.amount_msat.to_string(),
                entry.fees_msat.to_string(),
                entry.balance_msat.map_or_else(|| "-".to_owned(), |balance| balance.to_string()),
                state.unwrap_or("-").to_owned(),
                entry.description.clone().unwrap_or_default(),
            ]);
        }
        page.table(&table);
        if let Some(until) = self.forgotten_until {
            page.line(format!(
                "Of what was before {} the wallet may keep nothing more.",
                time::both_ways(until, page.now())
            ));
        }
    }
}

#[cfg(test)]
mod tests;
