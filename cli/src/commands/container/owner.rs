//! What owners ask of their containers: `status`, `pause`, `resume`, `terminate`.

use nostr::key::PublicKey;
use protocol::manifest::LaunchManifest;
use protocol::rpc::enclaved::{ContainerInfo, ContainerParams, ContainerStatus, Offer, StateReason};
use serde::Serialize;
use units::{Msat, UnixSecs};

use super::verify::show_endpoints;
use crate::args::OneContainer;
use crate::context::Context;
use crate::error::Failure;
use crate::output::page::npub;
use crate::output::{Page, View};
use crate::remote::Home;

/// Everything about a container. The salt of its manifest stays with the server: it is a secret.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    #[serde(flatten)]
    info: ContainerInfo,
    npub: String,
    instance_pubkey: PublicKey,
    instance_verified: bool,
    balance_msat: Msat,
    paid_until: Option<UnixSecs>,
    owner_paused: bool,
    data_kept_until: Option<UnixSecs>,
    exits: u32,
    reason: Option<StateReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<Offer>,
    invoice: Option<String>,
    limits_not_enforced: Vec<String>,
    manifest: LaunchManifest,
}

impl Status {
    pub(super) fn new(status: ContainerStatus, home: &Home) -> Self {
        Self {
            npub: npub(&status.info.pubkey),
            instance_pubkey: home.service,
            instance_verified: home.instance.is_ok(),
            info: status.info,
            balance_msat: status.balance_msat,
            paid_until: status.paid_until,
            owner_paused: status.owner_paused,
            data_kept_until: status.data_kept_until,
            exits: status.exits,
            reason: status.reason,
            offer: status.offer,
            invoice: status.invoice.map(|invoice| invoice.invoice),
            limits_not_enforced: status.limits_not_enforced,
            manifest: status.manifest,
        }
    }
}

/// Shows a container.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn status(ctx: &Context, args: &OneContainer) -> Result<Status, Failure> {
    let keys = ctx.keys()?;
    let home = Home::find(ctx, args.npub, args.instance).await?;
    let remote = home.connect(ctx, keys).await?;
    let _doing = ctx.progress.begin("asking the server");
    let status = remote.ask("status", &ContainerParams { pubkey: args.npub }).await?;
    Ok(Status::new(status, &home))
}

/// Gives a command and shows what became of the container.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn command(ctx: &Context, args: &OneContainer, method: &str) -> Result<Status, Failure> {
    let keys = ctx.keys()?;
    let home = Home::find(ctx, args.npub, args.instance).await?;
    let remote = home.connect(ctx, keys).await?;
    let _doing = ctx.progress.begin(format!("{method}: waiting for the server"));
    let status = remote.command(method, &ContainerParams { pubkey: args.npub }, remote.wait()).await?;
    Ok(Status::new(status, &home))
}

impl View for Status {
    fn show(&self, page: &mut Page) {
        page.field("container", &self.npub);
        page.maybe("name", self.info.name.as_ref());
        page.field("state", state_text(&self.info.state, self.owner_paused));
        if let Some(reason) = &self.reason {
            page.warn(format!("{} [{}]", reason.message, reason.code));
        }
        page.field("image", &self.info.image);
        page.field("manifest", &self.info.manifest_sha256);
        page.field("units", self.info.units);
        page.field("price", format!("{} sat an hour", self.info.price_msat_per_hour));
        page.sats("balance", self.balance_msat);
        if let Some(until) = self.paid_until {
            page.time("paid until", until);
        }
        if let Some(until) = self.data_kept_until {
            page.time("data kept", until);
        }
        if let Some(offer) = &self.offer {
            page.key("offered to", &offer.to);
            page.time("until", offer.until);
        }
        if self.exits > 0 {
            page.field("exits", self.exits);
        }
        show_endpoints(page, &self.info.endpoints);
        page.maybe("app", self.info.app_pubkey.as_ref().map(npub));
        page.time("launched", self.info.created_at);
        page.key("server", &self.instance_pubkey);
        if !self.instance_verified {
            page.warn("The server's announcement does not verify now: `encli instance inspect` says why.");
        }
        if !self.limits_not_enforced.is_empty() {
            page.warn(format!("Not enforced on this server: {}.", self.limits_not_enforced.join(", ")));
        }
        page.maybe("invoice", self.invoice.as_ref());
    }
}

fn state_text(state: &str, owner_paused: bool) -> String {
    if owner_paused { format!("{state} (paused by you)") } else { state.to_owned() }
}
