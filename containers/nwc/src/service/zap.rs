//! Checking a zap request before an invoice commits to it (NIP-57, appendix D).

use nostr::event::Event;
use nostr::key::PublicKey;
use nostr::types::url::RelayUrl;
use units::Msat;

/// The kind of a zap request.
const ZAP_REQUEST: u16 = 9_734;
/// Most relays that a receipt is published to; requests may name more.
const RELAYS_MAX: usize = 10;

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
    #[error("it must have at most one a tag, kind:pubkey:name")]
    Address,
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
    let event = Event::from_json(raw).map_err(|_| ZapError::Malformed)?;
    event.verify().map_err(|_| ZapError::Signature)?;
    if event.kind.as_u16() != ZAP_REQUEST {
        return Err(ZapError::Kind);
    }
    let tags = |name: &str| -> Vec<&[String]> {
        event
            .tags
            .iter()
            .map(|tag| tag.as_slice())
            .filter(|tag| tag.first().is_some_and(|n| n == name))
            .collect()
    };
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
    if relays_of(&event).next().is_some() { Ok(()) } else { Err(ZapError::Relays) }
}

/// Where the receipt of a zap request that was checked is to be published.
pub(super) fn relays(raw: &str) -> Vec<RelayUrl> {
    Event::from_json(raw).map(|event| relays_of(&event).take(RELAYS_MAX).collect()).unwrap_or_default()
}

fn relays_of(event: &Event) -> impl Iterator<Item = RelayUrl> {
    let tag =
        event.tags.iter().map(|tag| tag.as_slice()).find(|tag| tag.first().is_some_and(|n| n == "relays"));
    tag.unwrap_or_default().iter().skip(1).filter_map(|url| RelayUrl::parse(url).ok())
}

fn is_hex32(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `kind:pubkey:identifier` (NIP-01).
fn is_address(text: &str) -> bool {
    let mut parts = text.splitn(3, ':');
    let kind = parts.next().is_some_and(|kind| kind.parse::<u16>().is_ok());
    let key = parts.next().is_some_and(is_hex32);
    kind && key && parts.next().is_some()
}

#[cfg(test)]
mod tests;
