use std::fs;
use std::os::unix::fs::MetadataExt;

use ledger::Account;
use nostr::key::PublicKey;
use tempfile::TempDir;
use units::{Msat, UnixSecs};

use super::*;
use crate::config::Faucet;
use crate::entropy::OsEntropy;

fn open(dir: &TempDir) -> Result<Home, HomeError> {
    Home::open(dir.path(), Network::Regtest, &OsEntropy)
}

/// Gives the books an account, so that they are not blank.
fn fill(home: &Home) {
    let faucet = Faucet { pubkey: PublicKey::from_byte_array([2; 32]), amount: Msat::new(5) };
    home.store.write(move |tx| store::fill(tx, &faucet, UnixSecs(1)).map_err(StoreError::from)).unwrap();
}

#[test]
fn the_first_start_makes_keys_that_later_starts_find() {
    let dir = TempDir::new().unwrap();
    let first = open(&dir).unwrap();
    let (service, node) = (first.keys.service_pubkey(), first.keys.node_id());
    fill(&first);
    drop(first);
    let again = open(&dir).unwrap();
    assert_eq!((again.keys.service_pubkey(), again.keys.node_id()), (service, node));
    assert_eq!(again.store.balance(Account::User([2; 32])).unwrap(), Msat::new(5));
}

#[test]
fn the_books_are_readable_by_nobody_else() {
    let dir = TempDir::new().unwrap();
    let _home = open(&dir).unwrap();
    for file in ["wallet.db", "wallet.db-wal", "wallet.keys"] {
        assert_eq!(fs::metadata(dir.path().join(file)).unwrap().mode() & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_second_wallet_on_the_same_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let first = open(&dir).unwrap();
    assert!(matches!(open(&dir), Err(HomeError::Locked { .. })));
    drop(first);
    open(&dir).unwrap();
}

#[test]
fn a_start_that_ended_before_the_keys_were_saved_is_finished_by_the_next() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir).unwrap());
    fs::remove_file(dir.path().join("wallet.keys")).unwrap();
    let keys = open(&dir).unwrap().keys;
    assert_eq!(open(&dir).unwrap().keys.service_pubkey(), keys.service_pubkey());
}

#[test]
fn books_whose_keys_are_lost_are_refused() {
    let dir = TempDir::new().unwrap();
    let home = open(&dir).unwrap();
    fill(&home);
    drop(home);
    fs::remove_file(dir.path().join("wallet.keys")).unwrap();
    assert!(matches!(open(&dir), Err(HomeError::KeysLost { .. })));
    assert!(!dir.path().join("wallet.keys").exists(), "no new keys are made");
}

#[test]
fn keys_whose_books_are_lost_are_refused() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir).unwrap());
    fs::remove_file(dir.path().join(STORE_FILE)).unwrap();
    assert!(matches!(open(&dir), Err(HomeError::BooksLost { .. })));
    assert!(matches!(open(&dir), Err(HomeError::BooksLost { .. })), "and stay refused");
}

#[test]
fn books_of_other_keys_or_another_network_are_refused() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    drop((open(&ours).unwrap(), open(&theirs).unwrap()));
    fs::copy(theirs.path().join("wallet.keys"), ours.path().join("wallet.keys")).unwrap();
    assert!(matches!(open(&ours), Err(HomeError::Mismatch { .. })));
    let signet = Home::open(theirs.path(), Network::Signet, &OsEntropy);
    assert!(matches!(signet, Err(HomeError::Mismatch { .. })));
}

#[test]
fn a_missing_directory_is_an_error_that_names_it() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("none");
    let error = Home::open(&missing, Network::Regtest, &OsEntropy).unwrap_err();
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
}
