//! `encli deploy`: from an image to a container that runs, believing the server nothing that can be
//! checked here.
//!
//! ```text
//! request ─► choose a server ─► launch ─► agree: manifest, price, invoice ─► pay ─► wait: verify
//! ```

mod agree;
mod choose;
pub(crate) mod request;
mod wait;

use nostr::key::PublicKey;
use protocol::nwc::ConnectionUri;
use protocol::rpc::enclaved::{ContainerInfo, ContainerParams, Endpoint, LaunchReply};
use serde::Serialize;
use units::{Msat, UnixSecs};

use super::container::{show_code, show_endpoints};
use super::proof::show_pinned;
use crate::args::Deploy;
use crate::context::Context;
use crate::error::Failure;
use crate::image::Resolved;
use crate::output::page::npub;
use crate::output::{Page, View, time};
use crate::remote::Remote;
use crate::secrets;
use crate::wallet::Wallet;
use agree::Agreed;
use choose::Chosen;

/// A container that was launched.
#[derive(Debug, Serialize)]
pub(crate) struct Deployed {
    pubkey: PublicKey,
    npub: String,
    instance_pubkey: PublicKey,
    image: String,
    image_resolved: Resolved,
    manifest_sha256: String,
    invoice: String,
    invoice_amount_msat: Msat,
    invoice_expires_at: UnixSecs,
    network: &'static str,
    price_msat_per_hour: Msat,
    period_secs: u32,
    state: String,
    paid: bool,
    verified: bool,
    endpoints: Vec<Endpoint>,
    app_pubkey: Option<PublicKey>,
    pinned: bool,
}

/// Launches a container.
///
/// # Errors
/// [`Failure`]. What fails after the launch names the container.
pub(crate) async fn deploy(ctx: &Context, args: &Deploy) -> Result<Deployed, Failure> {
    let payer = args.pay.as_ref().map(|place| secrets::connection("--pay", &place.0)).transpose()?;
    let mut asked = request::params(args)?;
    let hidden = request::hidden_of_launch(args)?;
    let keys = ctx.keys()?;
    protocol::secrets::check_beside(&hidden, &asked.env)?;
    let chosen = choose::server(ctx, args, asked.units).await?;
    if !hidden.is_empty() {
        asked.secrets = Some(hidden.seal(keys.secret_key(), &chosen.service())?);
    }
    let remote = Remote::connect(ctx, chosen.service(), keys.clone(), &chosen.relays()).await?;
    let reply: LaunchReply = {
        let _doing = ctx.progress.begin("launching: the server looks up the image");
        remote.working_command(ctx, "launch", &asked, ctx.settings.launch_wait()).await?
    };
    let agreed = agree::check(&asked, &hidden, &keys.public_key(), &reply, &chosen.offer()?, ctx.now())?;
    let mut deployed = Deployed::new(&reply, &agreed, &chosen);
    finish(ctx, args, payer.as_ref(), &chosen, &remote, &agreed, &mut deployed).await.map_err(|e| {
        e.with_hint(format!("`encli container status {}` shows how it stands", deployed.npub))
    })?;
    Ok(deployed)
}

/// Pays and waits, as far as it was asked for.
async fn finish(
    ctx: &Context,
    args: &Deploy,
    payer: Option<&ConnectionUri>,
    chosen: &Chosen,
    remote: &Remote,
    agreed: &Agreed,
    deployed: &mut Deployed,
) -> Result<(), Failure> {
    if let Some(uri) = payer {
        let wallet = Wallet::connect(ctx, uri).await?;
        let _doing = ctx.progress.begin(format!("paying {} sat", deployed.invoice_amount_msat));
        wallet.pay(&agreed.bill, None).await?;
        deployed.paid = true;
    } else if args.wait {
        ctx.progress.note(&format!(
            "pay {} sat {} to start it: {}",
            deployed.invoice_amount_msat,
            time::relative(agreed.bill.expires_at, ctx.now()),
            agreed.bill.text
        ));
    }
    if args.wait {
        let running = wait::until_deployed(ctx, remote, chosen, agreed, deployed.paid).await?;
        deployed.state = "deployed".to_owned();
        (deployed.paid, deployed.verified) = (true, true);
        deployed.endpoints = running.endpoints().to_vec();
        deployed.app_pubkey = running.app();
    } else if deployed.paid {
        // The payment is made; that the state is not known yet is no failure.
        if let Ok(info) =
            remote.ask::<ContainerInfo>("info", &ContainerParams { pubkey: deployed.pubkey }).await
        {
            deployed.state = info.state;
        }
    }
    Ok(())
}

/// Why nothing is done where nothing was pinned.
pub(crate) fn unpinned(consequence: &str) -> Failure {
    let message = format!(
        "nothing says which code the server must run, and {consequence}: name its maintainers with \
         --maintainer or its registers with --pcr, or accept any code with --unpinned"
    );
    Failure::refused("unpinned", message)
}

impl Deployed {
    fn new(reply: &LaunchReply, agreed: &Agreed, chosen: &Chosen) -> Self {
        Self {
            pubkey: reply.pubkey,
            npub: npub(&reply.pubkey),
            instance_pubkey: chosen.service(),
            image: reply.image.clone(),
            image_resolved: agreed.resolved,
            manifest_sha256: reply.manifest_sha256.clone(),
            invoice: agreed.bill.text.clone(),
            invoice_amount_msat: agreed.amount,
            invoice_expires_at: agreed.bill.expires_at,
            network: agreed.bill.network,
            price_msat_per_hour: reply.price_msat_per_hour,
            period_secs: agreed.period_secs,
            state: reply.state.clone(),
            paid: false,
            verified: false,
            endpoints: Vec::new(),
            app_pubkey: None,
            pinned: chosen.is_pinned(),
        }
    }
}

impl View for Deployed {
    fn show(&self, page: &mut Page) {
        page.field("container", &self.npub);
        page.key("server", &self.instance_pubkey);
        page.field("image", &self.image);
        match self.image_resolved {
            Resolved::AsAsked | Resolved::FromTag => {}
            Resolved::FromDigest => page.warn(
                "This is not the digest that was asked for: the server says that it is the platform's own \
                 manifest of that list.",
            ),
        }
        page.field("manifest", &self.manifest_sha256);
        let period = time::duration(u64::from(self.period_secs));
        page.field("price", format!("{} sat an hour, paid for {period} at a time", self.price_msat_per_hour));
        page.field("state", &self.state);
        show_endpoints(page, &self.endpoints);
        page.maybe("app", self.app_pubkey.as_ref().map(npub));
        if self.verified {
            page.good("It runs, and verifies down to the digest of its image.");
        } else if self.paid {
            page.good("Paid. `encli container status` shows how it comes up.");
        } else {
            page.gap();
            page.line(format!("Pay {} sat ({}) to start it:", self.invoice_amount_msat, self.network));
            page.field("invoice", &self.invoice);
            page.time("pay until", self.invoice_expires_at);
            show_code(page, &self.invoice);
        }
        show_pinned(page, self.pinned);
    }
}
