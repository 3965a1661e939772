//! Who may still write when the file fills up.
//!
//! ```text
//!  0 ──────── strangers ────────► 3/4 ──── who holds money ────► 7/8 ──── what must go on ────► the bound
//! ```
//!
//! Everything in the file has a share, beyond which whoever has most of it gives way: history a half, open invoices an
//! eighth, remembered answers an eighth (a quarter for those who hold money), what can never go a sixteenth each. Where
//! the parts above are short all the same, history gives way first: of whoever has most, the oldest, and of keys that
//! hold nothing before others. What settles, claims or gives back, and the house's own keys, have a part that nobody
//! else uses. What a node reports is written without asking here.

use ledger::LedgerTx;
use nostr::key::PublicKey;
use protocol::nwc::Method;
use units::UnixSecs;

use super::compaction;
use super::limits::Standing;
use super::refusal::Refusal;
use super::shares::gave_way;
use crate::config::Limits;
use crate::store::{self, RequestEvent, StoreError, invoice, past, request};

/// Dead invoices that are left where room is short: none, they are only looked up.
const DEAD_KEPT: u32 = 0;
/// Invoices whose time has passed that are swept then.
const SWEPT: u32 = 1_024;
/// How often whoever has most answers gives some up for one request: together more bytes than the longest takes.
const ANSWERS_GIVE_WAY_MAX: u32 = 32;
/// Steps by which history gives way for one request: others wait meanwhile for some milliseconds.
const HISTORY_GIVES_WAY_MAX: u32 = 4;

/// For whom there is how much room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// Any key.
    Stranger,
    /// A key that holds money.
    Holder,
    /// What must go on.
    Reserve,
}

impl Part {
    /// Eighths of the file up to which this part reaches.
    const fn eighths(self) -> u64 {
        match self {
            Self::Stranger => 6,
            Self::Holder => 7,
            Self::Reserve => 8,
        }
    }

    /// Sixteenths of the file that remembered answers may take before some are given up for this part.
    const fn sixteenths_of_answers(self) -> u64 {
        match self {
            Self::Stranger => 2,
            Self::Holder => 4,
            Self::Reserve => 16,
        }
    }
}

/// Whether a method ends something that was begun, so that it frees more than it takes.
pub(super) const fn is_urgent(method: &Method) -> bool {
    matches!(method, Method::SettleHoldInvoice | Method::CancelHoldInvoice | Method::RevokeConnection)
}

/// The part of a wallet's requests.
pub(super) fn part_of(tx: &LedgerTx<'_>, wallet: &PublicKey, limits: &Limits) -> rusqlite::Result<Part> {
    Ok(match Standing::of(tx.view(), wallet, limits)? {
        Standing::Stranger => Part::Stranger,
        Standing::Holder => Part::Holder,
    })
}

/// Refuses what has no room. Makes room first, which stays done. `event` is what would be remembered.
pub(super) fn check(
    tx: &LedgerTx<'_>,
    part: Part,
    (wallet, event): (&PublicKey, Option<&RequestEvent>),
    limits: &Limits,
    now: UnixSecs,
) -> Result<Option<Refusal>, StoreError> {
    if part == Part::Reserve {
        return press_on(tx, wallet, limits, now).map(|()| None);
    }
    if let Some(event) = event
        && let Some(refusal) = check_answers(tx, part, event, limits, now)?
    {
        return Ok(Some(refusal));
    }
    if has_room(tx, part, limits)? {
        return Ok(None);
    }
    make_room(tx, limits, now)?;
    for _ in 0..HISTORY_GIVES_WAY_MAX {
        if has_room(tx, part, limits)? {
            return Ok(None);
        }
        if !compaction::press(tx, limits, now)? {
            break;
        }
        gave_way("history");
    }
    Ok(if has_room(tx, part, limits)? { None } else { Some(Refusal::Full) })
}

/// Sees that one more answer can be remembered.
fn check_answers(
    tx: &LedgerTx<'_>,
    part: Part,
    event: &RequestEvent,
    limits: &Limits,
    now: UnixSecs,
) -> rusqlite::Result<Option<Refusal>> {
    if request::is_forgotten(tx.view(), event)? {
        return Ok(Some(Refusal::Forgotten));
    }
    let client = &event.client;
    if request::rows_of(tx.view(), client)? >= limits.answers_per_key {
        request::forget_of(tx, client, now)?;
        if request::rows_of(tx.view(), client)? >= limits.answers_per_key {
            return Ok(Some(Refusal::TooManyRequests));
        }
    }
    let bytes_max = u64::from(limits.books_bytes_max) / 16 * part.sixteenths_of_answers();
    // Strangers are counted by themselves, and make room among themselves.
    let of_strangers = part == Part::Stranger;
    let has_room = || {
        let view = tx.view();
        let bytes = if of_strangers { request::bytes_of_strangers(view) } else { request::bytes(view) };
        bytes.map(|bytes| bytes < bytes_max)
    };
    if has_room()? {
        return Ok(None);
    }
    request::forget(tx, now)?;
    for _ in 0..ANSWERS_GIVE_WAY_MAX {
        if has_room()? {
            return Ok(None);
        }
        if !request::forget_most(tx, of_strangers)? {
            break;
        }
        gave_way("answers");
    }
    Ok(if has_room()? { None } else { Some(Refusal::Full) })
}

/// What must go on is never refused. So that it does not use up the reserve, it makes room from where others would
/// be refused, and gives up the oldest of its own history if that was not enough.
fn press_on(tx: &LedgerTx<'_>, wallet: &PublicKey, limits: &Limits, now: UnixSecs) -> Result<(), StoreError> {
    if has_room(tx, Part::Holder, limits)? {
        return Ok(());
    }
    make_room(tx, limits, now)?;
    if has_room(tx, Part::Holder, limits)? { Ok(()) } else { past::squeeze(tx, wallet, now) }
}

/// Makes room from what nobody will miss.
fn make_room(tx: &LedgerTx<'_>, limits: &Limits, now: UnixSecs) -> Result<(), StoreError> {
    request::forget(tx, now)?;
    invoice::sweep(tx, now, SWEPT)?;
    invoice::forget_dead(tx, DEAD_KEPT)?;
    compaction::make_room(tx, limits, now)
}

fn has_room(tx: &LedgerTx<'_>, part: Part, limits: &Limits) -> Result<bool, StoreError> {
    let bytes_max = u64::from(limits.books_bytes_max);
    Ok(store::used_bytes(tx.view())? < bytes_max / 8 * part.eighths())
}
