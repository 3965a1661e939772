//! Who may still write when the file fills up.
//!
//! ```text
//!  0 ──────────── strangers ───────────► 3/4 ── who has been paid ──► 7/8 ── what must go on ──► the bound
//! ```
//!
//! Keys cost nothing, so what they can make the wallet remember is a part of the file. What settles, claims or
//! gives back, and the house's own keys, have a part that nobody else uses. What a node reports is written
//! without asking here.

use ledger::{Account, LedgerTx};
use nostr::key::PublicKey;
use protocol::nwc::Method;
use units::UnixSecs;

use super::refusal::Refusal;
use crate::config::Limits;
use crate::store::{self, StoreError, invoice, request};

/// Dead invoices that are left where room is short: none, they are only looked up.
const DEAD_KEPT: u32 = 0;
/// Invoices whose time has passed that are swept then.
const SWEPT: u32 = 1_024;

/// For whom there is how much room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// Any key.
    Stranger,
    /// A key that has been paid.
    Paid,
    /// What must go on.
    Reserve,
}

impl Part {
    /// Eighths of the file up to which this part reaches.
    const fn eighths(self) -> u64 {
        match self {
            Self::Stranger => 6,
            Self::Paid => 7,
            Self::Reserve => 8,
        }
    }

    /// Sixteenths of the file that remembered answers may take before this part is refused.
    const fn sixteenths_of_answers(self) -> u64 {
        match self {
            Self::Stranger => 2,
            Self::Paid => 4,
            Self::Reserve => 16,
        }
    }
}

/// Whether a method ends something that was begun, so that it frees more than it takes.
pub(super) const fn is_urgent(method: &Method) -> bool {
    matches!(method, Method::SettleHoldInvoice | Method::CancelHoldInvoice | Method::RevokeConnection)
}

/// The part of a wallet's requests.
pub(super) fn part_of(tx: &LedgerTx<'_>, wallet: &PublicKey) -> rusqlite::Result<Part> {
    let account = Account::User(wallet.to_bytes());
    Ok(if tx.view().exists(account)? { Part::Paid } else { Part::Stranger })
}

/// Refuses what has no room. Makes room first from what nobody will miss, which stays done.
pub(super) fn check(
    tx: &LedgerTx<'_>,
    part: Part,
    client: Option<&PublicKey>,
    limits: &Limits,
    now: UnixSecs,
) -> Result<Option<Refusal>, StoreError> {
    if part == Part::Reserve {
        return Ok(None);
    }
    if let Some(client) = client
        && request::rows_of(tx.view(), client)? >= limits.answers_per_key
    {
        request::forget_of(tx, client, now)?;
        if request::rows_of(tx.view(), client)? >= limits.answers_per_key {
            return Ok(Some(Refusal::TooManyRequests));
        }
    }
    if has_room(tx, part, limits)? {
        return Ok(None);
    }
    request::forget(tx, now)?;
    invoice::sweep(tx, now, SWEPT)?;
    invoice::forget_dead(tx, DEAD_KEPT)?;
    Ok(if has_room(tx, part, limits)? { None } else { Some(Refusal::Full) })
}

fn has_room(tx: &LedgerTx<'_>, part: Part, limits: &Limits) -> Result<bool, StoreError> {
    let bytes_max = u64::from(limits.books_bytes_max);
    Ok(store::used_bytes(tx.view())? < bytes_max / 8 * part.eighths()
        && request::bytes(tx.view())? < bytes_max / 16 * part.sixteenths_of_answers())
}
