//! Checking a zap request before an invoice commits to it (NIP-57, appendix D), and the receipt that
//! answers it once it is paid (appendix E).

use nostr::event::Event;
use nostr::key::PublicKey;
use nostr::types::url::RelayUrl;
use protocol::event::{CheckedEvent, EventError, tags_named};
use protocol::tag;
use units::Msat;

use super::answer::ZapReceipt;

/// The kind of a zap request.
const ZAP_REQUEST: u16 = 9_734;
/// Most relays that a receipt is published to; requests may name more.
const RELAYS_MAX: usize = 10;
/// The longest address of an article and the like that a receipt repeats in a tag of its own: relays refuse events
/// with tags that are longer than any they index.
const ADDRESS_BYTES_MAX: usize = 512;

/// Why a zap request is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ZapError {
    #[error("it is not the JSON of a Nostr event")]
    Malformed,
    #[error("its id or signature is wrong")]
    Signature,
    #[error("it must be of kind {ZAP_REQUEST}")]
    Kind,
    #[error("it must have one p tag, the payee's key")]
    Payee,
    #[error("it must have at most one e tag, an event id")]
    Event,
    #[error("it must have at most one a tag, kind:pubkey:name, of at most {ADDRESS_BYTES_MAX} bytes")]
    Address,
    #[error("its k tag, if it has one, must be the number of a kind")]
    KindOfTarget,
    #[error("its amount tag must be the invoice's amount")]
    Amount,
    #[error("its relays tag must name a ws:// or wss:// relay, or its receipt could not be published")]
    Relays,
    #[error("its P tag, if it has one, must be this wallet's key")]
    Sender,
}

/// Checks a zap request as it was received, for an invoice of `amount` that pays `payee`; the receipt
/// will be signed by `signer`.
pub(super) fn check(raw: &str, amount: Msat, payee: &PublicKey, signer: &PublicKey) -> Result<(), ZapError> {
    let event = CheckedEvent::parse(raw).map_err(|error| match error {
        EventError::Malformed(_) | EventError::TooLarge(_) => ZapError::Malformed,
        EventError::Id | EventError::Signature => ZapError::Signature,
    })?;
    if event.kind.as_u16() != ZAP_REQUEST {
        return Err(ZapError::Kind);
    }
    let tags = |name: &str| -> Vec<&[String]> { tags_named(&event, name).collect() };
    // The payee itself, not just any key: a receipt for somebody else would be forged with our signature.
    if !matches!(tags("p").as_slice(), [[_, key, ..]] if *key == payee.to_hex()) {
        return Err(ZapError::Payee);
    }
    match tags("e").as_slice() {
        [] => {}
        [[_, id, ..]] if is_hex32(id) => {}
        _ => return Err(ZapError::Event),
    }
    match tags("a").as_slice() {
        [] => {}
        [[_, address, ..]] if is_address(address) => {}
        _ => return Err(ZapError::Address),
    }
    match tags("k").as_slice() {
        [] => {}
        [[_, kind, ..]] if kind.parse::<u16>().is_ok_and(|number| number.to_string() == *kind) => {}
        _ => return Err(ZapError::KindOfTarget),
    }
    match tags("amount").as_slice() {
        [] => {}
        [[_, msat, ..]] if *msat == amount.msat().to_string() => {}
        _ => return Err(ZapError::Amount),
    }
    match tags("P").as_slice() {
        [] => {}
        [[_, key, ..]] if *key == signer.to_hex() => {}
        _ => return Err(ZapError::Sender),
    }
    // One tag, or payer and wallet could read different ones.
    if tags("relays").len() == 1 && !relays_of(&event).is_empty() { Ok(()) } else { Err(ZapError::Relays) }
}

impl ZapReceipt {
    /// The tags of the receipt event, whose content is empty; none if the request cannot be read, which
    /// was checked before anybody paid.
    #[must_use]
    pub fn tags(&self) -> Option<Vec<Vec<String>>> {
        let request = Event::from_json(&self.request).ok()?;
        // Name and value: what was checked. Whatever else a stranger put behind them is in the description.
        let copied = |name| {
            let tag = tags_named(&request, name).next()?;
            Some(tag.iter().take(2).cloned().collect::<Vec<_>>())
        };
        let mut tags = vec![copied("p")?, tag!["P", request.pubkey.to_hex()]];
        tags.extend(["e", "a", "k"].into_iter().filter_map(copied));
        tags.push(tag!["bolt11", self.bolt11]);
        tags.push(tag!["description", self.request]);
        tags.push(tag!["preimage", hex::encode(self.preimage.as_bytes())]);
        Some(tags)
    }
}

/// Where the receipt of a zap request that was checked is to be published.
pub(super) fn relays(raw: &str) -> Vec<RelayUrl> {
    Event::from_json(raw).map(|event| relays_of(&event)).unwrap_or_default()
}

/// The first few relays of the request, each once.
fn relays_of(event: &Event) -> Vec<RelayUrl> {
    let tag = tags_named(event, "relays").next().unwrap_or_default();
    let mut relays: Vec<RelayUrl> = Vec::new();
    for url in tag.iter().skip(1).filter_map(|url| RelayUrl::parse(url).ok()) {
        if relays.len() < RELAYS_MAX && !relays.contains(&url) {
            relays.push(url);
        }
    }
    relays
}

fn is_hex32(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `kind:pubkey:identifier` (NIP-01).
fn is_address(text: &str) -> bool {
    if text.len() > ADDRESS_BYTES_MAX {
        return false;
    }
    let mut parts = text.splitn(3, ':');
    let kind = parts.next().is_some_and(|kind| kind.parse::<u16>().is_ok());
    let key = parts.next().is_some_and(is_hex32);
    kind && key && parts.next().is_some()
}

#[cfg(test)]
mod tests;
