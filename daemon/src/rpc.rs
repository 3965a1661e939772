//! The use cases over Nostr: methods by name, parameters by their types.

use nostr::key::PublicKey;
use protocol::rpc::enclaved::{
    ContainerParams, LaunchParams, NoParams, TopupParams, WithdrawParams, parse_params,
};
use protocol::rpc::{Code, Failure};
use relay::request_log::RequestKey;
use relay::rpc::Handler;
use serde::Serialize;
use serde_json::Value;

use crate::api::Api;

/// Carries requests to the [`Api`].
#[derive(Debug)]
pub struct RpcAdapter(pub Api);

impl Handler for RpcAdapter {
    fn is_read(&self, method: &str) -> bool {
        // A top-up makes an invoice and changes nothing else.
        matches!(method, "ping" | "quote" | "info" | "status" | "list" | "topup")
    }

    async fn handle(
        &self,
        caller: PublicKey,
        key: RequestKey,
        method: &str,
        params: Value,
    ) -> Result<Value, Failure> {
        let api = &self.0;
        check_named(&params)?;
        // A clone of this server that was put aside may tell what it knows, and nothing else.
        if !matches!(method, "ping" | "info" | "status" | "list") {
            api.may_act()?;
        }
        let pubkey = || parse_params::<ContainerParams>(&params).map(|params| params.pubkey);
        match method {
            "ping" => Ok(Value::from("pong")),
            "quote" => reply(&api.quote(LaunchParams::parse(&params)?).await?),
            "launch" => reply(&api.launch(caller, key, LaunchParams::parse(&params)?).await?),
            "info" => reply(&api.info(&pubkey()?)?),
            "status" => reply(&api.status(&caller, &pubkey()?)?),
            "list" => {
                let NoParams {} = parse_params(&params)?;
                reply(&api.list(&caller)?)
            }
            "pause" => reply(&api.pause(&caller, &pubkey()?).await?),
            "resume" => reply(&api.resume(&caller, &pubkey()?).await?),
            "terminate" => reply(&api.terminate(&caller, &pubkey()?).await?),
            "topup" => reply(&api.topup(parse_params::<TopupParams>(&params)?).await?),
            "withdraw" => reply(&api.withdraw(&caller, key, parse_params::<WithdrawParams>(&params)?).await?),
            _ => Err(Failure::new(
                Code::MethodUnknown,
                "no such method; there are ping, quote, launch, info, status, list, topup, withdraw, pause, \
                 resume, terminate",
            )),
        }
    }
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
