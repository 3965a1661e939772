//! Calls to one key store.

use std::sync::Arc;
use std::time::Duration;

use nostr::key::{Keys, PublicKey};
use protocol::kinds::KEYCRUX_RPC;
use protocol::rpc::keycrux::{
    AdvanceParams, Body, CheckParams, CheckReply, GetParams, HasParams, HasReply, HeadParams, HeadReply,
    LeaseParams, PeerAnswer, PeerParams, SecretData, SetParams, StatusReply,
};
use quorum::Reply;
use relay::rpc::{RpcClient, RpcError};
use relay::{Pool, PoolError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use units::Clock;

#[derive(Serialize)]
struct NoParams {}

/// Calls one key store with one key. Every call waits at most as long as it is told, and may be made
/// again: none has a second effect.
#[derive(Debug)]
pub struct KeycruxClient {
    rpc: RpcClient,
    service: PublicKey,
    wait: Duration,
}

impl KeycruxClient {
    /// Subscribes to the replies of `service`; calls wait at most `wait`.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn new(
        pool: Pool,
        keys: Keys,
        service: PublicKey,
        clock: Arc<dyn Clock>,
        wait: Duration,
    ) -> Result<Self, PoolError> {
        let rpc = RpcClient::new(pool, keys, service, KEYCRUX_RPC, clock).await?;
        Ok(Self { rpc, service, wait })
    }

    /// Whom it calls.
    #[must_use]
    pub const fn service(&self) -> PublicKey {
        self.service
    }

    /// Whether it lives: `pong`.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn ping(&self) -> Result<String, RpcError> {
        self.call("ping", &NoParams {}).await
    }

    /// How it does.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn status(&self) -> Result<StatusReply, RpcError> {
        self.call("status", &NoParams {}).await
    }

    /// How many records a machine has.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn has(&self, params: &HasParams) -> Result<HasReply, RpcError> {
        self.call("has", params).await
    }

    /// What it knows of a record's head.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn head(&self, params: &HeadParams) -> Result<HeadReply, RpcError> {
        self.call("head", params).await
    }

    /// Whether a build would get a record.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn check(&self, params: &CheckParams) -> Result<CheckReply, RpcError> {
        self.call("check", params).await
    }

    /// Keeps data in this key store alone.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn set(&self, params: &SetParams) -> Result<String, RpcError> {
        self.call("set", params).await
    }

    /// Data that is kept in this key store alone.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn get(&self, params: &GetParams) -> Result<SecretData, RpcError> {
        self.call("get", params).await
    }

    /// Opens an epoch.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn lease(&self, params: &LeaseParams) -> Result<Reply<Body>, RpcError> {
        self.call("lease", params).await
    }

    /// Writes, or renews a lease.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn advance(&self, params: &AdvanceParams) -> Result<Reply<Body>, RpcError> {
        self.call("advance", params).await
    }

    /// Asks as another member of the group.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn peer(&self, params: &PeerParams) -> Result<PeerAnswer, RpcError> {
        self.call("peer", params).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &(impl Serialize + Sync),
    ) -> Result<T, RpcError> {
        self.rpc.call(method, params, self.wait).await
    }
}
