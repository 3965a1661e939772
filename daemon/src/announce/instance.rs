//! The server's own announcement, profile and relay list.

use instance::{Evidence, Vouchers};
use nostr::event::Kind;
use protocol::event::{CheckedEvent, SignError, sign};
use protocol::nec::announcement::{Announcement, History, PriceTag, WalletTag, build};
use protocol::nec::{NecError, Policy, VerifiedInstance};
use protocol::tag;

use units::UnixSecs;

use super::lists::{inbox_list, relay_list};
use super::pace::{Bucket, LIST_EVERY_SECS, OWN};
use super::{AnnounceError, Announcer, may_tell};
use crate::context::Context;

const DESCRIPTION: &str = "enclaved: runs Docker containers in an AWS Nitro Enclave, paid over Lightning";

/// What an announcement tells besides the evidence; another one is made when it changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Tells {
    units_free: u32,
    wallet: Option<WalletTag>,
    history: Option<History>,
    ends_at: Option<UnixSecs>,
}

pub(super) fn told(ctx: &Context) -> Tells {
    let units_free = ctx.store.units_free(ctx.config.capacity.sold_units()).unwrap_or_default();
    Tells { units_free, wallet: ctx.wallet.tag(), history: ctx.history(), ends_at: ctx.notices.ends_at() }
}

/// When the server is announced. What it has left changes with every launch that somebody asks for and leaves
/// unpaid: that is told at a container's pace. All else is told at once.
#[derive(Debug)]
pub(super) struct Turn {
    told: Option<Tells>,
    due: UnixSecs,
    /// When what is left may be told again, if it changed.
    changes: Bucket,
    waits: bool,
    lists_due: UnixSecs,
}

impl Default for Turn {
    fn default() -> Self {
        let (due, lists_due) = (UnixSecs(0), UnixSecs(0));
        Self { told: None, due, changes: Bucket::full(OWN), waits: false, lists_due }
    }
}

impl Turn {
    pub(super) fn is_due(&mut self, tells: &Tells, now: UnixSecs) -> bool {
        let Some(told) = self.told.as_ref().filter(|_| now < self.due) else { return now >= self.due };
        if (Tells { units_free: told.units_free, ..tells.clone() }) != *told {
            return true;
        }
        let changed = told.units_free != tells.units_free;
        let is_due = changed && self.changes.take(1, now.0.saturating_mul(1_000));
        self.waits = changed && !is_due;
        is_due
    }

    pub(super) fn told(&mut self, tells: Tells, due: UnixSecs) {
        (self.told, self.due, self.waits) = (Some(tells), due, false);
    }

    pub(super) fn failed(&mut self, due: UnixSecs) {
        (self.told, self.due, self.waits) = (None, due, false);
    }

    /// When it is announced if nothing changes.
    pub(super) fn due(&self) -> UnixSecs {
        let changes = UnixSecs(self.changes.ready_ms(1).div_ceil(1_000));
        if self.waits { self.due.min(changes) } else { self.due }
    }
}

fn announcement(ctx: &Context, evidence: &Evidence, vouchers: &Vouchers) -> Result<CheckedEvent, SignError> {
    let Tells { units_free, wallet, history, ends_at } = told(ctx);
    let price = &ctx.config.price;
    let played = ctx.config.development.as_ref().and_then(|development| development.version.as_deref());
    let announcement = Announcement {
        description: DESCRIPTION,
        repo: &ctx.config.repo,
        name: &ctx.config.name,
        version: played.unwrap_or(env!("CARGO_PKG_VERSION")),
        env: evidence.env,
        relays: &ctx.config.relays,
        open: ctx.config.launch.open && wallet.is_some() && ends_at.is_none(),
        price: Some(PriceTag { unit_hour_msat: price.unit_hour_msat, period_secs: price.period_secs }),
        units_free: Some((units_free, ctx.config.capacity.sold_units())),
        overcommit_percent: Some(ctx.config.capacity.overcommit_percent).filter(|percent| *percent > 100),
        ends_at,
        wallet,
        limits_not_enforced: &ctx.runtime.facts().not_enforced,
        build: vouchers.build.as_ref(),
        instance: vouchers.instance.as_ref(),
        releases: &vouchers.releases,
        history: history.as_ref(),
    };
    build(&ctx.keys, &announcement, &evidence.root, &evidence.document, ctx.clock.now())
}

/// Checks our announcement as a client would.
fn verify(ctx: &Context, event: &CheckedEvent) -> Result<(), NecError> {
    VerifiedInstance::verify(event, &policy(ctx)).map(drop)
}

fn policy(ctx: &Context) -> Policy {
    Policy { allow_debug: true, ..Policy::new(ctx.attestor.trust_root().clone(), ctx.clock.now()) }
}

/// Leaves out the vouchers that clients would refuse, each with the reason on the log.
pub(super) fn keep_valid(
    ctx: &Context,
    evidence: &Evidence,
    offered: Vouchers,
) -> Result<Vouchers, AnnounceError> {
    offered.keep_valid(&policy(ctx), |vouchers| Ok(announcement(ctx, evidence, vouchers)?))
}

impl Announcer {
    /// Announces the server and returns in how many seconds to do it again.
    pub(super) async fn announce_instance(&self, turn: &mut Turn) -> Result<u64, AnnounceError> {
        let ctx = &self.ctx;
        let evidence = ctx.attestor.current().await?;
        let event = announcement(ctx, &evidence, &self.vouchers)?;
        verify(ctx, &event)?;
        may_tell(ctx)?;
        let now = ctx.clock.now();
        self.outbox.publish("announcement", &event, now).await?;
        let next_secs = evidence.fresh_until().secs_since(ctx.clock.now());
        if now < turn.lists_due {
            return Ok(next_secs);
        }
        turn.lists_due = now.plus_secs(LIST_EVERY_SECS);
        let list = relay_list(&ctx.keys, &ctx.config.relays, &self.outbox.relays().await, now)?;
        let inbox = inbox_list(&ctx.keys, &ctx.config.relays, now)?;
        for (what, event) in [("relay list", list), ("inbox list", inbox), ("profile", profile(ctx)?)] {
            // A relay for announcements alone may refuse these; the announcement stands without them.
            if let Err(e) = self.outbox.publish(what, &event, now).await {
                tracing::warn!("{e}");
            }
        }
        Ok(next_secs)
    }
}

fn profile(ctx: &Context) -> Result<CheckedEvent, SignError> {
    let commands = if ctx.config.messages.enabled { " Write me a private message: help." } else { "" };
    let about = format!("{DESCRIPTION}. Verify before you trust: {}.{commands}", ctx.config.repo);
    let content = serde_json::json!({"name": ctx.config.name, "about": about, "bot": true});
    let tags = vec![tag!["t", "enclaved"], tag!["r", ctx.config.repo]];
    sign(&ctx.keys, Kind::Metadata, ctx.clock.now(), tags, content.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tells(units_free: u32) -> Tells {
        Tells { units_free, wallet: None, history: None, ends_at: None }
    }

    #[test]
    fn units_that_come_and_go_are_told_at_a_pace_and_the_end_at_once() {
        let (start, mut turn) = (UnixSecs(1_800_000_000), Turn::default());
        assert!(turn.is_due(&tells(0), start));
        turn.told(tells(0), start.plus_secs(3_600));
        let mut count = 0;
        for second in 1..=600 {
            let (now, tells) = (start.plus_secs(second), tells(u32::try_from(second % 7).unwrap()));
            if turn.is_due(&tells, now) {
                turn.told(tells, start.plus_secs(3_600));
                count += 1;
            }
        }
        assert!((30..=37).contains(&count), "{count}");
        // Whatever is left is used up.
        let now = start.plus_secs(601);
        if turn.is_due(&tells(49), now) {
            turn.told(tells(49), start.plus_secs(3_600));
        }
        assert!(!turn.is_due(&tells(50), now.plus_secs(1)));
        let due = turn.due();
        assert!(due <= now.plus_secs(21), "{due:?}");
        assert!(turn.is_due(&tells(50), due), "the last change is told");
        turn.told(tells(50), start.plus_secs(3_600));
        assert!(!turn.is_due(&tells(51), due.plus_secs(1)));
        let ending = Tells { ends_at: Some(start), ..tells(51) };
        assert!(turn.is_due(&ending, due.plus_secs(1)));
    }

    #[test]
    fn what_failed_is_made_again_and_not_before() {
        let (start, mut turn) = (UnixSecs(1_800_000_000), Turn::default());
        turn.failed(start.plus_secs(30));
        assert!(!turn.is_due(&tells(0), start) && turn.due() == start.plus_secs(30));
        assert!(turn.is_due(&tells(0), start.plus_secs(30)));
    }
}
