//! Making invoices.

use nostr::key::PublicKey;
use protocol::nwc::{
    DescriptionHash, MakeInvoice, MakeInvoiceFor, Metadata, PaymentHash, Preimage, Transaction,
};
use sha2::{Digest, Sha256};
use units::UnixSecs;

use super::refusal::Refusal;
use super::{Wallet, wire, zap};
use crate::config::Limits;
use crate::lightning::{InvoiceTerms, Purpose};
use crate::store::{Access, NewInvoice, OpenCounts, invoice};

use ledger::{Account, LedgerTx};

/// Invoices whose time has passed that are swept with every new one: more than one, so that any backlog
/// shrinks.
const SWEEP: u32 = 8;

impl Wallet {
    pub(super) fn make_invoice(
        &self,
        caller: &PublicKey,
        terms: MakeInvoice,
        now: UnixSecs,
    ) -> Result<Transaction, Refusal> {
        self.make(caller, *caller, terms, None, now)
    }

    /// An invoice for somebody else. With a zap request the invoice commits to its hash, and its payment
    /// is published.
    pub(super) fn make_invoice_for(
        &self,
        caller: &PublicKey,
        terms: MakeInvoiceFor,
        now: UnixSecs,
    ) -> Result<Transaction, Refusal> {
        let MakeInvoiceFor { pubkey, mut invoice, zap_request } = terms;
        if let Some(raw) = &zap_request {
            zap::check(raw, invoice.amount, &pubkey, &self.service_pubkey).map_err(Refusal::Zap)?;
            // Of the text as it was received: the receipt must carry exactly what was hashed.
            invoice.description_hash = Some(DescriptionHash::from_bytes(Sha256::digest(raw).into()));
        }
        self.make(caller, pubkey, invoice, zap_request, now)
    }

    fn make(
        &self,
        caller: &PublicKey,
        payee: PublicKey,
        terms: MakeInvoice,
        zap_request: Option<String>,
        now: UnixSecs,
    ) -> Result<Transaction, Refusal> {
        let limits = self.limits;
        if terms.amount > limits.invoice_max {
            return Err(Refusal::AmountTooLarge { max: limits.invoice_max.msat() });
        }
        let preimage = Preimage::from_bytes(*self.entropy.bytes32().map_err(Refusal::NoEntropy)?);
        let payment_hash = PaymentHash::from_bytes(Sha256::digest(preimage.as_bytes()).into());
        let expiry_secs = terms.expiry_secs.unwrap_or(limits.expiry_default_secs).min(limits.expiry_max_secs);
        let purpose = match (terms.description_hash, &terms.description) {
            // Of both, the invoice carries the hash; the description stays as the payee's note.
            (Some(hash), _) => Purpose::Hash(hash),
            (None, description) => Purpose::Description(description.clone().unwrap_or_default()),
        };
        let bolt11 = self
            .backend
            .create_invoice(&InvoiceTerms {
                payment_hash,
                amount: terms.amount,
                purpose,
                created_at: now,
                expiry_secs,
            })
            .map_err(Refusal::CreateInvoice)?;
        let expires_at = now.plus_secs(expiry_secs.into());
        let new = NewInvoice {
            payment_hash,
            preimage,
            payee,
            own: *caller == payee,
            // Looked up when it is inserted.
            unfunded: false,
            bolt11,
            amount: terms.amount,
            description: terms.description.filter(|text| !text.is_empty()),
            description_hash: terms.description_hash,
            metadata: terms.metadata.as_ref().map(Metadata::to_json),
            zap_request,
            created_at: now,
            expires_at,
            accept_until: expires_at.plus_secs(limits.late_accept_secs.into()),
        };
        let access = self.access.clone();
        let made = self.store.write(move |tx| {
            insert(tx, new, &access, &limits)?;
            invoice::by_hash(tx.view(), payment_hash)?.ok_or(Refusal::NotFound)
        })?;
        Ok(wire::incoming(&made, now))
    }
}

/// Inserts an invoice if its payee is admitted and the limits allow it.
fn insert(tx: &LedgerTx<'_>, mut new: NewInvoice, access: &Access, limits: &Limits) -> Result<(), Refusal> {
    let now = new.created_at;
    if !access.allows(tx.view(), &new.payee)? {
        return Err(Refusal::NotAdmitted);
    }
    new.unfunded = !tx.view().exists(Account::User(new.payee.to_bytes()))?;
    invoice::sweep(tx, now, SWEEP)?;
    let mut counts = invoice::open_counts(tx.view(), &new.payee, new.own, now)?;
    if exceeded(&counts, new.unfunded, limits) {
        // The counts may include what is due to be swept.
        invoice::sweep(tx, now, limits.open_total)?;
        counts = invoice::open_counts(tx.view(), &new.payee, new.own, now)?;
    }
    if exceeded(&counts, new.unfunded, limits) {
        return Err(Refusal::TooManyInvoices);
    }
    invoice::insert(tx, &new)?;
    Ok(())
}

/// Whether one more invoice would be too many. Payees who were never paid share a part of the whole, so
/// that a flood of empty wallets leaves room for those that have money.
const fn exceeded(counts: &OpenCounts, unfunded: bool, limits: &Limits) -> bool {
    counts.of_payee >= limits.open_per_key
        || counts.total >= limits.open_total
        || unfunded && counts.unfunded >= limits.open_unfunded
}
