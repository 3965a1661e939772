//! The use cases over Nostr RPC.

use protocol::rpc::Failure;
use relay::request_log::RequestKey;
use relay::rpc::{Caller, Handler};
use serde_json::Value;

use crate::api::{Api, methods};

pub(crate) use crate::api::methods::check_named;

/// Carries requests to the [`Api`].
#[derive(Debug)]
pub struct RpcAdapter(pub Api);

impl Handler for RpcAdapter {
    fn is_read(&self, method: &str) -> bool {
        methods::is_read(method)
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
}
