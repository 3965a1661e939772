//! A stranger with a key and some money, and what they can see of a container.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use devnet::world::World;
use nostr::key::{Keys, PublicKey};
use protocol::nwc::{MakeInvoice, PayInvoice};
use protocol::rpc::enclaved::{ContainerParams, ContainerStatus, LaunchReply};
use relay::nwc::NwcClient;
use relay::rpc::{RpcClient, RpcError};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use units::{Msat, Stopwatch};

/// Longest wait for anything that the server does.
pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Somebody who uses a server.
pub(crate) struct Stranger {
    pub(crate) keys: Keys,
    pub(crate) rpc: RpcClient,
    pub(crate) wallet: NwcClient,
}

impl Stranger {
    /// A stranger with so much money.
    pub(crate) async fn with(world: &World, sats: i64) -> Result<Self> {
        let keys = Keys::generate();
        let stranger = Self { rpc: world.rpc(&keys).await?, wallet: world.wallet(&keys).await?, keys };
        if sats > 0 {
            world.fund(&stranger.keys, Msat::from_sats(sats).unwrap()).await?;
        }
        Ok(stranger)
    }

    pub(crate) async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, RpcError> {
        self.rpc.call(method, &params, SOON).await
    }

    /// The code with which the server refuses.
    pub(crate) async fn refused(&self, method: &str, params: Value) -> String {
        match self.call::<Value>(method, params.clone()).await {
            Err(RpcError::Refused(refusal)) => {
                assert!(refusal.message.len() > 10, "a refusal says what to do: {refusal:?}");
                refusal.code
            }
            other => panic!("{method} {params} should be refused, got {other:?}"),
        }
    }

    pub(crate) async fn launch(&self, image: &str, extra: Value) -> Result<LaunchReply, RpcError> {
        let mut params = json!({"docker": image, "units": 1});
        for (name, value) in extra.as_object().unwrap() {
            params[name] = value.clone();
        }
        self.call("launch", params).await
    }

    pub(crate) async fn pay(&self, invoice: &str) -> Result<String> {
        Ok(self.wallet.call(&self.keys, &PayInvoice::of(invoice), SOON).await?.preimage.to_hex())
    }

    /// Launches and pays, and waits until it runs.
    pub(crate) async fn run(&self, image: &str, extra: Value) -> Result<PublicKey> {
        let launched = self.launch(image, extra).await?;
        self.pay(&launched.invoice.invoice).await?;
        self.wait_for(&launched.pubkey, "deployed").await?;
        Ok(launched.pubkey)
    }

    /// Launches an image with a published port 8080, and waits until it runs, is charged for its first
    /// period, and answers: from then on nothing changes by itself for the rest of the period.
    pub(crate) async fn settled(&self, image: &str) -> Result<PublicKey> {
        let pubkey = self.run(image, json!({"ports": [8080]})).await?;
        get(&self.url(&pubkey).await?).await?;
        self.wait_settled(&pubkey).await?;
        Ok(pubkey)
    }

    /// Somebody with so much money whose container runs and keeps what is put to it, and where it is reached.
    pub(crate) async fn keeper(world: &World, sats: i64) -> Result<(Self, PublicKey, String)> {
        let owner = Self::with(world, sats).await?;
        let volume = json!({"ports": [8080], "volumes": ["/data"]});
        let pubkey = owner.run(&world.push_echo().await?, volume).await?;
        let url = owner.url(&pubkey).await?;
        Ok((owner, pubkey, url))
    }

    /// Waits until the container is charged, and its balance told.
    pub(crate) async fn wait_settled(&self, pubkey: &PublicKey) -> Result<()> {
        let took = Stopwatch::start();
        loop {
            let status = self.status(pubkey).await?;
            if status.paid_until.is_some() && status.balance_msat == Msat::ZERO {
                return Ok(());
            }
            if took.elapsed() > SOON {
                bail!("not settled within {SOON:?}: {status:?}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// An invoice that pays into the stranger's own account.
    pub(crate) async fn invoice(&self, msat: i64) -> Result<String> {
        let made = self.wallet.call(&self.keys, &MakeInvoice::of(Msat::new(msat)), SOON).await?;
        made.invoice.context("an invoice")
    }

    pub(crate) async fn status(&self, pubkey: &PublicKey) -> Result<ContainerStatus, RpcError> {
        self.rpc.call("status", &ContainerParams { pubkey: *pubkey }, SOON).await
    }

    /// Waits until the container is in this state.
    pub(crate) async fn wait_for(&self, pubkey: &PublicKey, state: &str) -> Result<ContainerStatus> {
        let took = Stopwatch::start();
        loop {
            let status = self.status(pubkey).await?;
            if status.info.state == state {
                return Ok(status);
            }
            if took.elapsed() > SOON {
                bail!("not {state} within {SOON:?} but {status:?}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The address at which a published port is reached.
    pub(crate) async fn url(&self, pubkey: &PublicKey) -> Result<String> {
        let status = self.status(pubkey).await?;
        let endpoint = status.info.endpoints.first().context("no endpoint")?;
        Ok(format!("http://{}:{}", endpoint.host, endpoint.port))
    }
}

/// What an address answers, tried until it answers at all.
pub(crate) async fn get(url: &str) -> Result<(u16, String)> {
    service::init_tls();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let took = Stopwatch::start();
    loop {
        match client.get(url).send().await {
            Ok(answer) => return Ok((answer.status().as_u16(), answer.text().await?)),
            Err(e) if took.elapsed() > SOON => return Err(e).context(url.to_owned()),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Waits until nothing answers there any more: the state says so a moment before the process ends.
pub(crate) async fn silent(url: &str) -> Result<()> {
    service::init_tls();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build()?;
    let took = Stopwatch::start();
    while client.get(url).send().await.is_ok() {
        if took.elapsed() > SOON {
            bail!("{url} still answers after {SOON:?}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

pub(crate) async fn put(url: &str, text: &str) -> Result<u16> {
    service::init_tls();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    Ok(client.put(url).body(text.to_owned()).send().await?.status().as_u16())
}
