//! Keeping history within its bounds.

use std::sync::atomic::Ordering;

use ledger::LedgerTx;
use units::UnixSecs;

use super::Wallet;
use crate::config::Limits;
use crate::store::{self, StoreError, account, past};

const DAY_SECS: u64 = 86_400;
/// Steps of one round: the rest of the upkeep waits meanwhile. Together they are faster than one key may pay.
const STEPS_MAX: u32 = 64;
/// What a step of [`press`] takes: more than one request adds.
const PRESSED_BYTES: u64 = 65_536;
/// Accounts that one round looks through, and those of one transaction that go: others wait for it.
const ACCOUNTS: u32 = 128;
/// Rounds of them, so that keys do not come faster than they go.
const ACCOUNTS_ROUNDS: u32 = 128;
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

impl Wallet {
    /// Deletes accounts that are empty and of which nothing is known any more. Each round goes on where the last one
    /// stopped; the writer is needed only for those that go.
    pub(super) fn close_empty_accounts(&self) -> Result<(), StoreError> {
        for _ in 0..ACCOUNTS_ROUNDS {
            let after = self.looked_until.load(Ordering::Relaxed);
            let emptied =
                self.store.read(|view| account::emptied(view, after, ACCOUNTS).map_err(StoreError::from))?;
            if !emptied.accounts.is_empty() {
                self.store.write(move |tx| account::close(tx, &emptied.accounts))?;
            }
            self.looked_until.store(emptied.next.unwrap_or(0), Ordering::Relaxed);
            if emptied.next.is_none() {
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

/// A step that takes some of the history of whoever has most, for others who find the file full. False if there was
/// nothing to take.
pub(super) fn press(tx: &LedgerTx<'_>, limits: &Limits, now: UnixSecs) -> Result<bool, StoreError> {
    let bytes = past::size(tx.view())?.bytes.saturating_sub(PRESSED_BYTES);
    past::step(tx, &past::Bounds { bytes, ..bounds(limits, now) }, now)
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
