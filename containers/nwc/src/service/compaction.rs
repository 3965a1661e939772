//! Keeping history within its bounds.

use ledger::LedgerTx;
use units::UnixSecs;

use super::Wallet;
use crate::config::Limits;
use crate::store::{self, StoreError, past};

const DAY_SECS: u64 = 86_400;
/// Steps of one round: the rest of the upkeep waits meanwhile. Together they are faster than one key may pay.
const STEPS_MAX: u32 = 64;
/// Hashes of payments that went are not forgotten so soon after a start: a node first repeats what it said last.
const SETTLING_SECS: u64 = 3_600;

/// The journal's part of the file: one in so many.
const JOURNAL_PART: u32 = 8;
/// What a transaction takes of it, with its postings and their entries in indexes.
const JOURNAL_BYTES: u32 = 256;
/// What is left of the journal where room is short: one in so many of what it may be.
const SHORT_PART: u32 = 4;

impl Wallet {
    /// Does what is due, in small transactions, so that requests go on in between.
    pub(super) fn compact(&self, now: UnixSecs) -> Result<(), StoreError> {
        let forget_hashes = now > self.started_at.plus_secs(SETTLING_SECS);
        let bytes_max = u64::from(self.limits.books_bytes_max);
        for _ in 0..STEPS_MAX {
            // What a node reports is written without asking for room; here it is made before there is none.
            let used = self.store.read(|view| store::used_bytes(view).map_err(StoreError::from))?;
            let is_short = used > bytes_max / 16 * 15;
            let bounds = if is_short { short(&self.limits, now) } else { bounds(&self.limits, now) };
            let bounds = past::Bounds { forget_hashes, ..bounds };
            // Most of the time nothing is; looking for that does not need the writer.
            if !self.store.read(|view| past::is_due(view, &bounds, now).map_err(StoreError::from))?
                || !self.store.write(move |tx| past::step(tx, &bounds, now))?
            {
                break;
            }
        }
        Ok(())
    }
}

/// One step, for whoever finds the file full.
pub(super) fn make_room(tx: &LedgerTx<'_>, limits: &Limits, now: UnixSecs) -> Result<(), StoreError> {
    past::step(tx, &short(limits, now), now).map(drop)
}

fn bounds(limits: &Limits, now: UnixSecs) -> past::Bounds {
    past::Bounds {
        items_per_key: limits.history_items_max,
        oldest: now.minus_secs(u64::from(limits.history_days).saturating_mul(DAY_SECS)),
        // A half of the file: the other is for what is under way, remembered or to be paid.
        bytes: u64::from(limits.books_bytes_max) / 2,
        // A small file has a small journal, whatever is configured.
        journal: limits.journal_max.min(limits.books_bytes_max / JOURNAL_PART / JOURNAL_BYTES),
        file_bytes: limits.books_bytes_max,
        forget_hashes: false,
    }
}

/// The same where room is short: of the journal, which nobody is shown, less is kept.
fn short(limits: &Limits, now: UnixSecs) -> past::Bounds {
    let usual = bounds(limits, now);
    past::Bounds { journal: usual.journal / SHORT_PART, ..usual }
}
