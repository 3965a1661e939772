//! Looks for releases of what runs under the policy `signed`, and takes the newest.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use lifecycle::upgrade::choose;
use nostr::key::PublicKey;
use protocol::manifest::Upgrade;
use protocol::nec::Env;
use protocol::nec::image_release::{ImageLabels, ImageRelease, ImageReleaseError};
use protocol::rpc::Code;
use protocol::rpc::enclaved::StateReason;
use thiserror::Error;

use super::order::{Cause, HealthLabelError, Order, SignedRelease};
use super::releases::{self, Found};
use super::{because, owner};
use crate::context::Context;
use crate::deploy::{CommandError, Fleet};
use crate::image::{LoadError, PinnedImage, Reference, ResolveError};
use crate::store::{Container, ReleaseRef, StoreError};

/// Containers looked after at once: each is a handful of connections.
const AT_ONCE: usize = 8;
/// How long all of one container's registry and relays together may take. Relays have 20 seconds, and the
/// lookup of an image 45 and 5 for its turn: one release of a slow registry is always decided.
const LOOK_WAIT: Duration = Duration::from_secs(90);
/// Whoever takes longer comes last the next time: an author's registry must not be waited for by the
/// containers of others.
const SLOW_AFTER: Duration = Duration::from_secs(10);
/// Releases whose images are looked up for one container at a time. What is not fit is put on record, so that
/// the next round begins behind it.
const RESOLVES_MAX: usize = 4;

/// A container's releases could not be looked for now.
#[derive(Debug, Error)]
enum LookError {
    #[error("the running image does not say who signs: {0}")]
    Labels(#[from] protocol::nec::image_release::LabelError),
    #[error("the running image is not in the engine")]
    NoImage,
    #[error("the running image's digest is not understood")]
    Digest(#[from] crate::image::DigestError),
    #[error(transparent)]
    Engine(#[from] LoadError),
    #[error(transparent)]
    Relays(#[from] relay::PoolError),
    #[error(transparent)]
    Evidence(#[from] instance::EvidenceError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An image that is not what its release says, or cannot be had.
#[derive(Debug, Error)]
enum Unfit {
    #[error("{0}")]
    Reference(#[from] crate::image::ReferenceError),
    #[error("{0}")]
    Resolve(#[from] ResolveError),
    #[error("{0}")]
    Labels(#[from] protocol::nec::image_release::LabelError),
    #[error("{0}")]
    Health(#[from] HealthLabelError),
    #[error("{0}")]
    Release(#[from] ImageReleaseError),
    #[error("the image's configuration is not the one that the release names")]
    Digest,
    /// The signatures cover what the image is, not where it lies: a single signer would have this server ask
    /// any registry, and show it the owner's account there.
    #[error("the release says that the image is at {found}, and the running one is of {wanted}")]
    Elsewhere { wanted: String, found: String },
}

impl Unfit {
    fn code(&self) -> &'static str {
        match self {
            Self::Reference(error) => error.code(),
            Self::Resolve(error) => error.code(),
            Self::Labels(_) | Self::Health(_) => "labels_invalid",
            Self::Release(error) => error.code(),
            Self::Digest => "image_mismatch",
            Self::Elsewhere { .. } => "image_elsewhere",
        }
    }
}

/// Looks every `poll_secs`, and when it is asked to, until the future is dropped.
pub(crate) async fn watch(fleet: Arc<Fleet>) {
    let every = Duration::from_secs(fleet.context().config.upgrade.poll_secs);
    let mut slow = BTreeSet::new();
    loop {
        let containers = fleet.context().store.containers().unwrap_or_else(|e| {
            tracing::error!("containers not read: {e}");
            Vec::new()
        });
        let watched = containers.iter().filter(|container| is_watched(container)).map(Container::pubkey);
        slow = round(watched.collect(), &slow, |pubkey| {
            let fleet = Arc::clone(&fleet);
            async move {
                if let Err(e) = look(&fleet, &pubkey).await {
                    tracing::warn!(container = %pubkey, "releases: {e}");
                }
            }
        })
        .await;
        // Its end is an error by its type.
        drop(tokio::time::timeout(every, fleet.releases_wanted()).await);
    }
}

/// Looks after all of them, those last that were slow the last time. Returns which were slow now.
async fn round<L: Future<Output = ()>>(
    mut pubkeys: Vec<PublicKey>,
    slow: &BTreeSet<PublicKey>,
    look: impl Fn(PublicKey) -> L,
) -> BTreeSet<PublicKey> {
    pubkeys.sort_by_key(|pubkey| slow.contains(pubkey));
    let looks = stream::iter(pubkeys).map(|pubkey| {
        let looking = look(pubkey);
        async move {
            tokio::pin!(looking);
            if tokio::time::timeout(SLOW_AFTER, &mut looking).await.is_ok() {
                return None;
            }
            if tokio::time::timeout(LOOK_WAIT.saturating_sub(SLOW_AFTER), looking).await.is_err() {
                tracing::warn!(container = %pubkey, "releases: what its image names is too slow");
            }
            Some(pubkey)
        }
    });
    looks.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await
}

fn is_watched(container: &Container) -> bool {
    let policy = container.spec.manifest.as_ref().map(|manifest| manifest.upgrade).unwrap_or_default();
    policy == Upgrade::Signed && container.state.should_run() && !container.state.upgrading
}

/// Looks for releases of one container's image, as it is now and not as it was when its turn was given.
async fn look(fleet: &Fleet, pubkey: &PublicKey) -> Result<(), LookError> {
    let ctx = fleet.context();
    if ctx.store.open_upgrade(pubkey)?.is_some() {
        return Ok(());
    }
    // Read behind that: what an upgrade that ended meanwhile brought, this has.
    let Some(container) = &ctx.store.container(pubkey)?.filter(is_watched) else { return Ok(()) };
    if ctx.store.is_pinned(pubkey)? {
        return Ok(());
    }
    // What runs, and nothing else, names who releases what comes next.
    let digest = container.spec.config_digest.parse()?;
    let running = ImageLabels::read(&ctx.images.labels(digest).await?.ok_or(LookError::NoImage)?)?;
    let events = releases::fetch(ctx, &running).await?;
    let env = ctx.attestor.current().await?.env;
    let Found { fit, refused } = releases::judge(&events, &running, (env == Env::Prod).then_some(env));
    let tried = ctx.store.tried_releases(pubkey, again_secs(ctx), ctx.clock.now())?;
    for one in refused.iter().filter(|one| !tried.releases.contains(&one.release.id)) {
        let why = because(one.error.code(), one.error.to_string());
        refuse(ctx, container, &one.release, &one.image, &why)?;
    }
    take_newest(fleet, container, &fit).await
}

/// Orders the newest release that is fit for the container; of those that turn out not to be, each is put
/// on record.
async fn take_newest(fleet: &Fleet, container: &Container, fit: &[ImageRelease]) -> Result<(), LookError> {
    let ctx = fleet.context();
    let pubkey = container.pubkey();
    let candidates = releases::candidates(fit);
    let mut tried = ctx.store.tried_releases(&pubkey, again_secs(ctx), ctx.clock.now())?;
    // Each turn either ends it or rules one out.
    for _ in 0..fit.len().min(RESOLVES_MAX) {
        let choice = choose(&candidates, |number| {
            fit.get(number).is_none_or(|one| tried.has(&releases::reference(one)))
        });
        for release in choice.ambiguous.iter().filter_map(|number| fit.get(*number)) {
            if !tried.releases.insert(release.id().to_hex()) {
                continue;
            }
            let message = format!("two images were released as version {}", release.version());
            let why = because("version_ambiguous", message);
            refuse(ctx, container, &releases::reference(release), release.image(), &why)?;
        }
        let Some(release) = choice.take.and_then(|number| fit.get(number)) else { return Ok(()) };
        let reference = releases::reference(release);
        match order(ctx, container, release).await {
            Ok(order) => {
                match fleet.upgrade(&pubkey, order).await {
                    Ok(()) => {}
                    // Nothing that the release could be blamed for.
                    Err(CommandError::NotNow {
                        code: Code::Pinned | Code::UpgradeOpen | Code::NotHolding,
                        ..
                    }) => {}
                    // It does not fit.
                    Err(CommandError::NotNow { code, message }) => {
                        refuse(
                            ctx,
                            container,
                            &reference,
                            release.image(),
                            &because(code.as_str(), message),
                        )?;
                    }
                    Err(e) => tracing::debug!(container = %pubkey, "release {}: {e}", release.version()),
                }
                return Ok(());
            }
            Err(unfit) => {
                let why = because(unfit.code(), unfit.to_string());
                refuse(ctx, container, &reference, release.image(), &why)?;
                tried.releases.insert(reference.id);
            }
        }
    }
    Ok(())
}

/// Fetches what the image of a release says of itself, and checks it, before any layer is fetched.
async fn order(ctx: &Context, container: &Container, release: &ImageRelease) -> Result<Order, Unfit> {
    let reference: Reference = release.image().parse()?;
    check_place(&container.spec.image.parse()?, &reference)?;
    let image = owner::resolve(ctx, container, &reference).await?;
    check_image(release, &image)?;
    let judged_by = container.spec.config_digest.clone();
    let signed = SignedRelease { release: releases::reference(release), judged_by };
    Ok(Order::new(image, Cause::Release(signed))?)
}

/// An image follows in the repository of the one that runs.
fn check_place(running: &Reference, released: &Reference) -> Result<(), Unfit> {
    let place = |image: &Reference| format!("{}/{}", image.registry(), image.repository());
    let (wanted, found) = (place(running), place(released));
    if wanted == found { Ok(()) } else { Err(Unfit::Elsewhere { wanted, found }) }
}

fn check_image(release: &ImageRelease, image: &PinnedImage) -> Result<(), Unfit> {
    use protocol::nec::image_release::ReleaseDigest;
    match release.digest() {
        // The reference names it, and the registry's answer was compared with it.
        ReleaseDigest::Manifest(_) => {}
        ReleaseDigest::Config(digest) if *digest == image.config_digest().to_string() => {}
        ReleaseDigest::Config(_) => return Err(Unfit::Digest),
    }
    let labels = ImageLabels::read(&image.spec().labels)?;
    Ok(release.check_image(&labels)?)
}

/// How long a release waits that failed for a passing reason, the first time.
fn again_secs(ctx: &Context) -> u64 {
    ctx.config.upgrade.poll_secs
}

/// Puts on record that a release is not taken; the owner hears of it once.
fn refuse(
    ctx: &Context,
    container: &Container,
    release: &ReleaseRef,
    image: &str,
    why: &StateReason,
) -> Result<(), StoreError> {
    let (pubkey, now) = (container.pubkey(), ctx.clock.now());
    if ctx.store.refuse_release(container, release, image, why, now)? {
        metrics::counter!("upgrade_releases_refused_total", "code" => why.code.clone()).increment(1);
        tracing::info!(container = %pubkey, code = why.code, version = release.version, "release: {}", why.message);
        let text = format!("release {} not taken: {} [{}]", release.version, why.message, why.code);
        ctx.store.note(&pubkey, now, "release_refused", &text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
