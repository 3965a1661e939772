//! What a guest may ask: the reference's methods.

use std::sync::Arc;

use nostr::key::PublicKey;
use protocol::guest::{
    AppInfo, CertificateChain, ContainerInfoReply, CreateCertificate, Done, GuestContainer, LOG_BYTES_MAX,
    Log, SetInfo,
};
use protocol::nec::certificate::for_app;
use protocol::rpc::enclaved::{NoParams, parse_params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::announce::containers::certificate;
use crate::deploy::Fleet;
use crate::rpc::check_named;
use crate::store::{Container, Origin};

/// Carries out one call of the container `pubkey`.
pub(super) async fn call(
    fleet: &Arc<Fleet>,
    pubkey: PublicKey,
    method: &str,
    params: &Value,
) -> Result<Value, String> {
    let store = &fleet.context().store;
    // Afresh each time: state and balance change while the guest is connected.
    let container = store.container(&pubkey).map_err(|e| internal(&e))?.ok_or("the container is over")?;
    match method {
        "create_certificate" => reply(&create_certificate(fleet, &container, parse(params)?).await?),
        "set_info" => reply(&set_info(fleet, &container, parse(params)?).await?),
        "get_container_info" => {
            let NoParams {} = parse(params)?;
            reply(&container_info(fleet, &container))
        }
        "log" => reply(&log(fleet, &container, &parse(params)?)),
        _ => Err(format!(
            "no method {:?}; there are create_certificate, set_info, get_container_info, log",
            method.chars().take(32).collect::<String>()
        )),
    }
}

fn parse<T: DeserializeOwned>(params: &Value) -> Result<T, String> {
    check_named(params).and_then(|()| parse_params(params)).map_err(|failure| failure.message)
}

fn reply(result: &impl Serialize) -> Result<Value, String> {
    serde_json::to_value(result).map_err(|e| internal(&e))
}

fn internal(error: &dyn std::error::Error) -> String {
    tracing::error!("guest API: {error}");
    "a fault of the server; try again".to_owned()
}

async fn create_certificate(
    fleet: &Arc<Fleet>,
    container: &Container,
    request: CreateCertificate,
) -> Result<CertificateChain, String> {
    let ctx = fleet.context();
    ctx.hold.require().map_err(|failure| format!("{}: {}", failure.code, failure.message))?;
    let evidence = ctx.attestor.current().await.map_err(|e| internal(&e))?;
    let to_container = certificate(ctx, &evidence, container).map_err(|e| internal(&e))?;
    let until = evidence.document.leaf_not_after();
    let to_app =
        for_app(&container.keys, &request.pubkey, until, ctx.clock.now()).map_err(|e| internal(&e))?;
    Ok(CertificateChain {
        root: evidence.root.event().clone(),
        certs: vec![to_container.into_event(), to_app.into_event()],
    })
}

async fn set_info(fleet: &Arc<Fleet>, container: &Container, request: SetInfo) -> Result<Done, String> {
    let ctx = fleet.context();
    let AppInfo { pubkey } = request.info;
    ctx.store.save_app(&container.pubkey(), &pubkey).map_err(|e| internal(&e))?;
    let is_wallet = matches!(&container.origin, Origin::Builtin(name) if *name == ctx.config.wallet);
    if is_wallet {
        // The wallet waits for this answer before it listens, so it is asked afterwards.
        let fleet = Arc::clone(fleet);
        tokio::spawn(async move { fleet.wallet_appeared(pubkey).await });
    }
    ctx.changes.container(container.pubkey());
    Ok(Done { ok: true })
}

fn container_info(fleet: &Arc<Fleet>, container: &Container) -> ContainerInfoReply {
    let ctx = fleet.context();
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

fn log(fleet: &Arc<Fleet>, container: &Container, request: &Log) -> Done {
    let mut end = request.message.len().min(LOG_BYTES_MAX);
    while !request.message.is_char_boundary(end) {
        end -= 1;
    }
    fleet.context().parent_log.line(format!("container {}: {}", container.pubkey(), &request.message[..end]));
    Done { ok: true }
}
