//! Money into and out of a container's balance: `topup`, `withdraw`.

use std::path::Path;

use nostr::key::PublicKey;
use protocol::nwc::MakeInvoice;
use protocol::rpc::enclaved::{
    ContainerParams, ContainerStatus, TopupParams, TopupReply, WithdrawParams, Withdrawal,
};
use serde::Serialize;
use units::{Msat, UnixSecs};

use crate::args::{ContainerTopup, ContainerWithdraw};
use crate::bill::{Bill, Due};
use crate::context::Context;
use crate::error::Failure;
use crate::output::page::npub;
use crate::output::{Page, View, qr};
use crate::remote::{Home, Remote};
use crate::wallet::Wallet;
use crate::{files, key, secrets};

/// An invoice that pays into a container's balance.
#[derive(Debug, Serialize)]
pub(crate) struct Topup {
    pubkey: PublicKey,
    invoice: String,
    amount_msat: Msat,
    invoice_expires_at: UnixSecs,
    network: &'static str,
    paid: bool,
    pinned: bool,
}

/// Makes an invoice for a container, checks that it pays the attested wallet, and pays it if asked to.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn topup(ctx: &Context, args: &ContainerTopup) -> Result<Topup, Failure> {
    let payer = args.pay.as_ref().map(|place| secrets::connection("--pay", &place.0)).transpose()?;
    let amount = msat(args.sats)?;
    let (container, named) = (args.container.npub, args.container.instance);
    // Anybody may pay for anybody's container: without a key of their own, a passing one does.
    let keys = if ctx.settings.key().is_some() { ctx.keys()? } else { key::generate()? };
    let home = Home::find(ctx, container, named).await?;
    let instance = home.instance.as_ref().map_err(Clone::clone)?;
    let remote = home.connect(ctx, keys).await?;
    let reply: TopupReply = {
        let _doing = ctx.progress.begin("asking the server for an invoice");
        remote.ask("topup", &TopupParams { pubkey: container, amount_msat: amount }).await?
    };
    let bill = Bill::parse(&reply.invoice.invoice)?;
    let description = format!("enclaved topup {container}");
    let wallet = instance.announced().wallet.as_ref();
    bill.check(&Due { amount, description: &description, wallet }, ctx.now())?;
    if let Some(uri) = &payer {
        let wallet = Wallet::connect(ctx, uri).await?;
        let _doing = ctx.progress.begin("paying");
        wallet.pay(&bill, None).await?;
    }
    Ok(Topup {
        pubkey: container,
        invoice: bill.text,
        amount_msat: amount,
        invoice_expires_at: bill.expires_at,
        network: bill.network,
        paid: payer.is_some(),
        pinned: instance.is_pinned(),
    })
}

impl View for Topup {
    fn show(&self, page: &mut Page) {
        page.key("container", &self.pubkey);
        page.sats("amount", self.amount_msat);
        page.field("network", self.network);
        if self.paid {
            page.good("Paid; the balance rises in a moment.");
            return;
        }
        page.field("invoice", &self.invoice);
        page.time("pay until", self.invoice_expires_at);
        show_code(page, &self.invoice);
    }
}

/// Shows an invoice as a code, where a terminal can.
pub(crate) fn show_code(page: &mut Page, invoice: &str) {
    if page.on_terminal()
        && let Some(code) = qr::of_invoice(invoice)
    {
        page.gap();
        page.picture(&code);
    }
}

/// What was paid out of a container's balance.
#[derive(Debug, Serialize)]
pub(crate) struct Withdrawn {
    pubkey: PublicKey,
    invoice: String,
    amount_msat: Msat,
    fees_msat: Msat,
    balance_msat: Msat,
    preimage: String,
}

/// Pays an invoice from a container's balance.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn withdraw(ctx: &Context, args: &ContainerWithdraw) -> Result<Withdrawn, Failure> {
    let receiver = args.wallet.as_ref().map(|place| secrets::connection("--wallet", &place.0)).transpose()?;
    let keys = ctx.keys()?;
    let (container, named) = (args.container.npub, args.container.instance);
    let given = args.invoice.as_deref().map(given_bill).transpose()?;
    let home = Home::find(ctx, container, named).await?;
    let remote = home.connect(ctx, keys).await?;
    let bill = match (given, &receiver) {
        (Some(bill), _) => bill,
        (None, Some(uri)) => {
            let amount = amount(&remote, container, args.sats).await?;
            let wallet = Wallet::connect(ctx, uri).await?;
            let _doing = ctx.progress.begin("asking the wallet for an invoice");
            let call = MakeInvoice {
                description: Some(format!("from the container {}", npub(&container))),
                ..MakeInvoice::of(amount)
            };
            let made = wallet.call(&call).await?.invoice.unwrap_or_default();
            Bill::parse(&made)?
        }
        (None, None) => return Err(Failure::usage("usage", "give an invoice, or a wallet with --wallet")),
    };
    bill.check_open(ctx.now())?;
    if bill.amount.is_none() {
        let message = "the invoice leaves its amount open; make one with an amount";
        return Err(Failure::refused("invoice_invalid", message));
    }
    let _doing = ctx.progress.begin("waiting for the payment");
    let params = WithdrawParams { pubkey: container, invoice: bill.text.clone() };
    let paid: Withdrawal = remote.command("withdraw", &params, remote.wait()).await?;
    Ok(Withdrawn {
        pubkey: container,
        invoice: bill.text,
        amount_msat: paid.amount_msat,
        fees_msat: paid.fees_msat,
        balance_msat: paid.balance_msat,
        preimage: paid.preimage,
    })
}

/// The invoice on the command line, or on standard input.
///
/// # Errors
/// `invoice_invalid`.
pub(crate) fn given_bill(text: &str) -> Result<Bill, Failure> {
    if text != "-" {
        return Bill::parse(text);
    }
    let bytes = files::read(Path::new(text))?;
    Bill::parse(&String::from_utf8_lossy(&bytes))
}

/// The amount that was asked for, or the whole balance in whole satoshi.
async fn amount(remote: &Remote, container: PublicKey, sats: Option<i64>) -> Result<Msat, Failure> {
    if let Some(sats) = sats {
        return msat(sats);
    }
    let status: ContainerStatus = remote.ask("status", &ContainerParams { pubkey: container }).await?;
    match status.balance_msat.whole_sats() {
        ..=0 => Err(Failure::refused("insufficient_balance", "the container's balance is empty")),
        sats => msat(sats),
    }
}

/// Satoshi as the amount that they are.
///
/// # Errors
/// `amount_invalid`.
pub(crate) fn msat(sats: i64) -> Result<Msat, Failure> {
    Msat::from_sats(sats).map_err(|e| Failure::usage("amount_invalid", e.to_string()))
}

impl View for Withdrawn {
    fn show(&self, page: &mut Page) {
        page.good("Paid.");
        page.key("container", &self.pubkey);
        page.sats("amount", self.amount_msat);
        page.sats("fees", self.fees_msat);
        page.sats("left", self.balance_msat);
        page.field("proof", &self.preimage);
    }
}
