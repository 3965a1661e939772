//! Looking up and listing, for the caller only.

use nostr::key::PublicKey;
use protocol::nwc::{
    LIST_LIMIT_MAX, ListTransactions, LookupInvoice, Transaction, TransactionType, Transactions,
};
use serde::Serialize;
use units::UnixSecs;

use super::refusal::Refusal;
use super::{Wallet, wire};
use crate::lightning::Bolt11;
use crate::store::{Filter, past, transaction};

impl Wallet {
    pub(super) fn lookup(
        &self,
        caller: &PublicKey,
        wanted: &LookupInvoice,
        now: UnixSecs,
    ) -> Result<Transaction, Refusal> {
        let invoice = wanted.invoice.as_deref().map(Bolt11::parse).transpose().map_err(Refusal::Bolt11)?;
        let hash =
            wanted.payment_hash.or(invoice.as_ref().map(Bolt11::payment_hash)).ok_or(Refusal::NotFound)?;
        let found = self.store.read(|view| transaction::lookup(view, caller, hash))?;
        let found = wire::item(&found.ok_or(Refusal::NotFound)?, now);
        // Given both, they must mean the same transaction.
        if invoice.is_some_and(|invoice| found.invoice.as_deref() != Some(invoice.text())) {
            return Err(Refusal::NotFound);
        }
        Ok(found)
    }

    pub(super) fn list(
        &self,
        caller: &PublicKey,
        wanted: &ListTransactions,
        now: UnixSecs,
    ) -> Result<Transactions, Refusal> {
        let offset = wanted.offset.unwrap_or(0);
        // SQLite steps over every row before it.
        let offset_max = self.limits.history_max;
        if offset > offset_max {
            return Err(Refusal::PageTooFar { field: "offset", max: offset_max });
        }
        let filter = Filter {
            from: wanted.from.unwrap_or_default(),
            until: wanted.until.unwrap_or(UnixSecs(u64::MAX)),
            limit: wanted.limit.unwrap_or(LIST_LIMIT_MAX).min(LIST_LIMIT_MAX),
            offset,
            unpaid: wanted.unpaid.unwrap_or(false),
            incoming: wanted.direction != Some(TransactionType::Outgoing),
            outgoing: wanted.direction != Some(TransactionType::Incoming),
        };
        let (items, forgotten_until) = self.store.read(|view| {
            let items = transaction::list(view, caller, &filter)?;
            Ok::<_, rusqlite::Error>((items, past::forgotten_until(view, caller)?))
        })?;
        let bytes_max = usize::try_from(self.limits.reply_bytes_max).unwrap_or(usize::MAX);
        let page = fit(items.iter().map(|item| wire::item(item, now)), bytes_max);
        Ok(Transactions { forgotten_until, ..page })
    }
}

/// As many transactions as fit, and of their notes what then still fits: a note can be dropped, as NIP-47
/// does with long ones; a transaction that finds no room is left for the next page.
fn fit(transactions: impl Iterator<Item = Transaction>, bytes_max: usize) -> Transactions {
    let mut room = bytes_max;
    let mut notes = Vec::new();
    let mut page = Transactions::default();
    for mut transaction in transactions {
        let note = transaction.metadata.take();
        // With a comma.
        let size = size(&transaction) + 1;
        if size > room {
            break;
        }
        room -= size;
        page.transactions.push(transaction);
        notes.push(note);
    }
    for (transaction, note) in page.transactions.iter_mut().zip(notes) {
        let size = size(&note) + r#","metadata":"#.len();
        if note.is_some() && size <= room {
            room -= size;
            transaction.metadata = note;
        }
    }
    page
}

fn size(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(usize::MAX / 2, |json| json.len())
}

#[cfg(test)]
mod tests;
