//! The server's own announcement, profile and relay list.

use instance::{Evidence, Vouchers};
use nostr::event::Kind;
use protocol::event::{CheckedEvent, SignError, sign};
use protocol::nec::announcement::{Announcement, History, PriceTag, WalletTag, build};
use protocol::nec::{NecError, Policy, VerifiedInstance};
use protocol::tag;

use units::UnixSecs;

use super::lists::{inbox_list, relay_list};
use super::{AnnounceError, Announcer, may_tell};
use crate::context::Context;

const DESCRIPTION: &str = "enclaved: runs Docker containers in an AWS Nitro Enclave, paid over Lightning";

/// What an announcement tells besides the evidence; another one is made when it changes.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Told {
    units_free: u32,
    wallet: Option<WalletTag>,
    history: Option<History>,
    ends_at: Option<UnixSecs>,
}

pub(super) fn told(ctx: &Context) -> Told {
    let units_free = ctx.store.units_free(ctx.config.capacity.sold_units()).unwrap_or_default();
    Told { units_free, wallet: ctx.wallet.tag(), history: ctx.history(), ends_at: ctx.notices.ends_at() }
}

fn announcement(ctx: &Context, evidence: &Evidence, vouchers: &Vouchers) -> Result<CheckedEvent, SignError> {
    let Told { units_free, wallet, history, ends_at } = told(ctx);
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
    pub(super) async fn announce_instance(&self) -> Result<u64, AnnounceError> {
        let ctx = &self.ctx;
        let evidence = ctx.attestor.current().await?;
        let event = announcement(ctx, &evidence, &self.vouchers)?;
        verify(ctx, &event)?;
        may_tell(ctx)?;
        let now = ctx.clock.now();
        self.outbox.publish("announcement", &event, now).await?;
        let list = relay_list(&ctx.keys, &ctx.config.relays, &self.outbox.relays().await, now)?;
        let inbox = inbox_list(&ctx.keys, &ctx.config.relays, now)?;
        for (what, event) in [("relay list", list), ("inbox list", inbox), ("profile", profile(ctx)?)] {
            // A relay for announcements alone may refuse these; the announcement stands without them.
            if let Err(e) = self.outbox.publish(what, &event, now).await {
                tracing::warn!("{e}");
            }
        }
        Ok(evidence.fresh_until().secs_since(ctx.clock.now()))
    }
}

fn profile(ctx: &Context) -> Result<CheckedEvent, SignError> {
    let commands = if ctx.config.messages.enabled { " Write me a private message: help." } else { "" };
    let about = format!("{DESCRIPTION}. Verify before you trust: {}.{commands}", ctx.config.repo);
    let content = serde_json::json!({"name": ctx.config.name, "about": about, "bot": true});
    let tags = vec![tag!["t", "enclaved"], tag!["r", ctx.config.repo]];
    sign(&ctx.keys, Kind::Metadata, ctx.clock.now(), tags, content.to_string())
}
