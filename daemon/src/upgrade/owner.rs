//! What owners ask: `upgrade`, `pin`, `unpin`, `upgrades`.

use nostr::key::PublicKey;
use protocol::manifest::Upgrade;
use protocol::nec::image_release::ImageLabels;
use protocol::rpc::enclaved::Upgrades;
use protocol::rpc::{Code, Failure};

use relay::request_log::RequestKey;

use super::order::{Cause, Order};
use crate::context::Context;
use crate::image::{ImageLimits, ImageSpec, PinnedImage, Reference};
use crate::store::{Container, StoreError};

/// Whether an image can be launched under a policy: what is to be upgraded by releases must say who signs
/// them.
///
/// # Errors
/// [`Code::LabelsInvalid`].
pub(crate) fn check_launch(policy: Upgrade, image: &ImageSpec) -> Result<(), Failure> {
    match policy {
        Upgrade::None | Upgrade::Owner => Ok(()),
        Upgrade::Signed => ImageLabels::read(&image.labels).map(drop).map_err(|e| {
            Failure::new(Code::LabelsInvalid, format!("upgrade: \"signed\" wants an image with labels: {e}"))
        }),
    }
}

/// An owner's order for another image: a tag is resolved once, here. Declared sizes are checked against
/// the container's units.
///
/// # Errors
/// [`Failure`] with the code of what is wrong with the image.
pub(crate) async fn order(
    ctx: &Context,
    container: &Container,
    by: &PublicKey,
    key: RequestKey,
    docker: &str,
) -> Result<Order, Failure> {
    // Cheap checks first: a registry is asked only for what could be.
    let policy = container.spec.manifest.as_ref().map(|manifest| manifest.upgrade).unwrap_or_default();
    if policy != Upgrade::Owner {
        return Err(Failure::new(
            Code::UpgradeForbidden,
            format!(
                "this container was launched with upgrade {:?}; its owner cannot change its image",
                policy.as_str()
            ),
        ));
    }
    let reference: Reference = docker.parse().map_err(|e: crate::image::ReferenceError| {
        Failure::new(Code::ImageReferenceInvalid, format!("docker: {e}"))
    })?;
    let image = resolve(ctx, container, &reference).await.map_err(|e| {
        Failure::new(Code::from_text(e.code()).unwrap_or(Code::Internal), format!("docker: {e}"))
    })?;
    Order::new(image, Cause::Owner { request: key.to_hex(), by: *by })
        .map_err(|e| Failure::new(Code::LabelsInvalid, format!("docker: {e}")))
}

/// Finds out what a reference means for a container with its units.
pub(super) async fn resolve(
    ctx: &Context,
    container: &Container,
    reference: &Reference,
) -> Result<PinnedImage, crate::image::ResolveError> {
    let limits = ImageLimits::from(ctx.config.capacity.unit_size.times(container.spec.units));
    let reference = reference.clone().with_login(crate::api::secrets::login(ctx, container));
    ctx.images.resolve(&reference, &limits).await
}

/// Holds a container at its image, or lets it go.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn set_pinned(ctx: &Context, container: &Container, pinned: bool) -> Result<(), StoreError> {
    let pubkey = container.pubkey();
    if ctx.store.is_pinned(&pubkey)? == pinned {
        // Letting go what is not held has releases tried again that failed; it is nothing that happened.
        return ctx.store.save_pinned(&pubkey, pinned);
    }
    ctx.store.save_pinned(&pubkey, pinned)?;
    let (code, text) = if pinned { ("pinned", "held at its image") } else { ("unpinned", "let go again") };
    ctx.store.note(&pubkey, ctx.clock.now(), code, text)
}

/// What was decided about a container's image.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn list(ctx: &Context, container: &Container) -> Result<Upgrades, StoreError> {
    let pubkey = container.pubkey();
    let policy = container.spec.manifest.as_ref().map(|manifest| manifest.upgrade).unwrap_or_default();
    Ok(Upgrades {
        image: container.spec.image.clone(),
        policy: policy.as_str().to_owned(),
        pinned: ctx.store.is_pinned(&pubkey)?,
        upgrades: ctx.store.upgrades(&pubkey)?,
    })
}
