//! Receipts: what ran in a container, when, at what price, and by which payment it was paid; one for each
//! period that was charged, signed by the service, each naming the one before it.
//!
//! A [`crate::statement::Claim::Receipts`] statement dates the whole chain by its last link.

use std::collections::BTreeSet;

use nostr::event::EventId;
use nostr::key::{Keys, PublicKey};
use serde::{Deserialize, Serialize};
use units::{ComputeUnits, Msat, UnixSecs};

use crate::canonical;
use crate::event::{CheckedEvent, SignError, sign};
use crate::kinds::RECEIPT;
use crate::nwc::PaymentHash;
use crate::tag;

/// Version of the receipt's form.
pub const RECEIPT_VERSION: u32 = 1;

/// A receipt: the content of its event, as canonical JSON.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_VERSION`].
    pub version: u32,
    /// The container's key.
    pub container: PublicKey,
    /// Its place in the chain, from zero.
    pub number: u64,
    /// Id of the receipt before it; none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<EventId>,
    /// `registry/repository@sha256:…`.
    pub image: String,
    /// Hash of the launch manifest, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
    /// Compute units.
    pub units: ComputeUnits,
    /// Number of the period.
    pub period: u64,
    /// When the period begins.
    pub from: UnixSecs,
    /// When it ends, unless time that the server was down is given back.
    pub until: UnixSecs,
    /// What was paid, in millisatoshi.
    pub amount_msat: Msat,
    /// Hash of the payment, hex; none if the period is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_hash: Option<String>,
}

impl Receipt {
    /// Signs it with the service's key, at `now`.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(&self, service: &Keys, now: UnixSecs) -> Result<CheckedEvent, SignError> {
        let content = canonical::to_bytes(self).map_err(|e| SignError::new(&e))?;
        let content = String::from_utf8(content).map_err(|e| SignError::new(&e))?;
        let tags = vec![tag!["p", self.container.to_hex(), "container"], tag!["alt", "enclaved receipt"]];
        sign(service, RECEIPT, now, tags, content)
    }

    /// Reads the content of a receipt's event.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(event: &CheckedEvent) -> Result<Self, String> {
        if event.kind != RECEIPT {
            return Err(format!("kind {} is not a receipt", event.kind));
        }
        let receipt: Self = serde_json::from_str(&event.content).map_err(|e| e.to_string())?;
        if receipt.version != RECEIPT_VERSION {
            return Err(format!("version {} is not known; use a newer program", receipt.version));
        }
        let canonical = canonical::to_bytes(&receipt).map_err(|e| e.to_string())?;
        if canonical != event.content.as_bytes() {
            return Err("its content is not canonical JSON (RFC 8785)".to_owned());
        }
        Ok(receipt)
    }
}

/// Checks that these are all receipts of `container` by `service`, from the first one, none missing, each
/// after the one before it and by a payment of its own; and returns them with the id of the last.
///
/// # Errors
/// Which of them is wrong, and what is wrong with it.
pub fn check_chain(
    events: &[CheckedEvent],
    service: &PublicKey,
    container: &PublicKey,
) -> Result<(Vec<Receipt>, Option<EventId>), String> {
    let mut receipts: Vec<Receipt> = Vec::with_capacity(events.len());
    let (mut head, mut payments) = (None, BTreeSet::new());
    for (number, event) in (0_u64..).zip(events) {
        let wrong = |why: &str| format!("receipt {number}: {why}");
        let receipt = Receipt::read(event).map_err(|e| wrong(&e))?;
        if event.pubkey != *service {
            return Err(wrong("it is not signed by the service"));
        }
        if receipt.container != *container {
            return Err(wrong("it is for another container"));
        }
        if receipt.number != number || receipt.previous != head {
            return Err(wrong("it does not follow the one before it; one is missing or was changed"));
        }
        if receipt.until < receipt.from || receipt.amount_msat.is_negative() {
            return Err(wrong("it is for less than nothing"));
        }
        match &receipt.payment_hash {
            None if receipt.amount_msat.is_positive() => {
                return Err(wrong("it does not name the payment"));
            }
            Some(hash) if hash.parse::<PaymentHash>().is_err() => {
                return Err(wrong("its payment_hash is not 64 hex digits"));
            }
            Some(hash) if !payments.insert(hash.clone()) => {
                return Err(wrong("its payment has paid for another period"));
            }
            Some(_) | None => {}
        }
        if let Some(before) = receipts.last()
            && (receipt.period <= before.period || receipt.from < before.until)
        {
            return Err(wrong("its time was paid before"));
        }
        head = Some(event.id);
        receipts.push(receipt);
    }
    Ok((receipts, head))
}

#[cfg(test)]
mod tests;
