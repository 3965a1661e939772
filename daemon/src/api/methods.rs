//! The use cases by name, for adapters that carry JSON.

use protocol::rpc::enclaved::{
    ContainerParams, ExecParams, HistoryParams, LaunchParams, ListParams, LogsParams, NoParams,
    ReceiptParams, SetEnvParams, TopupParams, TransferParams, UpgradeParams, WithdrawParams, parse_params,
};
use protocol::rpc::{Code, Failure};
use relay::request_log::RequestKey;
use relay::rpc::{Caller, Effect, Method};
use serde::Serialize;
use serde_json::{Value, json};

use super::Api;

/// Every method that there is: what is not in here is not called. And what of each is put on record.
const METHODS: &[(&str, Effect)] = &[
    ("ping", Effect::None),
    ("price", Effect::None),
    ("quote", Effect::None),
    ("launch", Effect::Answers),
    ("info", Effect::None),
    ("status", Effect::None),
    ("list", Effect::None),
    ("logs", Effect::None),
    ("stats", Effect::None),
    ("events", Effect::None),
    ("receipts", Effect::None),
    ("set_env", Effect::Stands),
    // Makes an invoice, the same for the same wish, and changes nothing else.
    ("topup", Effect::None),
    ("withdraw", Effect::Answers),
    ("pause", Effect::Stands),
    ("resume", Effect::Stands),
    ("exec", Effect::Answers),
    ("transfer", Effect::Stands),
    ("accept_transfer", Effect::Stands),
    ("cancel_transfer", Effect::Stands),
    ("upgrade", Effect::Stands),
    ("pin", Effect::Stands),
    ("unpin", Effect::Stands),
    ("upgrades", Effect::None),
    ("terminate", Effect::Stands),
];

/// The method of this name.
pub(crate) fn method(name: &str) -> Option<Method> {
    let found = METHODS.iter().copied().find(|(known, _)| *known == name);
    found.map(|(name, effect)| Method { name, effect })
}

/// The names of all methods.
pub fn names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|(name, _)| *name)
}

/// True for a method that changes nothing: it may run twice.
pub(crate) fn is_read(name: &str) -> bool {
    method(name).is_some_and(|method| method.effect == Effect::None)
}

/// True for a method that only tells what this server knows: it acts for nobody.
fn only_tells(method: &str) -> bool {
    matches!(method, "ping" | "price" | "info" | "status" | "list" | "logs" | "stats" | "events" | "upgrades")
}

/// Refuses a method while this server may not act. A clone of it that was put aside may tell what it
/// knows, and nothing else.
///
/// # Errors
/// [`Code::NotHolding`].
pub(crate) fn check_hold(api: &Api, method: &str) -> Result<(), Failure> {
    if only_tells(method) { Ok(()) } else { api.may_act() }
}

/// Carries out one method for a caller. A command comes with a key by which it is known again.
///
/// # Errors
/// [`Failure`] with the code of what is wrong.
pub(crate) async fn call(
    api: &Api,
    by: Caller,
    key: RequestKey,
    method: &str,
    params: Value,
) -> Result<Value, Failure> {
    let caller = by.pubkey;
    if self::method(method).is_none() {
        return Err(unknown());
    }
    check_named(&params)?;
    check_hold(api, method)?;
    let pubkey = || parse_params::<ContainerParams>(&params).map(|params| params.pubkey);
    match method {
        "ping" => Ok(Value::from("pong")),
        "price" => {
            let NoParams {} = parse_params(&params)?;
            reply(&api.terms()?)
        }
        "quote" => reply(&api.quote(&by, LaunchParams::parse(&params)?).await?),
        "launch" => reply(&api.launch(&by, key, LaunchParams::parse(&params)?).await?),
        "info" => reply(&api.info(&pubkey()?)?),
        "status" => reply(&api.status(&caller, &pubkey()?)?),
        "list" => reply(&api.list(&caller, &parse_params::<ListParams>(&params)?)?),
        "pause" => reply(&api.pause(&caller, &pubkey()?).await?),
        "resume" => reply(&api.resume(&caller, &pubkey()?).await?),
        "terminate" => reply(&api.terminate(&caller, &pubkey()?).await?),
        "topup" => reply(&api.topup(&caller, parse_params::<TopupParams>(&params)?).await?),
        "withdraw" => reply(&api.withdraw(&caller, key, parse_params::<WithdrawParams>(&params)?).await?),
        "logs" => reply(&api.logs(&caller, parse_params::<LogsParams>(&params)?).await?),
        "stats" => reply(&api.stats(&caller, &pubkey()?).await?),
        "set_env" => reply(&api.set_env(&caller, SetEnvParams::parse(&params)?).await?),
        "receipts" => reply(&api.receipts(&caller, &parse_params::<ReceiptParams>(&params)?).await?),
        "events" => reply(&api.history(&caller, &parse_params::<HistoryParams>(&params)?)?),
        "exec" => reply(&api.exec(&caller, key, parse_params::<ExecParams>(&params)?).await?),
        "upgrade" => reply(&api.upgrade(&by, key, &parse_params::<UpgradeParams>(&params)?).await?),
        "pin" => reply(&api.pin(&caller, &pubkey()?, true)?),
        "unpin" => reply(&api.pin(&caller, &pubkey()?, false)?),
        "upgrades" => reply(&api.upgrades(&caller, &pubkey()?)?),
        "transfer" => reply(&api.transfer(&caller, &parse_params::<TransferParams>(&params)?).await?),
        "accept_transfer" => reply(&api.accept_transfer(&caller, &pubkey()?).await?),
        "cancel_transfer" => reply(&api.cancel_transfer(&caller, &pubkey()?).await?),
        _ => Err(unknown()),
    }
}

/// Answers a command that was carried out before, and of which no more is on record: by what is on record of what
/// it made, or by how things stand now.
///
/// # Errors
/// [`Failure`] with the code of what is wrong by now.
pub(crate) async fn answer_again(
    api: &Api,
    by: Caller,
    key: RequestKey,
    name: &str,
    params: Value,
) -> Result<Value, Failure> {
    if method(name).is_none_or(|method| method.effect != Effect::Stands) {
        // Known again by its key.
        return call(api, by, key, name, params).await;
    }
    let pubkey = params.get("pubkey").cloned().unwrap_or_default();
    let ContainerParams { pubkey } = parse_params(&json!({"pubkey": pubkey}))?;
    match name {
        "pin" | "unpin" => reply(&api.upgrades(&by.pubkey, &pubkey)?),
        _ => reply(&api.status(&by.pubkey, &pubkey)?),
    }
}

fn unknown() -> Failure {
    Failure::new(
        Code::MethodUnknown,
        format!("no such method; there are {}", names().collect::<Vec<_>>().join(", ")),
    )
}

/// Parameters have names. A list is refused, because serde would take it for the fields in their order.
pub(crate) fn check_named(params: &Value) -> Result<(), Failure> {
    if params.is_object() || params.is_null() {
        return Ok(());
    }
    Err(Failure::new(Code::ParamsInvalid, "params must be an object with named fields"))
}

fn reply(result: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(result).map_err(|e| {
        tracing::error!("an answer cannot be written: {e}");
        Failure::new(Code::Internal, "a fault of the server")
    })
}
