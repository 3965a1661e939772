//! What has to be done without being asked for: sending back what was locked in for too long, telling the
//! node what it was not told before a crash, the holding fee, and watching that the house can pay.

use ledger::Account;
use units::{Msat, UnixSecs};

use super::Wallet;
use super::answer::Notice;
use crate::lightning::Assets;
use crate::store::{StoreError, account, fee, total};

/// Whether the house can pay what it owes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Solvency {
    /// What users own, with what is on hold for them.
    pub liabilities: Msat,
    /// What there is to pay it with: the node's, less what it must keep, and a development endowment.
    pub assets: Msat,
}

impl Solvency {
    /// True if there is enough.
    #[must_use]
    pub fn is_solvent(&self) -> bool {
        self.liabilities <= self.assets
    }
}

impl Wallet {
    /// Does all of it. To be called every few seconds; returns what is to be sent. One part that fails keeps
    /// none of the others from being done.
    ///
    /// # Errors
    /// The first [`StoreError`], unless there is something to be sent: that is on the disk and would not come
    /// again. Each is logged, and what failed is done next time.
    pub fn upkeep(&self, now: UnixSecs) -> Result<Vec<Notice>, StoreError> {
        let overdue = self.cancel_overdue(now);
        let rest = [
            ("telling the node", self.tell_node()),
            ("ending connections", self.drop_ended_connections(now)),
            ("charging for holding", self.charge_for_holding(now)),
            ("compacting the history", self.compact(now)),
            ("closing empty accounts", self.close_empty_accounts()),
            ("weighing what everybody holds", self.weigh()),
            ("watching the solvency", self.watch_solvency()),
        ];
        let mut fault = None;
        for (part, done) in rest {
            if let Err(error) = done {
                tracing::error!(part, %error, "a part of the wallet's upkeep failed");
                fault = fault.or(Some(error));
            }
        }
        let overdue = overdue.unwrap_or_else(|error| {
            tracing::error!(part = "sending back what is overdue", %error, "a part of the wallet's upkeep failed");
            fault = Some(error);
            Vec::new()
        });
        let mut notices = self.take_backlog();
        notices.extend(overdue);
        match fault {
            Some(fault) if notices.is_empty() => Err(fault),
            Some(_) | None => Ok(notices),
        }
    }

    /// Compares what is owed with what there is, in one snapshot of the books.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn solvency(&self) -> Result<Solvency, StoreError> {
        let node = self.backend.assets();
        self.store.read(|view| solvency(view, node).map_err(StoreError::from))
    }

    pub(super) fn watch_solvency(&self) -> Result<(), StoreError> {
        let state = self.solvency()?;
        let solvent = state.is_solvent();
        if self.solvent.send_replace(solvent) != solvent {
            let Solvency { liabilities, assets } = state;
            if solvent {
                tracing::info!(%liabilities, %assets, "the wallet can pay what it owes again; payments go on");
            } else {
                tracing::error!(%liabilities, %assets, "the wallet owes more than there is; payments to the outside are stopped");
            }
        }
        self.show(state)
    }

    /// True while the house can pay what it owes, as of the last [`Self::upkeep`]. Changes are told.
    #[must_use]
    pub fn solvent(&self) -> tokio::sync::watch::Receiver<bool> {
        self.solvent.subscribe()
    }

    fn show(&self, state: Solvency) -> Result<(), StoreError> {
        let (wallets, open, in_flight) = self.store.read(|view| {
            let open = total::open_invoices(view)?;
            let (_, in_flight) = total::in_flight(view, &self.service_pubkey)?;
            Ok::<_, StoreError>((account::size(view)?.total, open, in_flight))
        })?;
        self.show_sizes()?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is for the eye")]
        let msat = |amount: Msat| amount.msat() as f64;
        metrics::gauge!("wallet_liabilities_msat").set(msat(state.liabilities));
        metrics::gauge!("wallet_assets_msat").set(msat(state.assets));
        metrics::gauge!("wallet_solvent").set(if state.is_solvent() { 1.0 } else { 0.0 });
        metrics::gauge!("wallet_accounts").set(f64::from(wallets));
        metrics::gauge!("wallet_open_invoices").set(f64::from(open));
        metrics::gauge!("wallet_payments_in_flight").set(f64::from(in_flight));
        Ok(())
    }

    fn charge_for_holding(&self, now: UnixSecs) -> Result<(), StoreError> {
        let Some(holding) = self.fees.holding else { return Ok(()) };
        let exempt = self.exempt.iter().map(|key| Account::User(key.to_bytes())).collect();
        let round =
            fee::Round { period: now.0 / u64::from(holding.period_secs), fee: holding.amount, exempt };
        // In small transactions, so that requests go on in between.
        loop {
            let round = round.clone();
            if self.store.write(move |tx| fee::charge(tx, &round, now))? {
                return Ok(());
            }
        }
    }
}

/// What is owed, and what there is: `node`'s money, and a development faucet's.
///
/// A payment on its way is still owed here, because it may come back, and has left the node's side of the channel:
/// what is locked in for it stands against what is on hold for it, as far as the books know of it.
pub(super) fn solvency(view: ledger::View<'_>, node: Option<Assets>) -> rusqlite::Result<Solvency> {
    let owed = total::owed(view)?;
    let Assets { spendable, in_flight } = node.unwrap_or_default();
    let in_flight = in_flight.min(total::on_the_way(view)?);
    let assets = spendable.msat().saturating_add(in_flight.msat()).saturating_add(owed.endowment.msat());
    Ok(Solvency { liabilities: owed.liabilities, assets: Msat::new(assets) })
}
