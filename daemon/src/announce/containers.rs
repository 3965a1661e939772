//! Containers' public events, with their certificates.

use instance::Evidence;
use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, SignError};
use protocol::nec::certificate::{ContainerClaims, for_container};
use protocol::nec::container::{ContainerEvent, build};

use super::lists::relay_list;
use super::pace::Told;
use super::{AnnounceError, Announcer, certificate_until, lives, may_tell};
use crate::api::endpoints;
use crate::context::Context;
use crate::store::Container;

/// The service's certificate for a container: its key, its image, its manifest.
///
/// # Errors
/// [`SignError`].
pub(crate) fn certificate(
    ctx: &Context,
    evidence: &Evidence,
    container: &Container,
) -> Result<CheckedEvent, SignError> {
    let claims = ContainerClaims {
        image: &container.spec.image,
        manifest_sha256: container.spec.manifest_sha256.as_deref(),
        exec: container.spec.manifest.as_ref().is_some_and(|manifest| manifest.exec),
    };
    for_container(&ctx.keys, &container.pubkey(), claims, certificate_until(evidence), ctx.clock.now())
}

impl Announcer {
    /// Tells of one container, and where its events are found if `with_list` says so; returns whether it is
    /// told of again without a change. Of one that was never paid nobody hears.
    pub(super) async fn announce_container(
        &self,
        pubkey: &PublicKey,
        with_list: bool,
    ) -> Result<Told, AnnounceError> {
        let ctx = &self.ctx;
        let Some(container) = ctx.store.container(pubkey)? else { return Ok(Told::NothingMore) };
        if matches!(container.state.name(), "waiting" | "launching" | "expired") {
            return Ok(Told::NothingMore);
        }
        let evidence = ctx.attestor.current().await?;
        let certificate = certificate(ctx, &evidence, &container)?;
        let endpoints = endpoints(ctx, &container);
        let event = ContainerEvent {
            name: container.spec.name.as_deref(),
            state: container.state.name(),
            data_kept_until: container.state.data_kept_until(&ctx.config.policy()),
            balance: container.balance,
            units: container.spec.units,
            image: &container.spec.image,
            upgrade: container
                .spec
                .manifest
                .as_ref()
                .map(|manifest| manifest.upgrade)
                .unwrap_or_default()
                .as_str(),
            owner: container.owner(),
            app: container.app.as_ref(),
            endpoints: &endpoints,
            root: &evidence.root,
            certificate: &certificate,
            service_repo: &ctx.config.repo,
            releases: &self.vouchers.releases,
        };
        may_tell(ctx)?;
        let now = ctx.clock.now();
        let event = build(&container.keys, &event, now)?;
        self.outbox.publish("container", &event, now).await?;
        self.introduce(&container, with_list, now).await;
        if with_list {
            let list = relay_list(&container.keys, &ctx.config.relays, &self.outbox.relays().await, now)?;
            // As for the server: the event stands without it.
            if let Err(e) = self.outbox.publish("container's relay list", &list, now).await {
                tracing::warn!(container = %pubkey, "{e}");
            }
        }
        Ok(if lives(&container) { Told::Lives } else { Told::NothingMore })
    }
}
