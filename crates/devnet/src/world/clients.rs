//! Strangers who use a world's server, over its relay like any other.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use nostr::types::RelayUrl;
use protocol::event::CheckedEvent;
use protocol::kinds::{ANNOUNCEMENT, ENCLAVED_RPC};
use protocol::nec::announcement::WalletTag;
use protocol::nec::{Policy, VerifiedInstance};
use protocol::nwc::{ConnectionUri, MakeInvoice, PayInvoice};
use relay::Pool;
use relay::nwc::NwcClient;
use relay::rpc::RpcClient;
use units::{Clock, Msat, Stopwatch, SystemClock};
use zeroize::Zeroizing;

use super::World;
use super::operator::REPO;

/// How long an answer may take on one machine.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// How long an announcement may take after what it announces.
const ANNOUNCED_WAIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl World {
    /// A connection to the relay.
    ///
    /// # Errors
    /// When the relay does not answer.
    pub async fn pool(&self) -> Result<Pool> {
        let pool = Pool::connect([self.relay_url()]).await?;
        if !pool.wait_connected(ANSWER_WAIT).await {
            bail!("the relay does not answer");
        }
        Ok(pool)
    }

    /// A client of the server that signs with `keys`.
    ///
    /// # Errors
    /// When the relay does not answer.
    pub async fn rpc(&self, keys: &Keys) -> Result<RpcClient> {
        let (pool, service) = (self.pool().await?, self.service()?);
        Ok(RpcClient::new(pool, keys.clone(), service, ENCLAVED_RPC, Arc::new(SystemClock)).await?)
    }

    /// A client of the wallet, over the public relay.
    ///
    /// # Errors
    /// When the relay does not answer, or the wallet is not announced.
    pub async fn wallet(&self, keys: &Keys) -> Result<NwcClient> {
        let wallet = self.wallet_tag().await?.service;
        Ok(NwcClient::for_one(self.pool().await?, wallet, keys, Arc::new(SystemClock)).await?.0)
    }

    /// The connection string of an account of the wallet.
    ///
    /// # Errors
    /// When the wallet is not announced.
    pub async fn connection_of(&self, keys: &Keys) -> Result<ConnectionUri> {
        let wallet = self.wallet_tag().await?.service;
        let secret = Zeroizing::new(keys.secret_key().to_secret_bytes());
        Ok(ConnectionUri::new(wallet, vec![RelayUrl::parse(&self.relay_url())?], secret, None)?)
    }

    /// The wallet's keys, from the server's verified announcement.
    ///
    /// # Errors
    /// When it is not announced in time.
    pub async fn wallet_tag(&self) -> Result<WalletTag> {
        let took = Stopwatch::start();
        loop {
            if let Some(tag) = self.instance().await?.announced().wallet.clone() {
                return Ok(tag);
            }
            if took.elapsed() > ANNOUNCED_WAIT {
                bail!("the server announces no wallet");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What a careful client wants to see.
    ///
    /// # Errors
    /// When the root is not there.
    pub fn policy(&self) -> Result<Policy> {
        let root = attestation::TrustRoot::from_der(&std::fs::read(self.trust_root())?)?;
        Ok(Policy {
            repo: Some(REPO.to_owned()),
            maintainers: self.operator().maintainers().iter().map(Keys::public_key).collect(),
            threshold: 2,
            ..Policy::new(root, SystemClock.now())
        })
    }

    /// The server's newest announcement, verified.
    ///
    /// # Errors
    /// When there is none in time, or it does not verify.
    pub async fn instance(&self) -> Result<VerifiedInstance> {
        let service = self.service()?;
        let event = self.newest(Filter::new().kind(ANNOUNCEMENT).author(service)).await?;
        Ok(VerifiedInstance::verify(&event, &self.policy()?)?)
    }

    /// The newest event of a filter, waited for.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn newest(&self, filter: Filter) -> Result<CheckedEvent> {
        let (pool, took) = (self.pool().await?, Stopwatch::start());
        loop {
            if let Some(event) = pool.fetch(filter.clone(), ANSWER_WAIT).await?.into_iter().next() {
                return Ok(event);
            }
            if took.elapsed() > ANNOUNCED_WAIT {
                bail!("no such event on the relay: {filter:?}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Gives an account of the wallet money from the faucet.
    ///
    /// # Errors
    /// When the wallet refuses.
    pub async fn fund(&self, keys: &Keys, amount: Msat) -> Result<()> {
        let invoice = self.wallet(keys).await?.call(keys, &MakeInvoice::of(amount), ANSWER_WAIT).await?;
        self.pay_from_faucet(&invoice.invoice.context("no invoice")?).await
    }

    /// Pays an invoice from the faucet.
    ///
    /// # Errors
    /// When the wallet refuses.
    pub async fn pay_from_faucet(&self, invoice: &str) -> Result<()> {
        let wallet = self.wallet(&self.faucet).await?;
        wallet.call(&self.faucet, &PayInvoice::of(invoice), ANSWER_WAIT).await?;
        Ok(())
    }

    /// A container's newest public event.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn container_event(&self, pubkey: &PublicKey) -> Result<CheckedEvent> {
        self.newest(Filter::new().kind(protocol::kinds::CONTAINER).author(*pubkey)).await
    }
}
