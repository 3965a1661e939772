//! The directory that keeps a root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;

use attestation::{Expectations, TrustRoot, VerifyAt, verify};
use attestation_sim::{Forge, RootError, SimRoot};

use crate::support::NOW;

#[test]
fn a_root_is_made_once_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("made/too");
    let first = SimRoot::load_or_create(&inside).unwrap();
    let again = SimRoot::load_or_create(&inside).unwrap();
    assert_eq!(first.der(), again.der());
    assert_eq!(fs::read(inside.join("sim-root.der")).unwrap(), first.der());
    // What one signs, the other's certificate vouches for.
    let document = Forge::at(NOW).document(&again).unwrap();
    let root = TrustRoot::from_der(first.der()).unwrap();
    assert!(verify(&document, &Expectations::none(), &root, VerifyAt::DocumentTime).is_ok());
    assert!(!root.is_aws());
    let mode = |name: &str| fs::metadata(inside.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("sim-root.key"), 0o600);
    let mut names: Vec<_> = fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["sim-root.der", "sim-root.key", "sim-root.lock"]);
}

#[test]
fn whoever_starts_at_once_gets_the_same_root() {
    const STARTERS: usize = 8;
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let barrier = Barrier::new(STARTERS);
        let roots: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                SimRoot::load_or_create(directory.path()).unwrap().der().to_vec()
            };
            let starters: Vec<_> = (0..STARTERS).map(|_| scope.spawn(start)).collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).collect()
        });
        assert!(roots.iter().all(|root| *root == roots[0]));
    }
}

#[test]
fn half_a_root_is_completed_or_named() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("sim-root.der"), directory.path().join("sim-root.key"));
    SimRoot::load_or_create(directory.path()).unwrap();
    // Died after the key: the certificate is made for the same key.
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&certificate).unwrap();
    SimRoot::load_or_create(directory.path()).unwrap();
    assert_eq!(fs::read(&key).unwrap(), kept);
    // A certificate without its key is of no use, and nothing is made in its place.
    fs::remove_file(&key).unwrap();
    let error = SimRoot::load_or_create(directory.path()).unwrap_err();
    assert!(matches!(error, RootError::KeyMissing { .. }), "{error}");
    assert!(!key.exists());
    // Nor is one with another's.
    let other = tempfile::tempdir().unwrap();
    SimRoot::load_or_create(other.path()).unwrap();
    fs::copy(other.path().join("sim-root.key"), &key).unwrap();
    let error = SimRoot::load_or_create(directory.path()).unwrap_err();
    assert!(matches!(error, RootError::Mismatch { .. }), "{error}");
    for (file, content) in [(&key, &b"no key"[..]), (&certificate, b"no certificate")] {
        fs::write(file, content).unwrap();
        let error = SimRoot::load_or_create(directory.path()).unwrap_err();
        assert!(matches!(error, RootError::Mismatch { .. }), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_taken_for_absent() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = directory.path().join("sim-root.der");
    fs::create_dir(&certificate).unwrap();
    let error = SimRoot::load_or_create(directory.path()).unwrap_err();
    assert!(matches!(&error, RootError::Io { path, .. } if *path == certificate), "{error}");
}

#[test]
fn keys_are_not_printed() {
    assert_eq!(format!("{:?}", attestation_sim::SimKey::generate().unwrap()), "SimKey { .. }");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = SimRoot::load_or_create(file.path()).unwrap_err();
    assert!(matches!(&error, RootError::Io { path, .. } if path == file.path()), "{error}");
}
