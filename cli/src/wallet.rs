//! Calling a wallet (NIP-47).

use std::sync::Arc;
use std::time::Duration;

use nostr::key::{Keys, SecretKey};
use protocol::nwc::{Call, ConnectionUri, Paid, PayInvoice};
use relay::Pool;
use relay::nwc::{NwcClient, NwcError};
use units::Msat;

use crate::bill::Bill;
use crate::context::Context;
use crate::error::Failure;

/// A connection to a wallet.
#[derive(Debug)]
pub(crate) struct Wallet {
    client: NwcClient,
    keys: Keys,
    wait: Duration,
    payment_wait: Duration,
}

impl Wallet {
    /// Connects to the wallet's relays.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn connect(ctx: &Context, uri: &ConnectionUri) -> Result<Self, Failure> {
        let pool = ctx.pool_at("wallet", uri.relays()).await?;
        Self::over(ctx, uri, pool).await
    }

    /// Uses connections that are there.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn over(ctx: &Context, uri: &ConnectionUri, pool: Pool) -> Result<Self, Failure> {
        let secret = SecretKey::from_slice(uri.secret().as_ref())
            .map_err(|_| Failure::usage("wallet_invalid", "the wallet connection holds no usable key"))?;
        let keys = Keys::new(secret);
        let (client, _news) = NwcClient::for_one(pool, uri.wallet(), &keys, Arc::clone(&ctx.clock)).await?;
        let (wait, payment_wait) = (ctx.settings.answer_wait(), ctx.settings.payment_wait());
        Ok(Self { client, keys, wait, payment_wait })
    }

    /// Calls it.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn call<C: Call + Sync>(&self, call: &C) -> Result<C::Reply, Failure> {
        Ok(self.client.call(&self.keys, call, self.wait).await?)
    }

    /// Pays an invoice.
    ///
    /// # Errors
    /// `payment_unknown` if the wallet does not say what became of it.
    pub(crate) async fn pay(&self, bill: &Bill, amount: Option<Msat>) -> Result<Paid, Failure> {
        let call = PayInvoice { invoice: bill.text.clone(), amount, metadata: None };
        match self.client.call(&self.keys, &call, self.payment_wait).await {
            Err(error @ NwcError::NoAnswer(_)) => {
                let message = format!("{error}, so the payment may have been made or not");
                Err(Failure::no_answer("payment_unknown", message).with_hint(
                    "look at `encli wallet history`, or pay the same invoice again: it is paid once",
                ))
            }
            answered => Ok(answered?),
        }
    }
}
