//! The use cases over Nostr RPC.

use nostr::key::PublicKey;
use protocol::rpc::Failure;
use relay::request_log::RequestKey;
use relay::rpc::{Caller, Handler, Method};
use serde_json::Value;

use crate::api::{Api, methods};

pub(crate) use crate::api::methods::check_named;

/// Carries requests to the [`Api`].
#[derive(Debug)]
pub struct RpcAdapter(pub Api);

impl Handler for RpcAdapter {
    fn method(&self, name: &str) -> Option<Method> {
        methods::method(name)
    }

    fn is_known(&self, caller: &PublicKey) -> bool {
        self.0.has_paid(caller)
    }

    async fn handle(
        &self,
        caller: Caller,
        key: RequestKey,
        method: &str,
        params: Value,
    ) -> Result<Value, Failure> {
        let _in_flight = self.0.begin(&caller.pubkey, method)?;
        methods::call(&self.0, caller, key, method, params).await
    }

    async fn answer_again(
        &self,
        caller: Caller,
        key: RequestKey,
        method: &str,
        params: Value,
    ) -> Result<Value, Failure> {
        let _in_flight = self.0.begin(&caller.pubkey, method)?;
        methods::answer_again(&self.0, caller, key, method, params).await
    }
}
