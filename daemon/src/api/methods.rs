//! The use cases by name, for adapters that carry JSON.

use protocol::rpc::enclaved::{
    ContainerParams, ExecParams, HistoryParams, LaunchParams, ListParams, LogsParams, NoParams,
    ReceiptParams, SetEnvParams, TopupParams, TransferParams, UpgradeParams, WithdrawParams, parse_params,
};
use protocol::rpc::{Code, Failure};
use relay::request_log::RequestKey;
use relay::rpc::Caller;
use serde::Serialize;
use serde_json::Value;

use super::Api;

/// Every method that there is: what is not in here is not called.
pub const METHODS: [&str; 25] = [
    "ping",
    "price",
    "quote",
    "launch",
    "info",
    "status",
    "list",
    "logs",
    "stats",
    "events",
    "receipts",
    "set_env",
    "topup",
    "withdraw",
    "pause",
    "resume",
    "exec",
    "transfer",
    "accept_transfer",
    "cancel_transfer",
    "upgrade",
    "pin",
    "unpin",
    "upgrades",
    "terminate",
];

/// True for a method that changes nothing: it may run twice.
pub(crate) fn is_read(method: &str) -> bool {
    // A top-up makes an invoice, the same for the same wish, and changes nothing else.
    matches!(
        method,
        "ping"
            | "price"
            | "quote"
            | "info"
            | "status"
            | "list"
            | "topup"
            | "logs"
            | "stats"
            | "events"
            | "upgrades"
            | "receipts"
    )
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
    if !METHODS.contains(&method) {
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

fn unknown() -> Failure {
    Failure::new(Code::MethodUnknown, format!("no such method; there are {}", METHODS.join(", ")))
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
