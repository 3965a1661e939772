//! Paying a Lightning address (LUD-06, LUD-12, LUD-16), as a zap or not (NIP-57).
//!
//! The user names the address, its server names the rest: where the invoice comes from, what may be paid,
//! who signs receipts. What it names is held to what was asked: amount, description, and hosts of the
//! public internet.

mod address;
mod web;

use nostr::key::PublicKey;
use nostr::types::Url;
use protocol::event::CheckedEvent;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use units::Msat;

use crate::bill::Bill;
use crate::error::Failure;

pub(crate) use address::Address;
use web::Web;

/// What a server says of an address.
#[derive(Debug)]
pub(crate) struct Offer {
    web: Web,
    callback: Url,
    min: Msat,
    max: Msat,
    metadata: String,
    comment_chars: usize,
    /// Who signs the receipts of zaps; none if there are none.
    pub(crate) receipts_by: Option<PublicKey>,
}

/// What is paid to an address, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) amount: Msat,
    pub(crate) comment: Option<&'a str>,
    pub(crate) zap_request: Option<&'a CheckedEvent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfferText {
    tag: String,
    callback: String,
    min_sendable: Msat,
    max_sendable: Msat,
    metadata: String,
    #[serde(default)]
    comment_allowed: usize,
    #[serde(default)]
    allows_nostr: bool,
    #[serde(default)]
    nostr_pubkey: Option<PublicKey>,
}

impl Offer {
    /// Asks an address what may be paid to it.
    ///
    /// # Errors
    /// `address_unreachable`, and `address_invalid` if the answer makes no sense.
    pub(crate) async fn ask(address: &Address) -> Result<Self, Failure> {
        let url = address.url()?;
        let web = Web::of(&url);
        let text: OfferText = serde_json::from_value(web.get(&url).await?)
            .map_err(|e| invalid(&format!("does not say what may be paid: {e}")))?;
        if text.tag != "payRequest" {
            return Err(invalid("is not for payments"));
        }
        let callback = Url::parse(&text.callback).map_err(|_| invalid("names no URL for its invoices"))?;
        Ok(Self {
            web,
            callback,
            min: text.min_sendable,
            max: text.max_sendable,
            metadata: text.metadata,
            comment_chars: text.comment_allowed,
            receipts_by: text.nostr_pubkey.filter(|key| text.allows_nostr && key.xonly().is_ok()),
        })
    }

    /// Asks for an invoice, and checks that it is the one that was asked for.
    ///
    /// # Errors
    /// `amount_invalid`, `comment_too_long`, `address_refused`, `invoice_amount_mismatch` and
    /// `invoice_description_mismatch`.
    pub(crate) async fn invoice(&self, wish: &Wish<'_>) -> Result<Bill, Failure> {
        let Wish { amount, comment, zap_request } = *wish;
        if !(self.min..=self.max).contains(&amount) {
            let message = format!("the address takes {} to {} sat at once", self.min, self.max);
            return Err(Failure::refused("amount_invalid", message));
        }
        if comment.is_some_and(|text| text.chars().count() > self.comment_chars) {
            let message = format!("the address takes comments of up to {} characters", self.comment_chars);
            return Err(Failure::refused("comment_too_long", message));
        }
        let request = zap_request.map(|request| request.as_json());
        let mut url = self.callback.clone();
        url.query_pairs_mut().append_pair("amount", &amount.msat().to_string());
        if let Some(comment) = comment {
            url.query_pairs_mut().append_pair("comment", comment);
        }
        if let Some(request) = &request {
            url.query_pairs_mut().append_pair("nostr", request);
        }
        let answer = self.web.get(&url).await?;
        let text = answer.get("pr").and_then(Value::as_str);
        let bill = Bill::parse(text.ok_or_else(|| invalid("gives no invoice"))?)?;
        // What the payer saw, or signed, is what the invoice commits to.
        let meant = request.as_deref().unwrap_or(&self.metadata);
        check(&bill, amount, meant)?;
        Ok(bill)
    }
}

fn check(bill: &Bill, amount: Msat, meant: &str) -> Result<(), Failure> {
    if bill.amount != Some(amount) {
        let asked = bill.amount.map_or("any amount".to_owned(), |amount| format!("{amount} sat"));
        let message = format!("the invoice asks for {asked}, not for {amount} sat; it is not to be paid");
        return Err(Failure::refused("invoice_amount_mismatch", message));
    }
    if bill.description_hash != Some(Sha256::digest(meant).into()) {
        let message = "the invoice is not for what was asked for; it is not to be paid";
        return Err(Failure::refused("invoice_description_mismatch", message));
    }
    Ok(())
}

fn invalid(what: &str) -> Failure {
    Failure::refused("address_invalid", format!("the server of the address {what}"))
}

#[cfg(test)]
mod tests;
