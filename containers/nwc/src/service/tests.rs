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

/// A wallet whose owner has money and a connection.
fn connected(dir: &TempDir) -> (Wallet, PublicKey, PublicKey, PublicKey) {
    let wallet = Wallet::start(parts(dir), NOW).unwrap();
    let (owner, client) = (PublicKey::from_byte_array([1; 32]), nostr::key::Keys::generate().public_key());
    let service = connect(&wallet, owner, client);
    (wallet, owner, client, service)
}

fn connect(wallet: &Wallet, owner: PublicKey, client: PublicKey) -> PublicKey {
    let wanted = protocol::nwc::CreateConnection::of(client, "app", &[Method::GetBalance]);
    let handled = wallet.handle(&owner, Request::CreateConnection(wanted), NOW);
    let Answer::Now(response) = handled.answer else { panic!() };
    let Ok(ResultBody::CreateConnection(made)) = response.outcome() else { panic!("{response:?}") };
    made.wallet_pubkey
}

fn revoke(wallet: &Wallet, owner: PublicKey, service: PublicKey) {
    let wanted = protocol::nwc::RevokeConnection { wallet_pubkey: service };
    assert_eq!(wallet.handle(&owner, Request::RevokeConnection(wanted), NOW).code(), None);
}

fn reads(wallet: &Wallet, client: PublicKey, service: PublicKey) -> Option<String> {
    let event = nostr::event::EventId::from_byte_array([3; 32]);
    let event = RequestEvent { event, client, service, scheme: Scheme::Nip44, signed_at: NOW };
    let request = Request::GetBalance(protocol::nwc::GetBalance {});
    wallet.handle_event(&event, Door::Public, request, NOW).code().map(str::to_owned)
}

#[test]
fn a_revoked_connection_reads_nothing_even_if_the_list_still_has_it() {
    let dir = TempDir::new().unwrap();
    let (wallet, owner, client, service) = connected(&dir);
    assert_eq!(reads(&wallet, client, service), None);
    let before = wallet.connections().borrow().clone();
    revoke(&wallet, owner, service);
    // As if somebody had read the list before and written it after.
    wallet.connections.send_replace(before);
    assert_eq!(reads(&wallet, client, service).as_deref(), Some("UNAUTHORIZED"));
}

#[test]
fn a_connection_is_out_of_the_list_when_its_revocation_is_answered_whoever_reloads() {
    let dir = TempDir::new().unwrap();
    let (wallet, owner, client, _) = connected(&dir);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    wallet.reload_connections(NOW).unwrap();
                }
            });
        }
        for _ in 0..40 {
            let service = connect(&wallet, owner, client);
            assert!(wallet.connections().borrow().iter().any(|one| one.service == service));
            revoke(&wallet, owner, service);
            for _ in 0..20 {
                assert!(!wallet.connections().borrow().iter().any(|one| one.service == service), "revived");
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
