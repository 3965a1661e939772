//! LNURL-pay (LUD-06) for Lightning addresses (LUD-16), with comments (LUD-12), zaps (NIP-57) and
//! verification (LUD-21). Nothing here knows HTTP.
//!
//! Any key has an address, as it has a wallet: `npub1…@host`. A key that chose a name has `name@host`
//! besides. The reference writes `npub1…@<wallet's npub>.host`, which means the same and works here too,
//! as the path `npub1…@<wallet's npub>` or with that host.

mod query;

use hmac::digest::Key;
use hmac::{Hmac, KeyInit, Mac};
use nostr::key::PublicKey;
use nostr::nips::nip19::{FromBech32, ToBech32};
use protocol::nwc::{DescriptionHash, MakeInvoice, MakeInvoiceFor, Metadata, Method, PaymentHash, Preimage};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use units::{Msat, UnixSecs};
use zeroize::{Zeroize, Zeroizing};

use super::Wallet;
use super::refusal::Refusal;
use crate::site::Site;
use crate::store::{InvoiceState, invoice, name};

pub use query::InvoiceQuery;

/// The smallest payment, a satoshi: wallets cannot send less over Lightning, and a receipt should cost
/// its payer something.
const SENDABLE_MIN: Msat = Msat::new(1_000);
/// The longest comment, in characters. Four bytes each fit into a description's 639.
const COMMENT_CHARS_MAX: usize = 144;
/// The longest identifier before an `@`: two npubs, with room.
const LOCAL_CHARS_MAX: usize = 160;
/// How much of a MAC stands in a URL: nobody guesses 128 bits over the network.
const TOKEN_BYTES: usize = 16;
/// Names the key that such URLs are made with.
const TOKEN_LABEL: &[u8] = b"nwc lnurl verify 1";

/// Where the wallet serves Lightning addresses, and the key of its verification URLs.
pub(super) struct Addresses {
    site: Site,
    wallet_npub: String,
    token_key: Zeroizing<[u8; 32]>,
}

impl Addresses {
    pub(super) fn new(site: Site, service: &PublicKey, secret: &Zeroizing<[u8; 32]>) -> Self {
        let mut token_key = Zeroizing::new([0; 32]);
        token_key.copy_from_slice(&mac(secret, TOKEN_LABEL).finalize().into_bytes());
        Self { site, wallet_npub: npub(service), token_key }
    }

    /// The address of this name or npub.
    pub(super) fn of(&self, local: &str) -> String {
        format!("{local}@{}", self.site.authority())
    }

    /// What only whoever asked for the invoice can know: the hash alone is known to everybody who saw
    /// the invoice.
    fn token(&self, hash: &PaymentHash) -> String {
        let tag = mac(&self.token_key, hash.as_bytes()).finalize().into_bytes();
        hex::encode(&tag[..TOKEN_BYTES])
    }

    fn is_token(&self, hash: &PaymentHash, token: &str) -> bool {
        let given = hex::decode(token).ok().filter(|given| given.len() == TOKEN_BYTES);
        given.is_some_and(|given| mac(&self.token_key, hash.as_bytes()).verify_truncated_left(&given).is_ok())
    }
}

impl std::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Addresses").field("site", &self.site).finish_non_exhaustive()
    }
}

fn mac(key: &[u8; 32], text: &[u8]) -> Hmac<Sha256> {
    // HMAC pads a short key with zeros to the block of its hash (RFC 2104).
    let mut block = Key::<Hmac<Sha256>>::default();
    block[..key.len()].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block);
    block.zeroize();
    mac.update(text);
    mac
}

pub(super) fn npub(key: &PublicKey) -> String {
    key.to_bech32().unwrap_or_else(|_| key.to_hex())
}

/// Whom a request asks for: what stands before the `@`, and the host that was asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// A name, an npub, or the reference's `npub@npub`.
    pub local: &'a str,
    /// The `Host` of the request.
    pub host: Option<&'a str>,
}

/// Whom a request means.
struct Payee {
    key: PublicKey,
    /// How the request says it; the same in both requests of a payment, whatever host is asked.
    local: String,
    /// The whole address, for people.
    address: String,
}

impl Payee {
    /// LUD-06's metadata. Its hash is in the invoice, so the text is the same in both requests.
    fn metadata(&self) -> String {
        let Self { address, .. } = self;
        json!([["text/plain", format!("Sats for {address}")], ["text/identifier", address]]).to_string()
    }
}

/// The answer to the first request (LUD-06).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PayOffer {
    tag: &'static str,
    callback: String,
    min_sendable: Msat,
    max_sendable: Msat,
    metadata: String,
    comment_allowed: usize,
    allows_nostr: bool,
    nostr_pubkey: PublicKey,
}

/// The answer to the second request: an invoice.
#[derive(Clone, Debug, Serialize)]
pub struct PayInvoiceOffer {
    pr: String,
    routes: [(); 0],
    verify: String,
}

/// The answer to the question whether an invoice was paid (LUD-21).
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    status: &'static str,
    settled: bool,
    preimage: Option<Preimage>,
    pr: String,
}

/// Why there is no answer. `Display` is the reason that the payer is told.
#[derive(Debug, thiserror::Error)]
pub enum LnurlError {
    /// There is nobody of that name, or no such invoice.
    #[error("there is nobody of that name here")]
    Unknown,
    /// Not an invoice that this URL was made for.
    #[error("there is no such invoice")]
    NoInvoice,
    /// The parameter is missing.
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    /// The parameter stands twice, so that two readers could read two things.
    #[error("the parameter {0} must stand once")]
    Repeated(&'static str),
    /// The amount is no number within bounds.
    #[error("amount must be a whole number of millisatoshi from {min} to {max}")]
    Amount {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// The comment is too long.
    #[error("the comment may have {COMMENT_CHARS_MAX} characters")]
    Comment,
    /// Whoever asks was given as many invoices of this payee as one is.
    #[error(
        "many invoices for this address are open that were asked for from where you are; pay one, or wait some minutes"
    )]
    Enough,
    /// The wallet refused.
    #[error("{0}")]
    Refused(String),
}

impl LnurlError {
    /// True if what was asked for is not there.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Unknown | Self::NoInvoice)
    }
}

impl From<Refusal> for LnurlError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into_error(&Method::MakeInvoiceFor).message)
    }
}

impl Wallet {
    /// What may be paid to an address.
    ///
    /// # Errors
    /// [`LnurlError`].
    pub fn pay_offer(&self, asked: &Asked<'_>) -> Result<PayOffer, LnurlError> {
        let (addresses, payee) = self.payee(asked)?;
        Ok(PayOffer {
            tag: "payRequest",
            callback: addresses.site.url(&format!("/lnurlp/{}/callback", payee.local)),
            min_sendable: SENDABLE_MIN,
            max_sendable: self.limits.invoice_max,
            metadata: payee.metadata(),
            comment_allowed: COMMENT_CHARS_MAX,
            allows_nostr: true,
            nostr_pubkey: self.service_pubkey,
        })
    }

    /// Who is paid at an address, however it is written.
    ///
    /// # Errors
    /// [`LnurlError::Unknown`] if nobody is.
    pub fn pay_offer_payee(&self, asked: &Asked<'_>) -> Result<PublicKey, LnurlError> {
        self.payee(asked).map(|(_, payee)| payee.key)
    }

    /// An invoice that pays an address. It commits to the zap request as it was received, or to the
    /// metadata that was served.
    ///
    /// # Errors
    /// [`LnurlError`].
    pub fn pay_offer_invoice(
        &self,
        asked: &Asked<'_>,
        query: &InvoiceQuery,
        now: UnixSecs,
    ) -> Result<PayInvoiceOffer, LnurlError> {
        let (addresses, payee) = self.payee(asked)?;
        let max = self.limits.invoice_max;
        let amount = query.amount(SENDABLE_MIN, max)?;
        let comment = query.comment()?;
        // With a zap request its hash replaces this one.
        let description_hash = DescriptionHash::from_bytes(Sha256::digest(payee.metadata()).into());
        let terms = MakeInvoiceFor {
            pubkey: payee.key,
            invoice: MakeInvoice {
                description: comment.map(str::to_owned),
                description_hash: Some(description_hash),
                metadata: query.metadata(),
                ..MakeInvoice::of(amount)
            },
            zap_request: query.zap_request().map(str::to_owned),
        };
        // Whoever asks has no key; the wallet's own stands for all of them, and takes nothing of any key's.
        let made = self.make_invoice_for_anybody(terms, now)?;
        let (hash, pr) = (made.payment_hash, made.invoice.unwrap_or_default());
        let verify = addresses.site.url(&format!("/lnurlp/verify/{hash}/{}", addresses.token(&hash)));
        Ok(PayInvoiceOffer { pr, routes: [], verify })
    }

    /// Whether an invoice was paid, for whoever was given its verification URL.
    ///
    /// # Errors
    /// [`LnurlError`].
    pub fn pay_offer_verify(&self, hash: &str, token: &str) -> Result<Verified, LnurlError> {
        let addresses = self.addresses.as_ref().ok_or(LnurlError::NoInvoice)?;
        let hash: PaymentHash = hash.parse().map_err(|_| LnurlError::NoInvoice)?;
        if !addresses.is_token(&hash, token) {
            return Err(LnurlError::NoInvoice);
        }
        let found = self.store.read(|view| invoice::by_hash(view, hash).map_err(Refusal::from))?;
        let found = found.ok_or(LnurlError::NoInvoice)?;
        let settled = found.state == InvoiceState::Settled;
        let preimage = found.preimage.filter(|_| settled);
        Ok(Verified { status: "OK", settled, preimage, pr: found.bolt11 })
    }

    fn payee(&self, asked: &Asked<'_>) -> Result<(&Addresses, Payee), LnurlError> {
        let addresses = self.addresses.as_ref().ok_or(LnurlError::Unknown)?;
        if asked.local.len() > LOCAL_CHARS_MAX {
            return Err(LnurlError::Unknown);
        }
        let asked_local = asked.local.to_ascii_lowercase();
        let (user, wallet) = match asked_local.split_once('@') {
            Some((user, wallet)) => (user, Some(wallet)),
            None => (asked_local.as_str(), asked.host.and_then(|host| wallet_of(host, addresses))),
        };
        if wallet.is_some_and(|wallet| wallet != addresses.wallet_npub) {
            return Err(LnurlError::Unknown);
        }
        let key = if user.starts_with("npub1") {
            PublicKey::from_bech32(user).ok().filter(|key| key.xonly().is_ok())
        } else {
            self.store.read(|view| name::key_of(view, user).map_err(Refusal::from))?
        };
        let key = key.ok_or(LnurlError::Unknown)?;
        if !self.store.read(|view| self.access.allows(view, &key).map_err(Refusal::from))? {
            return Err(LnurlError::Unknown);
        }
        let (local, address) = match wallet {
            None => (user.to_owned(), addresses.of(user)),
            Some(wallet) => {
                (format!("{user}@{wallet}"), format!("{user}@{wallet}.{}", addresses.site.authority()))
            }
        };
        Ok((addresses, Payee { key, local, address }))
    }
}

/// The wallet that a host names before ours, as the reference's addresses do.
fn wallet_of<'h>(host: &'h str, addresses: &Addresses) -> Option<&'h str> {
    let (wallet, rest) = host.split_once('.')?;
    let ours = rest.eq_ignore_ascii_case(addresses.site.authority());
    (ours && wallet.starts_with("npub1")).then_some(wallet)
}

impl InvoiceQuery {
    /// What NIP-47 keeps with a transaction: the comment, and the zap request as an event.
    fn metadata(&self) -> Option<Metadata> {
        let nostr = self.zap_request().and_then(|raw| serde_json::from_str::<serde_json::Value>(raw).ok());
        let fields = [("comment", self.comment().ok().flatten().map(Into::into)), ("nostr", nostr)];
        let map: serde_json::Map<_, _> =
            fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        if map.is_empty() { None } else { Metadata::new(map) }
    }
}
