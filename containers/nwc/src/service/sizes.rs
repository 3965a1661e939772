//! What the file holds beside its bounds, for an operator's eye.

use super::Wallet;
use crate::store::{self, StoreError, account, connection, held, past, request, total};

/// Figures of the file.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    used_bytes: u64,
    answers_bytes: u64,
    history: past::Size,
    journal: u64,
    open_unfunded: u32,
    holds: u32,
    connections: u32,
    accounts: account::Size,
}

impl Wallet {
    /// Shows what there is, and what there may be.
    pub(super) fn show_sizes(&self) -> Result<(), StoreError> {
        let nobody = &self.service_pubkey;
        let sizes = self.store.read(|view| {
            Ok::<_, StoreError>(Sizes {
                used_bytes: store::used_bytes(view)?,
                answers_bytes: request::bytes(view)?,
                history: past::size(view)?,
                journal: view.transactions()?,
                open_unfunded: total::open_unfunded(view)?,
                holds: held::counts(view, nobody, false)?
                    .1
                    .saturating_add(held::counts(view, nobody, true)?.1),
                connections: {
                    let counts = connection::counts(view, nobody)?;
                    counts.of_house.saturating_add(counts.of_others)
                },
                accounts: account::size(view)?,
            })
        })?;
        gauge("wallet_books_bytes", sizes.used_bytes);
        gauge("wallet_answers_bytes", sizes.answers_bytes);
        gauge("wallet_history_bytes", sizes.history.bytes);
        gauge("wallet_history_items", sizes.history.items);
        gauge("wallet_journal_transactions", sizes.journal);
        gauge("wallet_open_invoices_unfunded", sizes.open_unfunded.into());
        gauge("wallet_holds", sizes.holds.into());
        gauge("wallet_connections", sizes.connections.into());
        gauge("wallet_accounts_holding", sizes.accounts.holding.into());
        gauge("wallet_accounts_dust", sizes.accounts.dust.into());
        for (limit, value) in self.limits.named() {
            metrics::gauge!("wallet_limit", "limit" => limit).set(f64::from(value));
        }
        Ok(())
    }
}

fn gauge(name: &'static str, value: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is for the eye")]
    metrics::gauge!(name).set(value as f64);
}
