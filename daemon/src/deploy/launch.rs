//! From a paid launch to a running process.

use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use units::Stopwatch;

use crate::checkpoint::Step;
use crate::context::Context;
use crate::image::{
    Digest, EnsureError, FetchError, ImageLimits, LoadError, LoadedImage, Reference, ResolveError,
};
use crate::runtime::RuntimeError;
use crate::store::Container;

/// How long a launch is tried again when it fails for a passing reason: the engine restarts, a registry
/// has a bad minute.
const TRY_WAIT: Duration = Duration::from_secs(180);
/// The code of a start that waits until this server may act.
pub(crate) const NOT_HOLDING: &str = "not_holding";
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// Why a launch failed, for its owner.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub(crate) struct LaunchFailure {
    /// For programs.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: String,
    passing: bool,
}

impl From<ResolveError> for LaunchFailure {
    fn from(error: ResolveError) -> Self {
        Self::of(error.code(), error.to_string())
    }
}

impl From<EnsureError> for LaunchFailure {
    fn from(error: EnsureError) -> Self {
        Self::of(error.code(), error.to_string())
    }
}

impl From<LoadError> for LaunchFailure {
    fn from(error: LoadError) -> Self {
        Self { code: "internal", message: error.to_string(), passing: true }
    }
}

impl From<RuntimeError> for LaunchFailure {
    fn from(error: RuntimeError) -> Self {
        match &error {
            // What the image names as its program cannot be run: no use in trying again.
            RuntimeError::Start(_) if !error.is_engines_fault() => Self {
                code: "start_failed",
                message: format!("{error}; check the image's entrypoint and the arguments"),
                passing: false,
            },
            // It may be the image all the same, of which the engine says too little: nobody waits for minutes.
            RuntimeError::Start(_) => Self {
                code: "engine_failed",
                message: format!(
                    "{error}; check the image's entrypoint, user and arguments, or try again later"
                ),
                passing: false,
            },
            RuntimeError::NotHolding => Self { code: NOT_HOLDING, message: error.to_string(), passing: true },
            RuntimeError::ImageVolumes(_) => {
                Self { code: "image_unsupported", message: error.to_string(), passing: false }
            }
            RuntimeError::Volume(_) if error.is_full() => {
                tracing::error!("a container could not be prepared: {error}");
                let message =
                    "the server has no room left for the container's volume or secrets; try another";
                Self { code: "server_full", message: message.to_owned(), passing: true }
            }
            RuntimeError::Engine(_)
            | RuntimeError::Unsafe(_)
            | RuntimeError::NotEnforced(_)
            | RuntimeError::Hangs
            | RuntimeError::NotPrepared
            | RuntimeError::NoNetwork
            | RuntimeError::Secrets(_)
            | RuntimeError::Ending
            | RuntimeError::Volume(_)
            | RuntimeError::Firewall(_) => {
                tracing::error!("a container could not be prepared: {error}");
                let message = "the server could not prepare the container".to_owned();
                Self { code: "internal", message, passing: true }
            }
        }
    }
}

impl LaunchFailure {
    /// True for a reason that says nothing of the launch: the same may go well a little later.
    pub(crate) const fn is_passing(&self) -> bool {
        self.passing
    }

    fn of(code: &'static str, message: String) -> Self {
        let passing = matches!(code, "registry_unreachable" | "internal" | "server_busy");
        Self { code, message, passing }
    }
}

/// Prepares the container while its invoice is open, if the engine has the image already: a stranger who
/// does not pay makes nobody fetch anything. What is prepared goes when the invoice expires. Returns
/// whether only the start is left.
pub(super) async fn prepare_ahead(ctx: &Context, container: &Container) -> bool {
    let Ok((reference, wanted)) = agreed(container) else { return false };
    let prepared = async {
        let Some(loaded) = ctx.images.find_served(&reference, wanted).await? else { return Ok(false) };
        check_size(&loaded, &limits(ctx, container))?;
        ctx.runtime.prepare(container).await?;
        Ok::<_, LaunchFailure>(true)
    };
    prepared.await.unwrap_or_else(|failure| {
        // The launch does it again, and tells the owner if it fails.
        tracing::debug!(container = %container.pubkey(), "not prepared ahead: {failure}");
        false
    })
}

/// What the engine made a container of before a restart, the repository that it names has served: neither the
/// launch that goes on nor the next one there fetches it once more.
pub(crate) async fn recall_image(ctx: &Context, container: &Container) {
    let Ok((reference, wanted)) = agreed(container) else { return };
    match ctx.runtime.is_there(container).await {
        Ok(true) => ctx.images.was_served(&reference, wanted),
        Ok(false) => {}
        // Then it is fetched once more.
        Err(e) => tracing::warn!(container = %container.pubkey(), "whether it was made is not known: {e}"),
    }
}

/// Fetches the image, prepares the container and starts it; tries again while the reason is a passing
/// one.
pub(super) async fn launch(
    ctx: &Context,
    container: &Container,
    mut prepared: bool,
) -> Result<(), LaunchFailure> {
    let subject = container.pubkey().to_hex();
    ctx.checkpoints.reach(Step::LaunchPaid, &subject).await;
    let took = Stopwatch::start();
    loop {
        match try_launch(ctx, container, &subject, std::mem::take(&mut prepared)).await {
            Ok(()) => {
                metrics::histogram!("launch_seconds").record(took.elapsed().as_secs_f64());
                return Ok(());
            }
            Err(failure) if failure.code == NOT_HOLDING => {
                tracing::info!(container = subject, "launch: {failure}; it waits");
                ctx.hold.held().await;
            }
            Err(failure) if failure.passing && took.elapsed() < TRY_WAIT => {
                tracing::warn!(container = subject, "launch: {failure}; trying again");
                tokio::time::sleep(TRY_EVERY).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn try_launch(
    ctx: &Context,
    container: &Container,
    subject: &str,
    prepared: bool,
) -> Result<(), LaunchFailure> {
    if !prepared {
        ensure_new_image(ctx, container).await?;
    }
    ctx.checkpoints.reach(Step::LaunchFetched, subject).await;
    if !prepared {
        ctx.runtime.prepare(container).await?;
    }
    ctx.checkpoints.reach(Step::LaunchCreated, subject).await;
    // Another may have this server's state. Whoever has it in the end starts what was paid.
    ctx.hold.held().await;
    match ctx.runtime.start(container).await {
        // The engine was cleaned up meanwhile.
        Err(RuntimeError::NotPrepared) if prepared => start(ctx, container).await?,
        started => started?,
    }
    ctx.checkpoints.reach(Step::LaunchStarted, subject).await;
    Ok(())
}

/// Fetches the image of an upgrade; tries again while the reason is a passing one.
pub(super) async fn fetch_image(ctx: &Context, container: &Container) -> Result<(), LaunchFailure> {
    let took = Stopwatch::start();
    loop {
        match ensure_new_image(ctx, container).await {
            Err(failure) if failure.passing && took.elapsed() < TRY_WAIT => {
                tracing::warn!(container = %container.pubkey(), "upgrade: {failure}; trying again");
                tokio::time::sleep(TRY_EVERY).await;
            }
            ended => return ended,
        }
    }
}

/// Makes sure that the engine has the image, by the digests that were agreed, for a container that was given
/// it before: its registry need not answer, nor let it in, if the engine has it still.
pub(crate) async fn ensure_image(ctx: &Context, container: &Container) -> Result<(), LaunchFailure> {
    let (_, wanted) = agreed(container)?;
    let loaded = ctx.images.find_loaded(wanted).await?;
    fetch_unless(loaded, ctx, container).await
}

/// The same for a container that never had the image: what the engine has of another's it is not given.
async fn ensure_new_image(ctx: &Context, container: &Container) -> Result<(), LaunchFailure> {
    let (reference, wanted) = agreed(container)?;
    let loaded = ctx.images.find_served(&reference, wanted).await?;
    fetch_unless(loaded, ctx, container).await
}

/// The image that was agreed, and the digest of its configuration.
fn agreed(container: &Container) -> Result<(Reference, Digest), LaunchFailure> {
    let malformed = || LaunchFailure::of("internal", "the launch on record is not understood".into());
    let reference = Reference::from_str(&container.spec.image).map_err(|_| malformed())?;
    Ok((reference, Digest::from_str(&container.spec.config_digest).map_err(|_| malformed())?))
}

async fn fetch_unless(
    loaded: Option<LoadedImage>,
    ctx: &Context,
    container: &Container,
) -> Result<(), LaunchFailure> {
    let limits = limits(ctx, container);
    if let Some(loaded) = loaded {
        return check_size(&loaded, &limits);
    }
    let (reference, wanted) = agreed(container)?;
    let reference = reference.with_login(crate::api::secrets::login(ctx, container));
    let pinned = ctx.images.resolve(&reference, &limits).await?;
    // The reference names the manifest by its digest, and the manifest its configuration.
    if pinned.config_digest() != wanted {
        return Err(LaunchFailure::of("digest_mismatch", "the registry serves another image".into()));
    }
    ctx.images.ensure_loaded(&pinned, &limits).await?;
    Ok(())
}

fn limits(ctx: &Context, container: &Container) -> ImageLimits {
    ImageLimits::from(ctx.config.capacity.unit_size.times(container.spec.units))
}

/// An image that the engine has may have been loaded for a container with more units.
fn check_size(loaded: &LoadedImage, limits: &ImageLimits) -> Result<(), LaunchFailure> {
    if loaded.size_bytes() <= limits.unpacked_bytes {
        return Ok(());
    }
    Err(EnsureError::from(FetchError::UnpacksTooLarge { limit_bytes: limits.unpacked_bytes }).into())
}

/// Starts a container that may have lost its image, its network or itself since it last ran.
pub(super) async fn start(ctx: &Context, container: &Container) -> Result<(), LaunchFailure> {
    match ctx.runtime.start(container).await {
        Ok(()) => Ok(()),
        Err(RuntimeError::NotPrepared | RuntimeError::Start(_)) => {
            ensure_image(ctx, container).await?;
            ctx.runtime.prepare(container).await?;
            Ok(ctx.runtime.start(container).await?)
        }
        Err(e) => Err(e.into()),
    }
}
