//! `encli wallet`.

mod history;
mod pay;

use nostr::key::PublicKey;
use nostr::types::RelayUrl;
use protocol::nec::VerifiedInstance;
use protocol::nwc::{ConnectionUri, GetBalance, GetInfo, MakeInvoice};
use relay::Pool;
use serde::Serialize;
use units::{Msat, UnixSecs};
use zeroize::Zeroizing;

use super::container::{msat, show_code};
use crate::args::{WalletChoice, WalletCreate, WalletInvoice};
use crate::bill::Bill;
use crate::context::Context;
use crate::error::Failure;
use crate::output::{Page, View};
use crate::wallet::Wallet;
use crate::{files, find, key, secrets};

pub(crate) use history::history;
pub(crate) use pay::pay;

/// A wallet that was made.
#[derive(Debug, Serialize)]
pub(crate) struct Created {
    wallet_service: PublicKey,
    instance_pubkey: PublicKey,
    pubkey: PublicKey,
    /// Its Lightning address.
    #[serde(skip_serializing_if = "Option::is_none")]
    lud16: Option<String>,
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    pinned: bool,
}

/// Makes a key for a server's wallet. The wallet must answer to it before anything is written.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn create(ctx: &Context, args: &WalletCreate) -> Result<Created, Failure> {
    let instance = the_instance(ctx, args.instance).await?;
    if !instance.is_pinned() && !args.unpinned {
        return Err(super::deploy::unpinned("the wallet would hold your money"));
    }
    let Some(tag) = instance.announced().wallet.clone() else {
        return Err(Failure::refused("wallet_unknown", "the server announces no wallet; choose another"));
    };
    let keys = key::generate()?;
    let pool = ctx.pool_of(&instance.announced().relays).await?;
    let relays = relays(&pool, &instance.announced().relays).await;
    let secret = Zeroizing::new(keys.secret_key().to_secret_bytes());
    let uri_with = |lud16| {
        ConnectionUri::new(tag.service, relays.clone(), secret.clone(), lud16).map_err(|e| {
            Failure::refused("wallet_invalid", format!("the server's wallet cannot be used: {e}"))
        })
    };
    let wallet = Wallet::over(ctx, &uri_with(None)?, pool).await?;
    let lud16 = {
        let _doing = ctx.progress.begin("greeting the wallet");
        wallet.call(&GetInfo {}).await?.lud16
    };
    let connection = uri_with(lud16.clone())?.reveal();
    if let Some(path) = &args.out {
        files::write_private(path, &connection)?;
    }
    Ok(Created {
        wallet_service: tag.service,
        instance_pubkey: instance.service(),
        pubkey: keys.public_key(),
        lud16,
        file: args.out.as_ref().map(|path| path.display().to_string()),
        connection: args.show.then(|| connection.to_string()),
        pinned: instance.is_pinned(),
    })
}

/// Which of a server's relays go into the connection string: those that were reached. What stands there
/// is connected to without further checks, so a server must not be able to name a host of the user's own
/// network.
async fn relays(pool: &Pool, announced: &[String]) -> Vec<RelayUrl> {
    let status = pool.status().await;
    let reached: Vec<_> =
        status.iter().filter(|it| it.connected).filter_map(|it| RelayUrl::parse(&it.url).ok()).collect();
    let announced: Vec<_> = announced.iter().filter_map(|url| RelayUrl::parse(url).ok()).collect();
    if announced.is_empty() {
        return reached;
    }
    let same =
        |a: &RelayUrl, b: &RelayUrl| a.as_str_without_trailing_slash() == b.as_str_without_trailing_slash();
    announced.into_iter().filter(|relay| reached.iter().any(|other| same(relay, other))).collect()
}

/// The server that was named, or the only one that verifies.
async fn the_instance(ctx: &Context, named: Option<PublicKey>) -> Result<VerifiedInstance, Failure> {
    if let Some(service) = named {
        return find::verified_instance(ctx, service).await;
    }
    let found = find::instances(ctx, None).await?;
    let mut verified: Vec<_> = found.into_iter().filter_map(|it| it.verdict.ok()).collect();
    match (verified.pop(), verified.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => {
            let message = "no server on these relays verifies; `encli instance ls --all` says why";
            Err(Failure::refused("no_instance", message))
        }
        (Some(_), more) => {
            let message =
                format!("{} servers verify; say with --instance whose wallet it is to be", more + 1);
            Err(Failure::usage("usage", message))
        }
    }
}

impl View for Created {
    fn show(&self, page: &mut Page) {
        page.good("A wallet was made. Whoever has the connection string has the money.");
        page.key("server", &self.instance_pubkey);
        page.key("wallet", &self.wallet_service);
        page.maybe("address", self.lud16.as_ref());
        page.maybe("file", self.file.as_ref());
        if let Some(file) = &self.file {
            page.line(format!("Use it with `--wallet file:{file}`."));
        }
        page.maybe("connection", self.connection.as_ref());
    }
}

async fn connect(ctx: &Context, choice: &WalletChoice) -> Result<Wallet, Failure> {
    let place = choice.wallet.as_ref().map(|place| place.0.as_str()).or(ctx.settings.wallet.as_deref());
    let place = place.ok_or_else(|| {
        let message = "this needs a wallet: give --wallet env:NAME or file:PATH with its connection string, \
                       or make one with `encli wallet create`";
        Failure::usage("wallet_missing", message)
    })?;
    Wallet::connect(ctx, &secrets::connection("--wallet", place)?).await
}

/// What a wallet has.
#[derive(Debug, Serialize)]
pub(crate) struct Balance {
    balance_msat: Msat,
}

/// Asks for the balance.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn balance(ctx: &Context, choice: &WalletChoice) -> Result<Balance, Failure> {
    let wallet = connect(ctx, choice).await?;
    let _doing = ctx.progress.begin("asking the wallet");
    Ok(Balance { balance_msat: wallet.call(&GetBalance {}).await?.balance })
}

impl View for Balance {
    fn show(&self, page: &mut Page) {
        page.sats("balance", self.balance_msat);
    }
}

/// An invoice of a wallet.
#[derive(Debug, Serialize)]
pub(crate) struct Invoice {
    invoice: String,
    payment_hash: String,
    amount_msat: Msat,
    expires_at: UnixSecs,
    network: &'static str,
}

/// Makes an invoice.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn invoice(ctx: &Context, args: &WalletInvoice) -> Result<Invoice, Failure> {
    let amount = msat(args.sats)?;
    let wallet = connect(ctx, &args.wallet).await?;
    let _doing = ctx.progress.begin("asking the wallet");
    let call = MakeInvoice { description: args.description.clone(), ..MakeInvoice::of(amount) };
    let bill = Bill::parse(&wallet.call(&call).await?.invoice.unwrap_or_default())?;
    if bill.amount != Some(amount) {
        let message =
            "the wallet made an invoice of another amount than it was asked for; use another wallet";
        return Err(Failure::refused("invoice_amount_mismatch", message));
    }
    Ok(Invoice {
        payment_hash: bill.payment_hash,
        amount_msat: amount,
        expires_at: bill.expires_at,
        network: bill.network,
        invoice: bill.text,
    })
}

impl View for Invoice {
    fn show(&self, page: &mut Page) {
        page.sats("amount", self.amount_msat);
        page.field("network", self.network);
        page.time("pay until", self.expires_at);
        page.field("invoice", &self.invoice);
        show_code(page, &self.invoice);
    }
}
