//! Making invoices.

use nostr::key::PublicKey;
use protocol::nwc::{
    DescriptionHash, MakeInvoice, MakeInvoiceFor, Metadata, Method, PaymentHash, Preimage, Response,
    ResultBody, Transaction,
};
use sha2::{Digest, Sha256};
use units::UnixSecs;

use super::answer::Handled;
use super::caller::{Caller, Door};
use super::limits::{self as bounds, Incoming, Standing};
use super::refusal::Refusal;
use super::{Wallet, shares, wire, zap};
use crate::config::Limits;
use crate::lightning::{InvoiceTerms, Purpose};
use crate::store::{Access, AskedBy, NewInvoice, invoice, open_invoice, past, payment};

use ledger::LedgerTx;

/// Invoices whose time has passed that are swept with every new one: more than one, so that any backlog
/// shrinks.
const SWEEP: u32 = 8;

/// What makes an invoice a hold invoice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) payment_hash: PaymentHash,
    pub(super) secs: u32,
    pub(super) min_cltv_delta: Option<u32>,
}

/// An invoice to be made.
#[derive(Debug)]
struct Wanted {
    payee: PublicKey,
    terms: MakeInvoice,
    zap_request: Option<String>,
    hold: Option<Hold>,
    method: Method,
    body: fn(Transaction) -> ResultBody,
}

impl Wallet {
    pub(super) fn make_invoice(
        &self,
        caller: &Caller,
        terms: MakeInvoice,
        now: UnixSecs,
    ) -> Result<Handled, Refusal> {
        let body = ResultBody::MakeInvoice;
        let wanted = Wanted {
            payee: caller.wallet,
            terms,
            zap_request: None,
            hold: None,
            method: Method::MakeInvoice,
            body,
        };
        self.make(caller, wanted, now).map(|(handled, _)| handled)
    }

    pub(super) fn make_held(
        &self,
        caller: &Caller,
        hold: Hold,
        terms: MakeInvoice,
        now: UnixSecs,
    ) -> Result<Handled, Refusal> {
        let body = ResultBody::MakeHoldInvoice;
        let wanted = Wanted {
            payee: caller.wallet,
            terms,
            zap_request: None,
            hold: Some(hold),
            method: Method::MakeHoldInvoice,
            body,
        };
        self.make(caller, wanted, now).map(|(handled, _)| handled)
    }

    /// An invoice for somebody else. With a zap request the invoice commits to its hash, and its payment
    /// is published.
    pub(super) fn make_for(
        &self,
        caller: &Caller,
        terms: MakeInvoiceFor,
        now: UnixSecs,
    ) -> Result<(Handled, Option<Transaction>), Refusal> {
        let MakeInvoiceFor { pubkey, invoice: mut terms, zap_request } = terms;
        if let Some(raw) = &zap_request {
            zap::check(raw, terms.amount, &pubkey, &self.service_pubkey).map_err(Refusal::Zap)?;
            // Of the text as it was received: the receipt must carry exactly what was hashed.
            terms.description_hash = Some(DescriptionHash::from_bytes(Sha256::digest(raw).into()));
        }
        let body = ResultBody::MakeInvoiceFor;
        let method = Method::MakeInvoiceFor;
        self.make(caller, Wanted { payee: pubkey, terms, zap_request, hold: None, method, body }, now)
    }

    /// The same for somebody without a key.
    pub(super) fn make_invoice_for_anybody(
        &self,
        terms: MakeInvoiceFor,
        now: UnixSecs,
    ) -> Result<Transaction, Refusal> {
        let caller = Caller { door: Door::Web, ..Caller::owner(self.service_pubkey) };
        let (_, made) = self.make_for(&caller, terms, now)?;
        made.ok_or(Refusal::NotFound)
    }

    fn asked_by(&self, caller: &Caller, payee: &PublicKey) -> AskedBy {
        match caller.door {
            Door::Web => AskedBy::Web,
            Door::House => AskedBy::House,
            Door::Public if caller.wallet != *payee => AskedBy::Key,
            Door::Public => AskedBy::Payee,
        }
    }

    fn make(
        &self,
        caller: &Caller,
        wanted: Wanted,
        now: UnixSecs,
    ) -> Result<(Handled, Option<Transaction>), Refusal> {
        let limits = self.limits;
        let Wanted { payee, terms, zap_request, hold, method, body } = wanted;
        if terms.amount > limits.invoice_max {
            return Err(Refusal::AmountTooLarge { max: limits.invoice_max.msat() });
        }
        let (preimage, payment_hash) = match hold {
            Some(hold) => (None, hold.payment_hash),
            None => {
                let preimage = Preimage::from_bytes(*self.entropy.bytes32().map_err(Refusal::NoEntropy)?);
                let hash = PaymentHash::from_bytes(Sha256::digest(preimage.as_bytes()).into());
                (Some(preimage), hash)
            }
        };
        let asked_by = self.asked_by(caller, &payee);
        // Who asks for an invoice that pays somebody else, or a key that holds nothing, risks nothing; such
        // invoices do not stay long.
        let is_known = match asked_by {
            AskedBy::House => true,
            AskedBy::Key | AskedBy::Web => false,
            AskedBy::Payee => {
                self.store.read(|view| Standing::of(view, &payee, &limits))? == Standing::Holder
            }
        };
        let longest = if is_known { limits.expiry_max_secs } else { limits.anon_expiry_max_secs };
        let expiry_secs = terms.expiry_secs.unwrap_or(limits.expiry_default_secs).min(longest);
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
                min_cltv_delta: hold.and_then(|hold| hold.min_cltv_delta),
            })
            .map_err(Refusal::CreateInvoice)?;
        let expires_at = now.plus_secs(expiry_secs.into());
        let new = NewInvoice {
            payment_hash,
            preimage,
            payee,
            asked_by,
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
            hold_secs: hold.map(|hold| hold.secs),
        };
        let (access, asker) = (self.access.clone(), caller.wallet);
        self.once(caller, &method, now, move |tx, _| {
            if hold.is_some() && is_used(tx, payment_hash)? {
                return Err(Refusal::HashUsed);
            }
            insert(tx, new, &asker, &access, &limits)?;
            let made = invoice::by_hash(tx.view(), payment_hash)?.ok_or(Refusal::NotFound)?;
            let made = wire::incoming(&made, now);
            Ok((Handled::now(Response::done(body(made.clone()))), Some(made)))
        })
    }
}

/// Whether an invoice or a payment of ours has this hash. Two of the same could be confused, or paid with
/// each other's proof.
fn is_used(tx: &LedgerTx<'_>, hash: PaymentHash) -> rusqlite::Result<bool> {
    Ok(invoice::by_hash(tx.view(), hash)?.is_some()
        || payment::live_by_hash(tx.view(), hash)?.is_some()
        || past::is_past(tx.view(), hash)?)
}

/// Inserts an invoice if its payee is admitted and the limits allow it.
fn insert(
    tx: &LedgerTx<'_>,
    mut new: NewInvoice,
    asker: &PublicKey,
    access: &Access,
    limits: &Limits,
) -> Result<(), Refusal> {
    let now = new.created_at;
    if !access.allows(tx.view(), &new.payee)? {
        return Err(Refusal::NotAdmitted);
    }
    // As a courtesy: a payment that could not be taken is not asked for. What counts is the check then.
    // To the payee alone: anybody else would learn from it what the payee owns.
    let by_house = new.asked_by == AskedBy::House;
    if by_house || new.asked_by == AskedBy::Payee {
        let incoming = Incoming { payee: &new.payee, amount: new.amount, by_house };
        bounds::check_room(tx.view(), incoming, limits)?;
    }
    let asker = Standing::of(tx.view(), asker, limits)?;
    // The house's are counted apart.
    new.unfunded = !by_house && Standing::of(tx.view(), &new.payee, limits)? == Standing::Stranger;
    invoice::sweep(tx, now, SWEEP)?;
    invoice::forget_dead(tx, limits.open_total)?;
    let counts = || open_invoice::counts(tx.view(), &new.payee, new.asked_by, now);
    if bounds::exceeds_own(&counts()?, new.asked_by, asker, limits) {
        // The house's count may include what is due to be swept.
        invoice::sweep(tx, now, limits.open_total)?;
    }
    if bounds::exceeds_own(&counts()?, new.asked_by, asker, limits)
        && !(new.asked_by == AskedBy::Web && shares::renew_at_address(tx, &new, now)?)
    {
        return Err(Refusal::TooManyInvoices);
    }
    invoice::insert(tx, &new)?;
    shares::make_place_for_invoice(tx, &new, limits, now)
}
