mod audit;
mod full;
mod migrations;
mod payments;
mod requests;
mod writer;

use ledger::{Account, NewTransaction};
use nostr::key::PublicKey;
use protocol::nwc::{PaymentHash, Preimage};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use units::{Msat, UnixSecs};

use super::*;

const NOW: UnixSecs = UnixSecs(1_700_000_000);
const ALICE: PublicKey = PublicKey::from_byte_array([1; 32]);
const BOB: PublicKey = PublicKey::from_byte_array([2; 32]);

fn account(person: PublicKey) -> Account {
    Account::User(person.to_bytes())
}

/// A store in which Alice has 100 sat.
fn store() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(&dir.path().join("wallet.db")).unwrap();
    give(&store, "start", ALICE, 100_000).unwrap();
    (dir, store)
}

fn give(store: &Store, key: &'static str, to: PublicKey, msat: i64) -> Result<(), StoreError> {
    let gift = NewTransaction::new(key, "gift", "", NOW)
        .posting(Account::Faucet, Msat::new(-msat))
        .posting(account(to), Msat::new(msat));
    store.write(move |tx| tx.post(&gift).map(drop).map_err(StoreError::from))
}

fn balances(store: &Store) -> [i64; 3] {
    [account(ALICE), account(BOB), Account::Hold].map(|account| store.balance(account).unwrap().msat())
}

fn preimage(seed: u8) -> (Preimage, PaymentHash) {
    let hash = PaymentHash::from_bytes(Sha256::digest([seed; 32]).into());
    (Preimage::from_bytes([seed; 32]), hash)
}

fn new_payment(seed: u8, amount: i64, reserve: i64) -> NewPayment {
    NewPayment {
        payer: ALICE,
        payment_hash: preimage(seed).1,
        bolt11: "lnbcrt1".to_owned(),
        amount: Msat::new(amount),
        reserve: Msat::new(reserve),
        service_fee: Msat::ZERO,
        description: None,
        description_hash: None,
        metadata: None,
        expires_at: NOW.plus_secs(600),
        connection: None,
    }
}

fn new_invoice(seed: u8, amount: i64) -> NewInvoice {
    let (preimage, payment_hash) = preimage(seed);
    NewInvoice {
        payment_hash,
        preimage: Some(preimage),
        payee: BOB,
        asked_by: AskedBy::Payee,
        unfunded: true,
        bolt11: "lnbcrt1".to_owned(),
        amount: Msat::new(amount),
        description: None,
        description_hash: None,
        metadata: None,
        zap_request: None,
        created_at: NOW,
        expires_at: NOW.plus_secs(600),
        accept_until: NOW.plus_secs(600),
        hold_secs: None,
    }
}

fn hold(store: &Store, new: NewPayment) -> Result<Payment, HoldError> {
    store.write(move |tx| payment::hold(tx, new, NOW))
}

/// Pays Bob's invoice with Alice's money, as the service does.
fn pay(store: &Store, seed: u8, amount: i64) {
    store
        .write(move |tx| {
            invoice::insert(tx, &new_invoice(seed, amount))?;
            let held = payment::hold(tx, new_payment(seed, amount, 0), NOW)?;
            let asked = invoice::by_hash(tx.view(), preimage(seed).1)?;
            let asked = asked.ok_or(StoreError::Inconsistent("no invoice"))?;
            payment::settle_internal(tx, held, asked, NOW).map_err(HoldError::from)
        })
        .unwrap();
}
