//! Calling a server.

use std::sync::Arc;
use std::time::Duration;

use nostr::key::{Keys, PublicKey};
use protocol::kinds::ENCLAVED_RPC;
use protocol::nec::VerifiedInstance;
use protocol::rpc::enclaved::{ContainerInfo, ContainerParams, NoParams, Terms};
use relay::rpc::{RpcClient, RpcError};
use relay::work::WORK_BITS_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::{find, key};

/// Most servers that are asked when none is named: each is a conversation of its own.
pub(crate) const SERVERS_MAX: usize = 32;
/// Refusals that say nothing of the command itself: the same command may pass a little later.
const PASSING: [&str; 4] = ["wallet_unavailable", "rate_limited", "payment_pending", "server_busy"];
/// As many as no two commands ever draw alike.
const ID_BYTES: usize = 16;
/// How often such a command is given.
const TRIES_MAX: u32 = 4;
/// The refusal that proof of work lifts.
const QUOTA_USED: &str = "quota_used";
/// What the work may take: most bits on a slow machine, and luck.
const WORK_WAIT: Duration = Duration::from_secs(120);
/// How long to wait before it is given again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// A server that takes requests.
#[derive(Debug)]
pub(crate) struct Remote {
    rpc: RpcClient,
    wait: Duration,
}

impl Remote {
    /// Connects to where the server listens and calls it with `keys`.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn connect(
        ctx: &Context,
        service: PublicKey,
        keys: Keys,
        announced_relays: &[String],
    ) -> Result<Self, Failure> {
        let pool = ctx.pool_of(announced_relays).await?;
        let rpc = RpcClient::new(pool, keys, service, ENCLAVED_RPC, Arc::clone(&ctx.clock)).await?;
        Ok(Self { rpc, wait: ctx.settings.answer_wait() })
    }

    /// Asks something that changes nothing.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &(impl Serialize + Sync),
    ) -> Result<T, Failure> {
        Ok(self.rpc.call(method, params, self.wait).await?)
    }

    /// Gives a command. However often it is sent, it has one id and so one effect.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn command<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &(impl Serialize + Sync),
        wait: Duration,
    ) -> Result<T, Failure> {
        let id = hex::encode(key::random::<ID_BYTES>()?);
        for _ in 1..TRIES_MAX {
            match self.rpc.call_as(&id, method, params, wait).await {
                Err(RpcError::Refused(refusal)) if PASSING.contains(&refusal.code.as_str()) => {
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                answered => return Ok(answered?),
            }
        }
        Ok(self.rpc.call_as(&id, method, params, wait).await?)
    }

    /// Gives a command that asks a registry something, which is free only so often: if the server says that it
    /// was asked often enough, this works for it (NIP-13) and asks once more.
    ///
    /// # Errors
    /// [`Failure`]; the refusal, if work lifts it for nobody or takes too long.
    pub(crate) async fn working_command<T: DeserializeOwned>(
        &self,
        ctx: &Context,
        method: &str,
        params: &(impl Serialize + Sync),
        wait: Duration,
    ) -> Result<T, Failure> {
        let refused = match self.command(method, params, wait).await {
            Err(failure) if failure.code() == QUOTA_USED => failure,
            answered => return answered,
        };
        let terms: Terms = self.ask("price", &NoParams {}).await?;
        let bits = terms.free_work_bits;
        if bits == 0 || bits > WORK_BITS_MAX {
            return Err(refused);
        }
        let _doing = ctx.progress.begin(format!(
            "the server's free quotes are used up: working for one ({bits} bits of proof of work)"
        ));
        // Nothing came of the first, so this is a command of its own.
        let id = hex::encode(key::random::<ID_BYTES>()?);
        Ok(self.rpc.call_with_work(&id, method, params, wait + WORK_WAIT, bits).await?)
    }

    /// How long an answer is waited for.
    pub(crate) const fn wait(&self) -> Duration {
        self.wait
    }
}

/// The server of a container: its key, and its announcement if there is one that verifies.
#[derive(Debug)]
pub(crate) struct Home {
    /// The server's key.
    pub(crate) service: PublicKey,
    /// Its announcement, or why it does not count.
    pub(crate) instance: Result<VerifiedInstance, Failure>,
}

impl Home {
    /// Finds the server of a container: the one that was named, or the one in its public event, or, for
    /// a container that has no event yet, the one that knows it.
    ///
    /// # Errors
    /// `not_found` if the container is nowhere.
    pub(crate) async fn find(
        ctx: &Context,
        container: PublicKey,
        named: Option<PublicKey>,
    ) -> Result<Self, Failure> {
        let service = match named {
            Some(service) => service,
            None => match find::container(ctx, container).await {
                Ok(event) => find::service_of(&event)?,
                Err(missing) if missing.exit() == Exit::Refused => {
                    return Self::ask_for(ctx, container).await?.ok_or(missing);
                }
                Err(e) => return Err(e),
            },
        };
        Ok(Self { service, instance: find::verified_instance(ctx, service).await })
    }

    /// Asks every server that verifies whether the container is there: of one that was never paid
    /// there is no public event.
    async fn ask_for(ctx: &Context, container: PublicKey) -> Result<Option<Self>, Failure> {
        let _doing = ctx.progress.begin("asking the servers for the container");
        // Anybody may ask; it need not be known who does.
        let keys = key::generate()?;
        let knows = |instance: VerifiedInstance| {
            let keys = keys.clone();
            async move {
                let relays = &instance.announced().relays;
                let remote = Remote::connect(ctx, instance.service(), keys, relays).await.ok()?;
                let known = remote.ask::<ContainerInfo>("info", &ContainerParams { pubkey: container }).await;
                known.ok().map(|_| Self { service: instance.service(), instance: Ok(instance) })
            }
        };
        let found = find::instances(ctx, None).await?.into_iter().filter_map(|it| it.verdict.ok());
        let answers = futures_util::future::join_all(found.take(SERVERS_MAX).map(knows)).await;
        Ok(answers.into_iter().flatten().next())
    }

    /// Connects to it. An owner commands a server whose evidence has ended just the same: what is said
    /// is encrypted to its key, and answers are signed by it.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn connect(&self, ctx: &Context, keys: Keys) -> Result<Remote, Failure> {
        let relays = self.instance.as_ref().map(|it| it.announced().relays.as_slice()).unwrap_or_default();
        Remote::connect(ctx, self.service, keys, relays).await
    }
}
