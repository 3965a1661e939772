use tempfile::TempDir;
use units::Msat;
use zeroize::Zeroizing;

use super::*;
use crate::entropy::OsEntropy;
use crate::lightning::{InternalBackend, Network};
use crate::store::NewPayment;

const NOW: UnixSecs = UnixSecs(1_700_000_000);

fn parts(dir: &TempDir) -> Parts {
    let alice = PublicKey::from_byte_array([1; 32]);
    Parts {
        store: Store::open(&dir.path().join("wallet.db")).unwrap(),
        backend: Arc::new(InternalBackend::new(&Zeroizing::new([1; 32]), Network::Regtest).unwrap()),
        entropy: Box::new(OsEntropy),
        service_pubkey: PublicKey::from_byte_array([9; 32]),
        admin: None,
        faucet: Some(Faucet { pubkey: alice, amount: Msat::new(1_000) }),
        limits: Limits::default(),
        fees: Fees::default(),
    }
}

fn hold(store: &Store, amount: i64) {
    let new = NewPayment {
        payer: PublicKey::from_byte_array([1; 32]),
        payment_hash: PaymentHash::from_bytes([5; 32]),
        bolt11: "lnbcrt1".to_owned(),
        amount: Msat::new(amount),
        reserve: Msat::ZERO,
        service_fee: Msat::ZERO,
        description: None,
        description_hash: None,
        metadata: None,
        expires_at: NOW,
        connection: None,
    };
    store.write(move |tx| payment::hold(tx, new, NOW)).unwrap();
}

#[test]
fn a_start_returns_money_held_for_payments_that_were_never_sent() {
    let dir = TempDir::new().unwrap();
    let alice = Account::User([1; 32]);
    let wallet = Wallet::start(parts(&dir), NOW).unwrap();
    hold(wallet.store(), 700);
    assert_eq!(wallet.store().balance(alice).unwrap(), Msat::new(300));
    drop(wallet);
    let wallet = Wallet::start(parts(&dir), NOW).unwrap();
    assert_eq!(wallet.store().balance(alice).unwrap(), Msat::new(1_000));
    wallet.store().audit().unwrap();
}

#[test]
fn a_file_that_fails_its_audit_is_not_opened() {
    let dir = TempDir::new().unwrap();
    drop(Wallet::start(parts(&dir), NOW).unwrap());
    let raw = rusqlite::Connection::open(dir.path().join("wallet.db")).unwrap();
    raw.execute("UPDATE ledger_account SET balance_msat = balance_msat + 1 WHERE key = 'faucet'", [])
        .unwrap();
    let refused = Wallet::start(parts(&dir), NOW);
    assert!(matches!(refused, Err(StartError::Audit(_))), "{refused:?}");
}
