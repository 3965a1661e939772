//! `encli wallet pay`: an invoice, a Lightning address, or whoever has one in a Nostr profile.

use nostr::event::{EventId, Kind};
use nostr::filter::Filter;
use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, sign, tag_value};
use protocol::kinds::{ZAP_RECEIPT, ZAP_REQUEST};
use protocol::tag;
use serde::Serialize;
use serde_json::Value;
use units::Msat;

use super::connect;
use crate::args::WalletPay;
use crate::bill::Bill;
use crate::commands::container::{given_bill, msat};
use crate::context::Context;
use crate::error::Failure;
use crate::lnurl::{Address, Offer, Wish};
use crate::output::page::npub;
use crate::output::{Page, View};

/// Most relays that a receipt is asked to; servers take ten.
const RECEIPT_RELAYS_MAX: usize = 8;

/// A payment that was made.
#[derive(Debug, Serialize)]
pub(crate) struct Payment {
    payment_hash: String,
    amount_msat: Msat,
    fees_msat: Msat,
    preimage: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    zap: Option<Zapped>,
}

/// What the world sees of a zap.
#[derive(Debug, Serialize)]
struct Zapped {
    request: EventId,
    /// The event that proves it; none if it did not come in time.
    receipt: Option<EventId>,
}

/// What is to be paid.
struct Due {
    bill: Bill,
    amount: Msat,
    zap: Option<Zap>,
}

/// A zap under way.
struct Zap {
    request: CheckedEvent,
    receipts_by: PublicKey,
}

/// Pays.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn pay(ctx: &Context, args: &WalletPay) -> Result<Payment, Failure> {
    let due = due(ctx, args).await?;
    let Due { bill, amount, zap } = due;
    bill.check_open(ctx.now())?;
    let wallet = connect(ctx, &args.wallet).await?;
    let paid = {
        let _doing = ctx.progress.begin(format!("paying {amount} sat"));
        wallet.pay(&bill, if bill.amount.is_none() { Some(amount) } else { None }).await?
    };
    let zap = match zap {
        Some(zap) => Some(Zapped { receipt: receipt(ctx, &zap, &bill).await, request: zap.request.id }),
        None => None,
    };
    Ok(Payment {
        payment_hash: bill.payment_hash,
        amount_msat: amount,
        fees_msat: paid.fees_paid,
        preimage: paid.preimage.to_hex(),
        zap,
    })
}

async fn due(ctx: &Context, args: &WalletPay) -> Result<Due, Failure> {
    let amount = args.sats.map(msat).transpose()?;
    if let Some(address) = Address::parse(&args.target) {
        let address = address?;
        let payee = address.key();
        return due_to(ctx, args, &address, payee, amount).await;
    }
    if let Some(payee) = args.target.starts_with("npub1").then(|| PublicKey::parse(&args.target)) {
        let wrong = |_| Failure::usage("usage", "give a whole npub, an address, or an invoice");
        let payee = payee.map_err(wrong)?;
        let address = address_of(ctx, payee).await?;
        return due_to(ctx, args, &address, Some(payee), amount).await;
    }
    if args.zap || args.comment.is_some() {
        return Err(Failure::usage("usage", "an invoice takes no --zap and no --comment; an address does"));
    }
    let bill = given_bill(&args.target)?;
    let amount = match (bill.amount, amount) {
        (Some(asked), None) => asked,
        (None, Some(chosen)) => chosen,
        (Some(asked), Some(chosen)) if asked == chosen => asked,
        (Some(asked), Some(_)) => {
            let message = format!("the invoice asks for {asked} sat; leave --sats out");
            return Err(Failure::usage("usage", message));
        }
        (None, None) => {
            return Err(Failure::usage("usage", "the invoice leaves its amount open; say it with --sats"));
        }
    };
    Ok(Due { bill, amount, zap: None })
}

async fn due_to(
    ctx: &Context,
    args: &WalletPay,
    address: &Address,
    payee: Option<PublicKey>,
    amount: Option<Msat>,
) -> Result<Due, Failure> {
    let amount = amount.ok_or_else(|| Failure::usage("usage", "say how much with --sats"))?;
    let offer = {
        let _doing = ctx.progress.begin(format!("asking {address}"));
        Offer::ask(address).await?
    };
    let zap = if args.zap { Some(zap(ctx, args, &offer, payee, amount).await?) } else { None };
    let wish = Wish {
        amount,
        // In a zap the comment is the request's content, which everybody reads.
        comment: args.comment.as_deref().filter(|_| zap.is_none()),
        zap_request: zap.as_ref().map(|zap| &zap.request),
    };
    let _doing = ctx.progress.begin(format!("asking {address} for an invoice"));
    Ok(Due { bill: offer.invoice(&wish).await?, amount, zap })
}

/// The Lightning address in somebody's newest profile.
async fn address_of(ctx: &Context, key: PublicKey) -> Result<Address, Failure> {
    let profiles = ctx.fetch("the profile", Filter::new().kind(Kind::Metadata).author(key)).await?;
    let newest = profiles.first().and_then(|event| serde_json::from_str::<Value>(&event.content).ok());
    let lud16 = newest.as_ref().and_then(|profile| profile["lud16"].as_str()).and_then(Address::parse);
    let Some(address) = lud16 else {
        let message = format!("the profile of {} has no Lightning address on these relays", npub(&key));
        return Err(Failure::refused("address_missing", message).with_hint("name the relays that it uses"));
    };
    address
}

/// A zap request, signed with the user's key.
async fn zap(
    ctx: &Context,
    args: &WalletPay,
    offer: &Offer,
    payee: Option<PublicKey>,
    amount: Msat,
) -> Result<Zap, Failure> {
    let Some(payee) = payee else {
        let message = "a zap names its payee: give the npub, or an address that begins with one";
        return Err(Failure::usage("usage", message));
    };
    let Some(receipts_by) = offer.receipts_by else {
        return Err(Failure::refused("zaps_unknown", "the address takes no zaps; leave --zap out"));
    };
    let keys = ctx.keys()?;
    // The receipt is looked for where it is asked to.
    ctx.pool().await?;
    let relays: Vec<_> = ctx.settings.relays.iter().take(RECEIPT_RELAYS_MAX).cloned().collect();
    let tags = vec![
        tag!["p", payee.to_hex()],
        std::iter::once("relays".to_owned()).chain(relays).collect(),
        tag!["amount", amount.msat()],
    ];
    let comment = args.comment.clone().unwrap_or_default();
    let request = sign(&keys, ZAP_REQUEST, ctx.now(), tags, comment)
        .map_err(|e| Failure::refused("request_unsigned", e.to_string()))?;
    Ok(Zap { request, receipts_by })
}

/// Waits for the receipt (NIP-57, appendix F). Without it the payment stands.
async fn receipt(ctx: &Context, zap: &Zap, bill: &Bill) -> Option<EventId> {
    let _doing = ctx.progress.begin("waiting for the receipt");
    let filter = Filter::new().kind(ZAP_RECEIPT).author(zap.receipts_by);
    let mut receipts = ctx.pool().await.ok()?.subscribe(filter).await.ok()?;
    let request = zap.request.as_json();
    let ours = async {
        loop {
            let event = receipts.next().await?;
            let of_request = tag_value(&event, "description") == Some(request.as_str());
            let of_bill = tag_value(&event, "bolt11").is_some_and(|it| it.eq_ignore_ascii_case(&bill.text));
            if of_request && of_bill {
                return Some(event.id);
            }
        }
    };
    tokio::time::timeout(ctx.settings.answer_wait(), ours).await.ok().flatten()
}

impl View for Payment {
    fn show(&self, page: &mut Page) {
        page.good("Paid.");
        page.sats("amount", self.amount_msat);
        page.sats("fees", self.fees_msat);
        page.field("proof", &self.preimage);
        match &self.zap {
            None => {}
            Some(Zapped { receipt: Some(receipt), .. }) => page.field("receipt", receipt),
            Some(Zapped { receipt: None, .. }) => {
                page.warn("The receipt has not come yet; the payment stands.");
            }
        }
    }
}
