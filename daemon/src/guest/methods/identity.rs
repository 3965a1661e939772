//! Who a container is, and who vouches for it.

use protocol::guest::{
    CertificateChain, ContainerInfoReply, CreateCertificate, GuestContainer, GuestInfo, ManifestReply,
};
use protocol::nec::certificate::for_app;

use crate::announce::containers::certificate;
use crate::api::endpoints;
use crate::context::Context;
use crate::guest::refusal::{Refusal, RefusalCode};
use crate::store::Container;

pub(super) async fn create_certificate(
    ctx: &Context,
    container: &Container,
    request: CreateCertificate,
) -> Result<CertificateChain, Refusal> {
    ctx.hold.require().map_err(|failure| Refusal::new(RefusalCode::NotHolding, failure.message))?;
    let evidence = ctx.attestor.current().await.map_err(|e| Refusal::internal(&e))?;
    let to_container = certificate(ctx, &evidence, container).map_err(|e| Refusal::internal(&e))?;
    let until = evidence.document.leaf_not_after();
    let to_app = for_app(&container.keys, &request.pubkey, until, ctx.clock.now());
    let to_app = to_app.map_err(|e| Refusal::internal(&e))?;
    Ok(CertificateChain {
        root: evidence.root.event().clone(),
        certs: vec![to_container.into_event(), to_app.into_event()],
    })
}

/// In the reference's shape.
pub(super) fn container_info(ctx: &Context, container: &Container) -> ContainerInfoReply {
    let now = ctx.clock.now();
    let started_at = container.started_at.unwrap_or(now);
    let paid_until = if container.is_builtin() { now } else { container.state.paid_until };
    ContainerInfoReply {
        ok: true,
        container: GuestContainer {
            pubkey: container.pubkey(),
            balance: container.balance,
            uptime_count: now.secs_since(started_at),
            uptime_paid: paid_until.secs_since(started_at),
            units: container.spec.units,
            price: container.spec.price_per_period,
            interval: u64::from(ctx.config.price.period_secs),
            wallet_pubkey: ctx.wallet.tag().map(|tag| tag.service),
        },
    }
}

pub(super) fn info(ctx: &Context, container: &Container) -> GuestInfo {
    let spec = &container.spec;
    GuestInfo {
        pubkey: container.pubkey(),
        service_pubkey: ctx.keys.public_key(),
        name: spec.name.clone(),
        owner: container.owner().copied(),
        image: spec.image.clone(),
        manifest_sha256: spec.manifest_sha256.clone(),
        units: spec.units,
        price_msat_per_period: spec.price_per_period,
        period_secs: ctx.config.price.period_secs,
        balance_msat: container.balance,
        paid_until: Some(container.state.paid_until).filter(|_| container.state.next_period > 0),
        started_at: container.started_at,
        endpoints: endpoints(ctx, container),
        limits_not_enforced: ctx.runtime.facts().not_enforced.clone(),
    }
}

pub(super) fn manifest(container: &Container) -> Result<ManifestReply, Refusal> {
    let spec = &container.spec;
    match (spec.manifest.clone(), spec.manifest_sha256.clone()) {
        (Some(manifest), Some(manifest_sha256)) => Ok(ManifestReply { manifest, manifest_sha256 }),
        _ => Err(Refusal::new(RefusalCode::Unavailable, "a built-in has no launch manifest")),
    }
}
