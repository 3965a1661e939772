//! Containers as the API shows them.

use lifecycle::Phase;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::{
    ContainerInfo, ContainerList, ContainerStatus, ContainerSummary, Endpoint, StateReason,
};
use protocol::rpc::{Code, Failure};
use units::{Msat, UnixSecs};

use crate::context::Context;
use crate::store::Container;

const SECS_PER_HOUR: i64 = 3_600;

/// Where a container's ports are reached.
#[must_use]
pub fn endpoints(ctx: &Context, container: &Container) -> Vec<Endpoint> {
    let host = ctx.host.to_string();
    let endpoint = |mapping: &crate::store::PortMapping| Endpoint {
        container_port: mapping.container_port,
        host: host.clone(),
        port: mapping.server_port,
    };
    container.spec.ports.iter().map(endpoint).collect()
}

/// The price that was agreed, for an hour.
pub(super) fn price_per_hour(ctx: &Context, container: &Container) -> Msat {
    let period = i64::from(ctx.config.price.period_secs);
    let msat = container.spec.price_per_period.msat();
    Msat::new(msat.saturating_mul(SECS_PER_HOUR) / period.max(1))
}

pub(super) fn info(ctx: &Context, container: &Container) -> ContainerInfo {
    ContainerInfo {
        pubkey: container.pubkey(),
        name: container.spec.name.clone(),
        state: container.state.name().to_owned(),
        image: container.spec.image.clone(),
        manifest_sha256: container.spec.manifest_sha256.clone().unwrap_or_default(),
        units: container.spec.units,
        price_msat_per_hour: price_per_hour(ctx, container),
        endpoints: endpoints(ctx, container),
        app_pubkey: container.app,
        created_at: container.created_at,
    }
}

pub(super) fn paid_until(container: &Container) -> Option<UnixSecs> {
    Some(container.state.paid_until).filter(|_| container.state.next_period > 0)
}

pub(super) fn status(ctx: &Context, container: &Container) -> Result<ContainerStatus, Failure> {
    let (Some(manifest), Some(salt)) = (container.spec.manifest.clone(), container.spec.salt.clone()) else {
        return Err(Failure::new(Code::NotFound, "there is no such container on this server"));
    };
    let waiting = matches!(container.state.phase, Phase::Waiting { .. });
    let offer = ctx.store.offer_of(&container.pubkey(), ctx.clock.now());
    Ok(ContainerStatus {
        info: info(ctx, container),
        balance_msat: container.balance,
        paid_until: paid_until(container),
        owner_paused: container.state.owner_paused,
        data_kept_until: container.state.data_kept_until(&ctx.config.policy()),
        exits: container.state.exits,
        reason: container.reason.clone().or_else(|| reason(container)),
        manifest,
        salt,
        offer: offer.map_err(|e| super::store_failure(&e))?,
        invoice: container.invoice.clone().filter(|_| waiting),
        limits_not_enforced: ctx.runtime.facts().not_enforced.clone(),
    })
}

/// What a state says by itself.
fn reason(container: &Container) -> Option<StateReason> {
    let (code, message) = match container.state.phase {
        Phase::Paused { .. } => ("unpaid", "its balance does not pay for the next period; top it up"),
        Phase::Expired => {
            ("invoice_expired", "its invoice was not paid in time; what came late can be withdrawn")
        }
        Phase::Deployed if container.state.exits > 0 => {
            ("process_exits", "its process ended by itself and is started again; look at its output")
        }
        Phase::Deployed | Phase::Waiting { .. } | Phase::Launching | Phase::Failed | Phase::Terminated => {
            return None;
        }
    };
    Some(StateReason { code: code.to_owned(), message: message.to_owned() })
}

pub(super) fn list(ctx: &Context, containers: &[Container], next: Option<PublicKey>) -> ContainerList {
    let summary = |container: &Container| ContainerSummary {
        info: info(ctx, container),
        balance_msat: container.balance,
        paid_until: paid_until(container),
    };
    ContainerList { containers: containers.iter().map(summary).collect(), next }
}
