//! What a guest may ask.

mod identity;
mod money;
mod says;

use std::sync::Arc;

use nostr::key::PublicKey;
use protocol::guest::{Attest, MESSAGE_BYTES_MAX};
use protocol::rpc::enclaved::{NoParams, parse_params};
use protocol::statement::Claim;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::limits::{Cost, FetchPlace};
use super::refusal::{Refusal, RefusalCode};
use super::{Guests, derive, fetch};
use crate::rpc::check_named;
use crate::store::Container;

/// By which door a call came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Door {
    /// The WebSocket of the reference, whose messages have at most [`MESSAGE_BYTES_MAX`] bytes.
    WebSocket,
    /// The Unix socket.
    Socket,
}

macro_rules! methods {
    ($($variant:ident = $text:literal, $cost:ident;)+) => {
        /// A method.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        enum Method { $($variant,)+ }

        impl Method {
            const NAMES: &[&str] = &[$($text,)+];

            fn of(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }

            const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            const fn cost(self) -> Cost {
                match self { $(Self::$variant => Cost::$cost,)+ }
            }
        }
    };
}

methods! {
    CreateCertificate = "create_certificate", Call;
    // What it changes is published.
    SetInfo = "set_info", Statement;
    GetContainerInfo = "get_container_info", Call;
    Log = "log", Call;
    Info = "info", Call;
    Manifest = "manifest", Call;
    Wallet = "wallet", Call;
    DeriveKey = "derive_key", Call;
    Attest = "attest", Statement;
    AttestedFetch = "attested_fetch", Fetch;
}

/// What is answered, and the place that it takes in memory until it is written.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) place: Option<FetchPlace>,
}

/// Carries out one call of the container `pubkey`, which its door has admitted, and counts what it costs
/// besides.
pub(super) async fn call(
    guests: &Arc<Guests>,
    pubkey: PublicKey,
    door: Door,
    name: &str,
    params: &Value,
) -> Result<Answer, Refusal> {
    let method = Method::of(name);
    let outcome = limited(guests, pubkey, door, method, params).await;
    // Names that strangers make up are no labels.
    let label = method.map_or("unknown", Method::name);
    let code = outcome.as_ref().map_or_else(|refusal| refusal.code.as_str(), |_| "ok");
    metrics::counter!("guest_calls_total", "method" => label, "code" => code).increment(1);
    outcome
}

async fn limited(
    guests: &Arc<Guests>,
    pubkey: PublicKey,
    door: Door,
    method: Option<Method>,
    params: &Value,
) -> Result<Answer, Refusal> {
    let ctx = guests.fleet.context();
    let now_ms = ctx.clock.now_ms();
    let method = method.ok_or_else(|| {
        let all = Method::NAMES.join(", ");
        Refusal::new(RefusalCode::MethodUnknown, format!("no such method; there are {all}"))
    })?;
    if method.cost() != Cost::Call {
        guests.limits.take(&pubkey, method.cost(), now_ms)?;
    }
    // Afresh each time: state and balance change while the guest is connected.
    let container = ctx.store.container(&pubkey).map_err(|e| Refusal::internal(&e))?;
    let container = container.filter(|container| !container.state.is_over());
    let container =
        container.ok_or_else(|| Refusal::new(RefusalCode::ContainerOver, "the container is over"))?;
    carry_out(guests, &container, door, method, params).await
}

async fn carry_out(
    guests: &Arc<Guests>,
    container: &Container,
    door: Door,
    method: Method,
    params: &Value,
) -> Result<Answer, Refusal> {
    let fleet = &guests.fleet;
    let ctx = fleet.context();
    match method {
        Method::CreateCertificate => {
            reply(&identity::create_certificate(ctx, container, parse(params)?).await?)
        }
        Method::SetInfo => reply(&says::set_info(fleet, container, parse(params)?)?),
        Method::GetContainerInfo => {
            let NoParams {} = parse(params)?;
            reply(&identity::container_info(ctx, container))
        }
        Method::Log => reply(&says::log(ctx, container, &parse(params)?)),
        Method::Info => {
            let NoParams {} = parse(params)?;
            reply(&identity::info(ctx, container))
        }
        Method::Manifest => {
            let NoParams {} = parse(params)?;
            reply(&identity::manifest(container)?)
        }
        Method::Wallet => {
            let NoParams {} = parse(params)?;
            reply(&money::wallet(guests, container).await?)
        }
        Method::DeriveKey => reply(&derive::derive(ctx.keys.secret_key(), container, &parse(params)?)?),
        Method::Attest => {
            let Attest { digest } = parse(params)?;
            reply(&ctx.statements.state(ctx, container, Claim::Attest { digest }).await?)
        }
        Method::AttestedFetch if door == Door::WebSocket => Err(Refusal::new(
            RefusalCode::Unavailable,
            format!("answers on this door have at most {MESSAGE_BYTES_MAX} bytes; use the Unix socket"),
        )),
        Method::AttestedFetch => {
            let request = parse(params)?;
            let place = guests.limits.fetch(container.pubkey())?;
            let names = guests.limits.name(container.pubkey())?;
            let fetched = fetch::attested_fetch(ctx, &guests.fetcher, container, request, names).await?;
            Ok(Answer { place: Some(place), ..reply(&fetched)? })
        }
    }
}

fn parse<T: DeserializeOwned>(params: &Value) -> Result<T, Refusal> {
    check_named(params)?;
    Ok(parse_params(params)?)
}

fn reply(result: &impl Serialize) -> Result<Answer, Refusal> {
    let value = serde_json::to_value(result).map_err(|e| Refusal::internal(&e))?;
    Ok(Answer { value, place: None })
}
