//! Containers that belong to the server: put on record at start, as the configuration has them now.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use lifecycle::State;
use nostr::key::Keys;
use units::Msat;

use crate::api::room;
use crate::config::Builtin;
use crate::context::Context;
use crate::image::{ImageLimits, PinnedImage, Reference};
use crate::store::{Container, NewLaunch, Origin, Spec, Token};

/// How long a registry may be away while the server starts.
const RESOLVE_WAIT: Duration = Duration::from_secs(120);
const RESOLVE_EVERY: Duration = Duration::from_secs(2);

/// Puts a built-in on record, or brings its record up to date.
///
/// # Errors
/// What went wrong; the server does not start without its built-ins.
pub async fn register(ctx: &Context, builtin: &Builtin) -> anyhow::Result<Container> {
    let known = ctx.store.builtin(&builtin.name)?;
    if let Some(mut known) = known {
        let mut spec = spec(builtin, known.spec.config_digest.clone(), known.spec.image_volumes.clone());
        if known.spec.image != builtin.docker {
            let image = resolve(ctx, builtin).await?;
            spec.config_digest = image.config_digest().to_string();
            spec.image_volumes = image.spec().volumes.iter().cloned().collect();
        }
        if known.spec != spec {
            ctx.store.save_spec(&known.pubkey(), &spec)?;
            known.spec = spec;
        }
        return Ok(known);
    }
    let image = resolve(ctx, builtin).await?;
    let volumes = image.spec().volumes.iter().cloned().collect();
    let mut token = [0; 16];
    getrandom::fill(&mut token)?;
    let new = NewLaunch {
        keys: Keys::generate(),
        token: Token::new(hex::encode(token)),
        origin: Origin::Builtin(builtin.name.clone()),
        spec: spec(builtin, image.config_digest().to_string(), volumes),
        container_ports: Vec::new(),
        state: State::builtin(),
        created_at: ctx.clock.now(),
    };
    Ok(ctx.store.reserve(new, &room(ctx))?)
}

fn spec(builtin: &Builtin, config_digest: String, image_volumes: Vec<String>) -> Spec {
    Spec {
        name: Some(builtin.name.clone()),
        image: builtin.docker.clone(),
        config_digest,
        args: None,
        env: builtin.env.clone(),
        secrets: None,
        units: builtin.units,
        volume_bytes: builtin.volume_bytes(),
        ports: Vec::new(),
        volumes: builtin.volumes.clone(),
        image_volumes,
        egress: builtin.egress,
        price_per_period: Msat::ZERO,
        manifest: None,
        manifest_sha256: None,
        salt: None,
    }
}

async fn resolve(ctx: &Context, builtin: &Builtin) -> anyhow::Result<PinnedImage> {
    let reference = Reference::from_str(&builtin.docker).context(builtin.docker.clone())?;
    let limits = ImageLimits::from(ctx.config.capacity.unit_size.times(builtin.units));
    let resolved = async {
        loop {
            match ctx.images.resolve(&reference, &limits).await {
                Err(e) if e.code() == "registry_unreachable" => {
                    tracing::warn!(builtin = builtin.name, "{e}; trying again");
                    tokio::time::sleep(RESOLVE_EVERY).await;
                }
                other => return other,
            }
        }
    };
    let resolved = tokio::time::timeout(RESOLVE_WAIT, resolved).await;
    resolved
        .with_context(|| format!("the registry of {} does not answer", builtin.docker))?
        .with_context(|| builtin.docker.clone())
}
