//! Quotes and launches.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::State;
use nostr::key::{Keys, PublicKey};
use protocol::manifest::{LaunchManifest, MANIFEST_VERSION, Salt};
use protocol::rpc::enclaved::{Invoice, LaunchParams, LaunchReply, Quote};
use protocol::rpc::{Code, Failure};
use relay::request_log::RequestKey;
use relay::rpc::Caller;
use units::{ComputeUnits, Msat};

use super::{reports, store_failure};
use crate::admission::Asking;
use crate::checkpoint::Step;
use crate::context::Context;
use crate::deploy::Fleet;
use crate::image::{ImageLimits, PinnedImage, Reference};
use crate::store::{Container, NewLaunch, Origin, ReserveError, Room, Spec, Token};
use crate::upgrade;

const TOKEN_BYTES: usize = 16;
/// How long the answer to a launch waits for what is prepared ahead.
const PREPARE_WAIT: Duration = Duration::from_secs(2);

pub(super) async fn quote(ctx: &Context, caller: &Caller, params: LaunchParams) -> Result<Quote, Failure> {
    let (image, _asking) = resolve(ctx, caller, &params).await?;
    upgrade::check_launch(params.upgrade, image.spec())?;
    Ok(Quote {
        image: image.reference().to_string(),
        image_bytes: image.compressed_bytes(),
        units: params.units,
        units_free: ctx.store.units_free(ctx.config.capacity.sold_units()).map_err(|e| store_failure(&e))?,
        price_msat_per_hour: ctx.config.price.per_hour(params.units).map_err(|_| price_failure())?,
        price_msat_per_period: price_per_period(ctx, params.units)?,
        period_secs: ctx.config.price.period_secs,
    })
}

pub(super) async fn launch(
    fleet: &Arc<Fleet>,
    caller: &Caller,
    key: RequestKey,
    params: LaunchParams,
) -> Result<LaunchReply, Failure> {
    let (ctx, owner) = (fleet.context(), caller.pubkey);
    // The same command again, after a crash: the same answer, if it came as far as an invoice.
    if let Some(known) = ctx.store.launched_by(&key.to_hex()).map_err(|e| store_failure(&e))?
        && let Some(invoice) = known.invoice.clone()
    {
        // It may have been given to another key since.
        if known.owner() != Some(&owner) {
            return Err(Failure::new(Code::NotOwner, "the container belongs to another key by now"));
        }
        return reply(ctx, &known, invoice);
    }
    if !ctx.config.launch.open {
        return Err(Failure::new(Code::Closed, "this server takes no new containers; choose another"));
    }
    if ctx.notices.ends_at().is_some() {
        return Err(draining());
    }
    if ctx.wallet.tag().is_none() {
        return Err(wallet_failure());
    }
    // Cheap checks first: a registry is asked only for who could be let in.
    if ctx.store.has_unpaid(&owner).map_err(|e| store_failure(&e))? {
        return Err(launch_open());
    }
    // To the end: an invoice costs us something, too.
    let (image, _asking) = resolve(ctx, caller, &params).await?;
    upgrade::check_launch(params.upgrade, image.spec())?;
    let new = plan(ctx, owner, key, params, &image)?;
    let container = reserve(ctx, new)?;
    if ctx.notices.ends_at().is_some() {
        // The end was announced meanwhile, perhaps before this owner could be told.
        ctx.store.forget_launch(&container.pubkey()).map_err(|e| store_failure(&e))?;
        return Err(draining());
    }
    let subject = container.pubkey().to_hex();
    ctx.checkpoints.reach(Step::LaunchReserved, &subject).await;
    match invoice(ctx, &container).await {
        Ok(invoice) => {
            let state = waiting_for(&invoice);
            let container = Container { invoice: Some(invoice.clone()), state, ..container };
            let answer = reply(ctx, &container, invoice)?;
            let prepared = fleet.start(container, Vec::new());
            ctx.changes.server();
            // Who pays at once finds everything ready. Its end is an error by its type; so is the timeout.
            drop(tokio::time::timeout(PREPARE_WAIT, prepared).await);
            ctx.checkpoints.reach(Step::LaunchInvoiced, &subject).await;
            Ok(answer)
        }
        Err(failure) => {
            ctx.store.forget_launch(&container.pubkey()).map_err(|e| store_failure(&e))?;
            Err(failure)
        }
    }
}

fn draining() -> Failure {
    let message = "this server is about to be replaced by another version; try again in a few minutes";
    Failure::new(Code::Draining, message)
}

/// The image that is meant, and the right by which its registry was asked.
async fn resolve<'c>(
    ctx: &'c Context,
    caller: &Caller,
    params: &LaunchParams,
) -> Result<(PinnedImage, Asking<'c>), Failure> {
    let secrets = super::secrets::open(ctx, &caller.pubkey, params.secrets.as_ref(), &params.env)?;
    let reference: Reference = params.docker.parse().map_err(|e: crate::image::ReferenceError| {
        Failure::new(Code::ImageReferenceInvalid, format!("docker: {e}"))
    })?;
    if let Some(login) = &secrets.registry
        && !login.is_at(reference.registry())
    {
        let message = "secrets: registry: the account is at another registry than the image";
        return Err(Failure::new(Code::SecretsInvalid, message));
    }
    let reference = reference.with_login(secrets.registry.clone());
    let limits = ImageLimits::from(ctx.config.capacity.unit_size.times(params.units));
    let asking = super::ask_registry(ctx, caller)?;
    let image = ctx.images.resolve(&reference, &limits).await.map_err(|e| {
        Failure::new(Code::from_text(e.code()).unwrap_or(Code::Internal), format!("docker: {e}"))
    })?;
    Ok((image, asking))
}

fn plan(
    ctx: &Context,
    owner: PublicKey,
    key: RequestKey,
    params: LaunchParams,
    image: &PinnedImage,
) -> Result<NewLaunch, Failure> {
    let now = ctx.clock.now();
    let salt = match params.salt {
        Some(salt) => salt,
        None => Salt::new(random()?),
    };
    let secrets = crate::api::secrets::open(ctx, &owner, params.secrets.as_ref(), &params.env)?;
    let kept = crate::api::secrets::keep(ctx, &secrets)?;
    let (mut ports, mut volumes) = (params.ports, params.volumes);
    ports.sort_unstable();
    volumes.sort_unstable();
    let manifest = LaunchManifest {
        version: MANIFEST_VERSION,
        image: image.reference().to_string(),
        args: params.args.clone(),
        env: params.env.iter().map(|(name, value)| (name.clone(), salt.hmac(name, value))).collect(),
        secrets: secrets.hmacs(&salt),
        units: params.units,
        ports: ports.clone(),
        volumes: volumes.clone(),
        egress: params.egress,
        upgrade: params.upgrade,
        owner,
        logs: params.logs,
        exec: params.exec,
    };
    let manifest_sha256 = manifest.sha256().map_err(|e| Failure::new(Code::ParamsInvalid, e.to_string()))?;
    Ok(NewLaunch {
        keys: Keys::generate(),
        token: Token::new(hex::encode(random::<TOKEN_BYTES>()?)),
        origin: Origin::Launched { owner, request_key: key.to_hex() },
        spec: Spec {
            name: params.name,
            image: manifest.image.clone(),
            config_digest: image.config_digest().to_string(),
            args: params.args,
            env: params.env,
            secrets: kept,
            units: params.units,
            volume_bytes: None,
            ports: Vec::new(),
            volumes,
            image_volumes: image.spec().volumes.iter().cloned().collect(),
            egress: params.egress,
            price_per_period: price_per_period(ctx, params.units)?,
            manifest: Some(manifest),
            manifest_sha256: Some(manifest_sha256),
            salt: Some(salt),
        },
        container_ports: ports,
        state: State::waiting(now.plus_secs(u64::from(ctx.config.launch.invoice_secs))),
        created_at: now,
    })
}

/// What a launch must fit into.
pub(crate) fn room(ctx: &Context) -> Room {
    Room {
        units: ctx.config.capacity.sold_units(),
        unpaid_max: ctx.config.launch.unpaid_max,
        slots: ctx.runtime.slots(),
        ports: ctx.config.network.published_ports,
    }
}

fn reserve(ctx: &Context, new: NewLaunch) -> Result<Container, Failure> {
    ctx.store.reserve(new, &room(ctx)).map_err(|e| match e {
        ReserveError::Full(what) => Failure::new(
            Code::ServerFull,
            format!("{what}; ask for less, try later, or choose another server"),
        ),
        ReserveError::OwnerHasUnpaid => launch_open(),
        ReserveError::TooManyUnpaid => Failure::new(
            Code::LaunchesTooMany,
            "too many launches on this server wait for payment; try again in a few minutes",
        ),
        ReserveError::Store(e) => store_failure(&e),
    })
}

fn launch_open() -> Failure {
    Failure::new(
        Code::LaunchOpen,
        "you have a launch that waits for payment; pay it, terminate it, or let its invoice expire",
    )
}

/// The invoice that pays for the first period. Its description commits to the manifest.
async fn invoice(ctx: &Context, container: &Container) -> Result<Invoice, Failure> {
    let amount = container.spec.price_per_period;
    let hash = container.spec.manifest_sha256.clone().unwrap_or_default();
    let description = format!("enclaved launch {hash}");
    let made = ctx
        .wallet
        .make_invoice(&container.keys, amount, description, ctx.config.launch.invoice_secs)
        .await
        .map_err(|e| {
            tracing::warn!("launch invoice: {e}");
            wallet_failure()
        })?;
    let state = waiting_for(&made);
    ctx.store.save_invoice(&container.pubkey(), &made, &state).map_err(|e| store_failure(&e))?;
    Ok(made)
}

/// Units are reserved for as long as the wallet takes the payment: through the second in which the
/// invoice expires, which was made a moment after the reservation.
const fn waiting_for(invoice: &Invoice) -> State {
    State::waiting(invoice.expires_at.plus_secs(1))
}

fn reply(ctx: &Context, container: &Container, invoice: Invoice) -> Result<LaunchReply, Failure> {
    let spec = &container.spec;
    let (Some(manifest), Some(manifest_sha256), Some(salt)) =
        (spec.manifest.clone(), spec.manifest_sha256.clone(), spec.salt.clone())
    else {
        return Err(Failure::new(Code::Internal, "the launch on record has no manifest"));
    };
    Ok(LaunchReply {
        pubkey: container.pubkey(),
        invoice,
        image: spec.image.clone(),
        manifest,
        manifest_sha256,
        salt,
        price_msat_per_hour: reports::price_per_hour(ctx, container),
        state: container.state.name().to_owned(),
    })
}

fn price_per_period(ctx: &Context, units: ComputeUnits) -> Result<Msat, Failure> {
    ctx.config.price.per_period(units).map_err(|_| price_failure())
}

fn price_failure() -> Failure {
    Failure::new(Code::Internal, "the configured price is out of range")
}

fn wallet_failure() -> Failure {
    Failure::new(Code::WalletUnavailable, "the server's wallet does not answer; try again in a minute")
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| {
        tracing::error!("no random bytes: {e}");
        Failure::new(Code::Internal, "the server has no random numbers; nothing was done")
    })?;
    Ok(bytes)
}
