//! What everybody's money weighs, noted beside what everybody has, so that whoever has most is found without looking at
//! everybody. Money moves all the time: the notes are brought up to date now and then, and whoever is about to give
//! way is looked up again.

use ledger::LedgerTx;
use units::Msat;

use super::{Load, invoices};
use crate::service::Wallet;
use crate::store::{StoreError, connection, open_invoice};

/// Notes that are changed in one transaction: others wait for it.
const CHUNK: usize = 128;

impl Wallet {
    /// Brings the notes up to date where a bound could be reached soon. Reads beside the writer, and writes only what
    /// changed.
    pub(in crate::service) fn weigh(&self) -> Result<(), StoreError> {
        let (limits, least) = (self.limits, self.limits.first_min());
        let bytes_max = invoices::bytes_max(&limits);
        for pool in open_invoice::Pool::ALL {
            let items_max = invoices::items_max(pool, &limits);
            let changed = self.store.read(|view| {
                let all = open_invoice::in_pool(view, pool)?;
                let is_near = all.items > items_max / 2 || open_invoice::bytes(view)? > bytes_max / 2;
                let heaps = if is_near { open_invoice::heaps(view, pool)? } else { Vec::new() };
                Ok::<_, StoreError>(outdated(heaps, least, |heap| heap.weight))
            })?;
            self.note(&changed, open_invoice::weigh)?;
        }
        let changed = self.store.read(|view| {
            let counts = connection::counts(view, &self.service_pubkey)?;
            let owners = if counts.of_others > limits.connections_total / 2 {
                connection::owners(view)?
            } else {
                Vec::new()
            };
            Ok::<_, StoreError>(outdated(owners, least, |owner| owner.weight))
        })?;
        self.note(&changed, |tx, owner, weight| connection::weigh(tx, &owner.pubkey, weight))
    }

    fn note<T: Clone + Send + 'static>(
        &self,
        changed: &[(T, u64)],
        weigh: fn(&LedgerTx<'_>, &T, u64) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        for chunk in changed.chunks(CHUNK) {
            let chunk = chunk.to_vec();
            self.store.write(move |tx| {
                chunk.iter().try_for_each(|(one, weight)| weigh(tx, one, *weight))?;
                Ok::<_, StoreError>(())
            })?;
        }
        Ok(())
    }
}

/// Those whose money weighs something else than is noted, with what it weighs.
fn outdated<T>(all: Vec<(T, Msat)>, least: Msat, noted: impl Fn(&T) -> u64) -> Vec<(T, u64)> {
    let weighed = all.into_iter().map(|(one, holds)| {
        let weight = Load::new(0, holds, least).weight;
        (one, weight)
    });
    weighed.filter(|(one, weight)| noted(one) != *weight).collect()
}
