//! Signatures of one build, and of several.

use attestation::pcr_digest;
use nostr::key::Keys;
use protocol::event::sign;
use protocol::kinds::RELEASE_SIGNATURE;
use protocol::nec::release;
use protocol::tag;

use super::*;

const REPO: &str = "https://example.com/enclaved";
const NOW: UnixSecs = UnixSecs(1_750_000_000);

fn pcrs(build: &str) -> [Pcr; 3] {
    [0, 1, 2].map(|index| pcr_digest(format!("{build} {index}").as_bytes()))
}

/// A signature of `build` under `version`, some seconds after the first one.
fn signed(by: &Keys, version: &str, build: &str, after_secs: u64) -> Signature {
    let at = NOW.minus_secs(1_000).plus_secs(after_secs);
    let event = release::build(by, REPO, version, &pcrs(build), Env::Prod, at).unwrap();
    Signature::read(&event).unwrap()
}

fn expected(maintainers: &BTreeSet<PublicKey>, threshold: usize) -> Expected<'_> {
    Expected { at: NOW, repo: Some(REPO), env: Some(Env::Prod), maintainers, threshold, pcrs: Vec::new() }
}

fn verdict(signatures: &[Signature], expected: &Expected<'_>) -> Result<usize, String> {
    check(signatures, expected).map(|builds| builds.len()).map_err(|e| e.code().to_owned())
}

#[track_caller]
fn invalid(signatures: &[Signature], part: &str) {
    let nobody = BTreeSet::new();
    let failure = check(signatures, &expected(&nobody, 1)).unwrap_err();
    assert_eq!(failure.code(), "release_invalid");
    assert!(failure.message().contains(part), "{failure}");
}

#[test]
fn signatures_of_one_build_are_counted_by_signer() {
    let keys = [Keys::generate(), Keys::generate(), Keys::generate()];
    let maintainers: BTreeSet<_> = keys[..2].iter().map(Keys::public_key).collect();
    let by = |index: usize, secs| signed(&keys[index], "1.0.0", "a", secs);
    let both = [by(0, 5), by(1, 3)];
    let builds = check(&both, &expected(&maintainers, 2)).unwrap();
    assert_eq!((builds.len(), builds[0].releasers.len()), (1, 2));
    assert_eq!(builds[0].signed_at, NOW.minus_secs(997));
    assert_eq!(verdict(&both[..1], &expected(&maintainers, 1)), Ok(1));
    let missing = Err("release_missing".to_owned());
    assert_eq!(verdict(&both[..1], &expected(&maintainers, 2)), missing);
    assert_eq!(verdict(&[by(0, 1), by(0, 2)], &expected(&maintainers, 2)), missing, "one signer twice");
    assert_eq!(verdict(&[by(0, 1), by(2, 2)], &expected(&maintainers, 2)), missing, "one is a stranger");
    assert_eq!(verdict(&both, &expected(&maintainers, usize::MAX)), missing);
}

#[test]
fn versions_must_rise() {
    let key = Keys::generate();
    let nobody = BTreeSet::new();
    let by = |version: &str, secs| signed(&key, version, version, secs);
    let rising = [by("0.9.10", 1), by("1.0.0-rc.1", 2), by("1.0.0", 3), by("1.10.0", 4)];
    let builds = check(&rising, &expected(&nobody, 1)).unwrap();
    let versions: Vec<_> = builds.iter().filter_map(|build| build.version.as_deref()).collect();
    assert_eq!(versions, ["0.9.10", "1.0.0-rc.1", "1.0.0", "1.10.0"]);
    invalid(&[by("1.0.0", 1), by("0.9.0", 2)], "0.9.0 follows 1.0.0");
    invalid(&[by("1.0.0", 2), by("0.9.0", 1)], "0.9.0 follows 1.0.0");
    invalid(&[by("1.0.0", 1), by("1.1.0", 2), by("1.0.0", 1)], "1.0.0 follows 1.1.0");
}

#[test]
fn old_version_signed_after_a_new_one_is_refused() {
    let (alice, bob) = (Keys::generate(), Keys::generate());
    let nobody = BTreeSet::new();
    let by = |key: &Keys, version: &str, secs| signed(key, version, version, secs);
    invalid(&[by(&alice, "1.0.0", 9), by(&alice, "1.1.0", 8)], "signed 1.0.0 after 1.1.0");
    // Two people need not sign in step.
    let late = [by(&alice, "1.0.0", 1), by(&bob, "1.0.0", 9), by(&alice, "1.1.0", 8)];
    assert_eq!(verdict(&late, &expected(&nobody, 1)), Ok(2));
}

#[test]
fn every_version_needs_its_signers() {
    let (alice, bob) = (Keys::generate(), Keys::generate());
    let maintainers = BTreeSet::from([alice.public_key(), bob.public_key()]);
    let by = |key: &Keys, version: &str, secs| signed(key, version, version, secs);
    let history = [by(&alice, "1.0.0", 1), by(&alice, "1.1.0", 2), by(&bob, "1.1.0", 3)];
    let failure = check(&history, &expected(&maintainers, 2)).unwrap_err();
    assert_eq!(failure.code(), "release_missing");
    assert!(failure.message().contains("1 of the expected maintainers signed 1.0.0"), "{failure}");
    assert_eq!(verdict(&history[1..], &expected(&maintainers, 2)), Ok(1));
}

#[test]
fn one_version_is_one_build() {
    let key = Keys::generate();
    invalid(
        &[signed(&key, "1.0.0", "a", 1), signed(&key, "1.0.0", "b", 2)],
        "two builds are both called 1.0.0",
    );
    invalid(
        &[signed(&key, "1.0.0+x", "a", 1), signed(&key, "1.0.0+y", "b", 2)],
        "two builds are both called",
    );
}

#[test]
fn signatures_must_be_of_one_repository_and_use() {
    let (key, nobody) = (Keys::generate(), BTreeSet::new());
    let at = NOW.minus_secs(1);
    let read = |repo, env| {
        Signature::read(&release::build(&key, repo, "1.0.0", &pcrs("a"), env, at).unwrap()).unwrap()
    };
    let here = read(REPO, Env::Prod);
    let (elsewhere, dev) = (read("https://example.com/other", Env::Prod), read(REPO, Env::Dev));
    assert_eq!(verdict(std::slice::from_ref(&elsewhere), &expected(&nobody, 1)), Err("ref_mismatch".into()));
    assert_eq!(verdict(std::slice::from_ref(&dev), &expected(&nobody, 1)), Err("release_invalid".into()));
    let lax = Expected { repo: None, env: None, ..expected(&nobody, 1) };
    assert_eq!(verdict(std::slice::from_ref(&dev), &lax), Ok(1));
    for other in [elsewhere, dev] {
        assert_eq!(verdict(&[here.clone(), other], &lax), Err("release_invalid".into()));
    }
}

#[test]
fn registers_are_those_of_the_newest_build() {
    let (key, nobody) = (Keys::generate(), BTreeSet::new());
    let history = [signed(&key, "1.0.0", "a", 1), signed(&key, "1.1.0", "b", 2)];
    let with = |pcrs| Expected { pcrs, ..expected(&nobody, 1) };
    assert_eq!(verdict(&history, &with(vec![(0, pcrs("b")[0]), (2, pcrs("b")[2])])), Ok(2));
    assert_eq!(verdict(&history, &with(vec![(0, pcrs("a")[0])])), Err("pcr_mismatch".into()));
    assert_eq!(verdict(&history, &with(vec![(1, pcrs("b")[0])])), Err("pcr_mismatch".into()));
    assert!(with(vec![(0, pcrs("b")[0])]).pins_code() && !with(Vec::new()).pins_code());
}

#[test]
fn time_of_verification_counts() {
    let (key, nobody) = (Keys::generate(), BTreeSet::new());
    let signature = signed(&key, "1.0.0", "a", 1_000);
    let at = |at| verdict(std::slice::from_ref(&signature), &Expected { at, ..expected(&nobody, 1) });
    assert_eq!((at(NOW), at(NOW.minus_secs(2))), (Ok(1), Ok(1)));
    assert_eq!(at(NOW.minus_secs(3)), Err("timestamp_invalid".into()));
    let ending = Signature { until: Some(NOW), ..signature.clone() };
    let at = |at| verdict(std::slice::from_ref(&ending), &Expected { at, ..expected(&nobody, 1) });
    assert_eq!((at(NOW), at(NOW.plus_secs(1))), (Ok(1), Err("expired".into())));
}

#[test]
fn builds_without_versions_have_no_order() {
    let key = Keys::generate();
    let nobody = BTreeSet::new();
    let unversioned = |build: &str| {
        let mut tags = vec![tag!["r", REPO], tag!["t", "prod"]];
        tags.extend((0..3).zip(pcrs(build)).map(|(index, pcr)| tag!["x", pcr, format!("PCR{index}")]));
        Signature::read(&sign(&key, RELEASE_SIGNATURE, NOW, tags, String::new()).unwrap()).unwrap()
    };
    assert_eq!(verdict(&[unversioned("a"), unversioned("a")], &expected(&nobody, 1)), Ok(1));
    invalid(&[unversioned("a"), unversioned("b")], "each must say its version");
    invalid(&[unversioned("a"), signed(&key, "1.0.0", "b", 1)], "each must say its version");
}
