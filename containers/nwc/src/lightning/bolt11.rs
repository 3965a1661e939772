//! Reading an invoice that a stranger sent.

use lightning_invoice::{
    Bolt11Invoice, Bolt11InvoiceDescriptionRef, Bolt11ParseError, Bolt11SemanticError, SignedRawBolt11Invoice,
};
use protocol::nwc::{DescriptionHash, PaymentHash};
use units::{Msat, UnixSecs};

use super::{Network, NodeId};

/// A BOLT11 invoice that was read whole and whose signature was checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bolt11 {
    text: String,
    payment_hash: PaymentHash,
    amount: Option<Msat>,
    payee: NodeId,
    network: Network,
    expires_at: UnixSecs,
    description: Option<String>,
    description_hash: Option<DescriptionHash>,
}

/// Why a text is no invoice that could be paid.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Bolt11Error {
    /// Not BOLT11.
    #[error("not a BOLT11 invoice")]
    Malformed(#[source] Bolt11ParseError),
    /// A field is missing, doubled, or the signature is wrong.
    #[error("not a valid BOLT11 invoice")]
    Invalid(#[source] Bolt11SemanticError),
    /// The amount is zero, or more than there can be.
    #[error("the invoice's amount is out of range")]
    Amount,
    /// For a network that no wallet works on.
    #[error("the invoice is for an unknown network")]
    Network,
}

impl Bolt11 {
    /// Reads an invoice.
    ///
    /// # Errors
    /// [`Bolt11Error`].
    pub fn parse(text: &str) -> Result<Self, Bolt11Error> {
        let signed: SignedRawBolt11Invoice = text.parse().map_err(Bolt11Error::Malformed)?;
        let has_amount = signed.raw_invoice().hrp.raw_amount.is_some();
        let invoice = Bolt11Invoice::from_signed(signed).map_err(Bolt11Error::Invalid)?;
        let amount = match invoice.amount_milli_satoshis() {
            Some(msat) => Some(i64::try_from(msat).map_err(|_| Bolt11Error::Amount)?),
            // The library also answers "no amount" when the amount overflows. Taken at its word, such an
            // invoice would be paid with whatever amount the request names.
            None if has_amount => return Err(Bolt11Error::Amount),
            None => None,
        };
        if amount == Some(0) {
            return Err(Bolt11Error::Amount);
        }
        let (description, description_hash) = match invoice.description() {
            Bolt11InvoiceDescriptionRef::Direct(text) => (Some(text.as_inner().0.clone()), None),
            Bolt11InvoiceDescriptionRef::Hash(hash) => {
                (None, Some(DescriptionHash::from_bytes(*AsRef::<[u8; 32]>::as_ref(&hash.0))))
            }
        };
        let expiry = invoice.duration_since_epoch().saturating_add(invoice.expiry_time());
        Ok(Self {
            // Bech32 may come in capitals (QR codes); the small form is the one to compare.
            text: text.to_ascii_lowercase(),
            payment_hash: PaymentHash::from_bytes(*AsRef::<[u8; 32]>::as_ref(invoice.payment_hash())),
            amount: amount.map(Msat::new),
            payee: NodeId::from_bytes(invoice.get_payee_pub_key().serialize()),
            network: Network::of(&invoice.currency()).ok_or(Bolt11Error::Network)?,
            expires_at: UnixSecs(expiry.as_secs()),
            description: description.filter(|text| !text.is_empty()),
            description_hash,
        })
    }

    /// The invoice itself, in small letters.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The payment's name.
    #[must_use]
    pub const fn payment_hash(&self) -> PaymentHash {
        self.payment_hash
    }

    /// What is asked for; none if the payer chooses. Never zero.
    #[must_use]
    pub const fn amount(&self) -> Option<Msat> {
        self.amount
    }

    /// The node that signed it.
    #[must_use]
    pub const fn payee(&self) -> NodeId {
        self.payee
    }

    /// The network it is for.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }

    /// The last second in which payers may try.
    #[must_use]
    pub const fn expires_at(&self) -> UnixSecs {
        self.expires_at
    }

    /// What it is for, in words.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// What it is for, by hash.
    #[must_use]
    pub const fn description_hash(&self) -> Option<DescriptionHash> {
        self.description_hash
    }
}

#[cfg(test)]
mod tests;
