//! BOLT11 invoices, read before they are paid or shown.

use lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef, Currency, SignedRawBolt11Invoice};
use protocol::nec::announcement::WalletTag;
use units::{Msat, UnixSecs};

use crate::error::{Failure, with_causes};

/// An invoice whose signature was checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Bill {
    /// BOLT11, in small letters.
    pub(crate) text: String,
    /// What is asked for; none if the payer chooses.
    pub(crate) amount: Option<Msat>,
    /// The node that signed it, hex.
    pub(crate) payee: String,
    /// What it is for, in words.
    pub(crate) description: Option<String>,
    /// The hash that it carries instead.
    pub(crate) description_hash: Option<[u8; 32]>,
    /// The payment's name, hex.
    pub(crate) payment_hash: String,
    /// The last second in which it can be paid.
    pub(crate) expires_at: UnixSecs,
    /// Which money it asks for.
    pub(crate) network: &'static str,
}

/// What an invoice must be before money leaves for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due<'a> {
    /// What it must ask for.
    pub(crate) amount: Msat,
    /// What it must be for.
    pub(crate) description: &'a str,
    /// Whose wallet it must pay.
    pub(crate) wallet: Option<&'a WalletTag>,
}

impl Bill {
    /// Reads an invoice.
    ///
    /// # Errors
    /// `invoice_invalid`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let invalid = |why: &str| Failure::refused("invoice_invalid", format!("the invoice is {why}"));
        let text = text.trim();
        let text = text
            .get(..10)
            .filter(|start| start.eq_ignore_ascii_case("lightning:"))
            .map_or(text, |_| &text[10..]);
        let signed: SignedRawBolt11Invoice =
            text.parse().map_err(|_| invalid("no BOLT11 invoice; check that it is complete"))?;
        let has_amount = signed.raw_invoice().hrp.raw_amount.is_some();
        let invoice = Bolt11Invoice::from_signed(signed)
            .map_err(|e| invalid(&format!("not valid: {}", with_causes(&e))))?;
        // An amount too large for the library is told as none, which would let the payer choose.
        let amount = match (invoice.amount_milli_satoshis(), has_amount) {
            (Some(msat), _) => Some(i64::try_from(msat).map_err(|_| invalid("for more than there can be"))?),
            (None, true) => return Err(invalid("for more than there can be")),
            (None, false) => None,
        };
        if amount == Some(0) {
            return Err(invalid("for nothing at all"));
        }
        let (description, description_hash) = match invoice.description() {
            Bolt11InvoiceDescriptionRef::Direct(text) => {
                (Some(text.to_string()).filter(|text| !text.is_empty()), None)
            }
            Bolt11InvoiceDescriptionRef::Hash(hash) => (None, Some(*AsRef::<[u8; 32]>::as_ref(&hash.0))),
        };
        let ends = invoice.duration_since_epoch().saturating_add(invoice.expiry_time());
        Ok(Self {
            text: text.to_ascii_lowercase(),
            amount: amount.map(Msat::new),
            payee: invoice.get_payee_pub_key().to_string(),
            description,
            description_hash,
            payment_hash: invoice.payment_hash().to_string(),
            expires_at: UnixSecs(ends.as_secs()),
            network: network(&invoice.currency()),
        })
    }

    /// Refuses an invoice that can no longer be paid.
    ///
    /// # Errors
    /// `invoice_expired`.
    pub(crate) fn check_open(&self, now: UnixSecs) -> Result<(), Failure> {
        if now > self.expires_at {
            let ago = crate::output::time::relative(self.expires_at, now);
            return Err(Failure::refused(
                "invoice_expired",
                format!("the invoice expired {ago}; ask for a new one"),
            ));
        }
        Ok(())
    }

    /// Refuses an invoice that is not the one that was agreed on.
    ///
    /// # Errors
    /// `invoice_expired`, `invoice_amount_mismatch`, `invoice_description_mismatch`, `wallet_unknown` and
    /// `invoice_payee_mismatch`.
    pub(crate) fn check(&self, due: &Due<'_>, now: UnixSecs) -> Result<(), Failure> {
        self.check_open(now)?;
        if self.amount != Some(due.amount) {
            let asked = self.amount.map_or("any amount".to_owned(), |amount| format!("{amount} sat"));
            let message =
                format!("the invoice asks for {asked}, not for {} sat; it is not to be paid", due.amount);
            return Err(Failure::refused("invoice_amount_mismatch", message));
        }
        if self.description.as_deref() != Some(due.description) {
            let message = format!("the invoice is not for {:?}; it is not to be paid", due.description);
            return Err(Failure::refused("invoice_description_mismatch", message));
        }
        let Some(wallet) = due.wallet else {
            let message =
                "the server announces no wallet, so nothing says whom the invoice pays; choose another";
            return Err(Failure::refused("wallet_unknown", message));
        };
        if !wallet.node.eq_ignore_ascii_case(&self.payee) {
            let message = format!(
                "the invoice pays the node {}, not the attested wallet's {}; it is not to be paid",
                self.payee, wallet.node
            );
            return Err(Failure::refused("invoice_payee_mismatch", message));
        }
        Ok(())
    }
}

fn network(currency: &Currency) -> &'static str {
    match currency {
        Currency::Bitcoin => "mainnet",
        Currency::BitcoinTestnet => "testnet",
        Currency::Regtest => "regtest",
        Currency::Simnet => "simnet",
        Currency::Signet => "signet",
    }
}

#[cfg(test)]
mod tests;
