//! Upgrades of containers' images (NEC-07, part B): decided here, carried out by the container's driver.
//!
//! ```text
//! owner ── api ──┐                                   ┌─► fetch ─► swap: stop, copy the volume,
//!                ├─► Order ─► driver: on record ─────┘            run the new image on trial,
//! relays ─ watch ┘   (pinned? policy? one at a time)              keep it or go back
//! ```
//!
//! | module | what |
//! |---|---|
//! | `order` | an image that is to take the place of another, checked as far as it can be beforehand |
//! | `owner` | what owners ask: `upgrade`, `pin`, `unpin`, `upgrades` |
//! | `watch`, `releases` | looks for releases of what runs under the policy `signed`, and judges them |
//! | `swap` | carries out the stages of [`lifecycle::upgrade`] |
//! | `images` | removes images that no container needs any more |
//! | `health` | whether a new image is healthy |
//! | `stages` | keeps every upgrade at its stage while a snapshot is made |
//!
//! What was decided, and why, is a row that the owner can read, and an event of the container's history.

mod health;
pub(crate) mod images;
mod order;
mod owner;
mod releases;
mod stages;
pub(crate) mod swap;
mod watch;

pub(crate) use order::Order;
pub(crate) use owner::{check_launch, list, order as order_of, set_pinned};
pub(crate) use stages::Stages;
pub(crate) use watch::watch;

use protocol::rpc::enclaved::{StateReason, UpgradeOutcome};

use crate::context::Context;
use crate::store::Container;

/// Tells the owner's history and the metrics how an upgrade to `image` ended.
fn tell_end(
    ctx: &Context,
    container: &Container,
    image: &str,
    outcome: UpgradeOutcome,
    why: Option<&StateReason>,
) {
    metrics::counter!("upgrades_total", "outcome" => outcome.as_str()).increment(1);
    let because = why.map(|why| format!(": {} [{}]", why.message, why.code)).unwrap_or_default();
    let text = match outcome {
        UpgradeOutcome::Open => format!("upgrading to {image}"),
        UpgradeOutcome::Done => format!("upgraded to {image}"),
        UpgradeOutcome::Refused => format!("not upgraded to {image}{because}"),
        UpgradeOutcome::RolledBack => format!("upgrade to {image} rolled back{because}"),
        UpgradeOutcome::Cancelled => format!("upgrade to {image} cancelled{because}"),
    };
    let pubkey = container.pubkey();
    tracing::info!(container = %pubkey, outcome = outcome.as_str(), "{text}");
    let code = match outcome {
        UpgradeOutcome::Open => "upgrade_open",
        UpgradeOutcome::Done => "upgraded",
        UpgradeOutcome::Refused => "upgrade_refused",
        UpgradeOutcome::RolledBack => "upgrade_rolled_back",
        UpgradeOutcome::Cancelled => "upgrade_cancelled",
    };
    if let Err(e) = ctx.store.note(&pubkey, ctx.clock.now(), code, &text) {
        tracing::error!("event not noted: {e}");
    }
}

fn because(code: &str, message: impl Into<String>) -> StateReason {
    StateReason { code: code.to_owned(), message: message.into() }
}
