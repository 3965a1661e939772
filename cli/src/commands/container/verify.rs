//! `encli container verify`.

use std::path::Path;

use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use protocol::nec::VerifiedContainer;
use protocol::rpc::enclaved::Endpoint;
use serde::Serialize;
use units::UnixSecs;

use crate::args::{ContainerVerify, values};
use crate::commands::proof::{InstanceProof, show_pinned};
use crate::context::Context;
use crate::error::Failure;
use crate::output::page::npub;
use crate::output::{Page, View};
use crate::{files, find};

/// A container that was verified, from the root of the attestation to the digest of its image.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verified {
    ok: bool,
    container_pubkey: PublicKey,
    npub: String,
    image: String,
    manifest_sha256: Option<String>,
    /// The owner may run commands in it.
    exec: bool,
    app_pubkey: Option<PublicKey>,
    owner_pubkey: Option<PublicKey>,
    state: Option<String>,
    endpoints: Vec<Endpoint>,
    instance: InstanceProof,
    expires_at: UnixSecs,
    pinned: bool,
}

impl From<&VerifiedContainer> for Verified {
    fn from(container: &VerifiedContainer) -> Self {
        let certified = container.certified();
        Self {
            ok: true,
            container_pubkey: certified.pubkey,
            npub: npub(&certified.pubkey),
            image: certified.image.clone(),
            manifest_sha256: certified.manifest_sha256.clone(),
            exec: certified.exec,
            app_pubkey: container.app(),
            owner_pubkey: container.owner(),
            state: container.state().map(ToOwned::to_owned),
            endpoints: container.endpoints().to_vec(),
            instance: InstanceProof::of_root(container.chain().root(), container.releasers().iter().copied()),
            expires_at: container.expires_at(),
            pinned: container.is_pinned(),
        }
    }
}

/// Verifies a container's event, from a file or from the relays.
///
/// # Errors
/// The reason to refuse it, with its code.
pub(crate) async fn verify(ctx: &Context, args: &ContainerVerify) -> Result<Verified, Failure> {
    let policy = ctx.settings.policy(args.at.resolve(ctx.now()))?;
    let event = event(ctx, &args.event).await?;
    Ok(Verified::from(&VerifiedContainer::verify(&event, &policy)?))
}

/// A file of this name, or the event of this key.
async fn event(ctx: &Context, named: &str) -> Result<CheckedEvent, Failure> {
    let path = Path::new(named);
    match values::public_key(named) {
        Ok(container) if !path.exists() => find::container(ctx, container).await,
        Ok(_) | Err(_) => files::read_event(path),
    }
}

impl View for Verified {
    fn show(&self, page: &mut Page) {
        page.good("The container verifies: this image runs under this key in this enclave.");
        self.show_facts(page);
        page.gap();
        page.line("On this server:");
        self.instance.show(page);
        show_pinned(page, self.pinned);
    }
}

impl Verified {
    /// Shows what is known of the container itself.
    fn show_facts(&self, page: &mut Page) {
        page.field("container", &self.npub);
        page.field("image", &self.image);
        page.maybe("manifest", self.manifest_sha256.as_ref());
        if self.exec {
            page.warn("Its owner may run commands in it: what it does is not its image's word alone.");
        }
        page.maybe("app", self.app_pubkey.as_ref().map(npub));
        page.maybe("owner", self.owner_pubkey.as_ref().map(npub));
        page.maybe("state", self.state.as_ref());
        show_endpoints(page, &self.endpoints);
        page.time("proved until", self.expires_at);
    }
}

/// Shows where ports are reached.
pub(crate) fn show_endpoints(page: &mut Page, endpoints: &[Endpoint]) {
    for at in endpoints {
        page.field("reached at", format!("{}:{} (its port {})", at.host, at.port, at.container_port));
    }
}
