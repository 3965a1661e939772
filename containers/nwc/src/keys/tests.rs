use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::entropy::OsEntropy;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn keys_are_saved_and_read_back() {
    let dir = TempDir::new().unwrap();
    assert!(WalletKeys::load(dir.path()).unwrap().is_none());
    let keys = WalletKeys::generate(&OsEntropy).unwrap();
    // What an earlier attempt left behind does not disturb.
    fs::write(dir.path().join(FILE_NEW), "half").unwrap();
    keys.save(dir.path()).unwrap();
    let mode = fs::metadata(dir.path().join(FILE)).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(!dir.path().join(FILE_NEW).exists());
    let read = WalletKeys::load(dir.path()).unwrap().unwrap();
    assert_eq!((read.service(), read.node()), (keys.service(), keys.node()));
    assert_eq!((read.service_pubkey(), read.node_id()), (keys.service_pubkey(), keys.node_id()));
}

#[test]
fn the_public_key_is_the_one_nostr_knows() {
    let keys = WalletKeys::generate(&OsEntropy).unwrap();
    let theirs = nostr::key::Keys::new(nostr::key::SecretKey::from_slice(keys.service().as_ref()).unwrap());
    assert_eq!(theirs.public_key(), keys.service_pubkey());
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let dir = TempDir::new().unwrap();
    WalletKeys::generate(&OsEntropy).unwrap().save(dir.path()).unwrap();
    set_mode(&dir.path().join(FILE), 0o640);
    let error = WalletKeys::load(dir.path()).unwrap_err();
    assert!(matches!(error, KeyFileError::Exposed { mode: 0o640, .. }), "{error:?}");
    assert!(error.to_string().contains("600"), "{error}");
}

#[test]
fn a_damaged_key_file_is_refused_without_showing_it() {
    let one = "11".repeat(32);
    for text in [
        String::new(),
        format!("service {one}\n"),
        format!("node {one}\nservice {one}\n"),
        format!("service {one}\nnode {}\n", &one[1..]),
        format!("service {one}\nnode {one}\nmore\n"),
        format!("service {}\nnode {one}\n", "00".repeat(32)),
        format!("service {one}\nnode {one}{}\n", " ".repeat(300)),
    ] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(FILE);
        fs::write(&path, &text).unwrap();
        set_mode(&path, 0o600);
        let error = WalletKeys::load(dir.path()).unwrap_err();
        assert!(matches!(error, KeyFileError::Damaged { .. }), "{text:?}: {error:?}");
        assert!(!format!("{error:?}").contains("1111"));
    }
}

#[test]
fn keys_do_not_print() {
    let keys = WalletKeys::generate(&OsEntropy).unwrap();
    let shown = format!("{keys:?}");
    for secret in [keys.service(), keys.node()] {
        assert!(!shown.contains(&hex::encode(**secret)), "{shown}");
        assert!(!shown.contains(&format!("{:?}", secret)), "{shown}");
    }
}
