//! Events kept as files, each named by what is wrong with it, under a simulated root. The `interop` tests
//! of the `tests` package made them, and say how to make them anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use attestation::{Pcr, TrustRoot};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use protocol::nec::{Env, Policy, VerifiedContainer, VerifiedInstance};
use serde::Deserialize;
use units::UnixSecs;

/// What `index.json` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    root: String,
    at: UnixSecs,
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    code: String,
    policy: Wanted,
}

/// What differs from a policy that asks for nothing.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    at: Option<UnixSecs>,
    repo: Option<String>,
    env: Option<Env>,
    maintainers: Vec<PublicKey>,
    threshold: Option<usize>,
    min_version: Option<String>,
    pcrs: Vec<(u8, Pcr)>,
    allow_debug: bool,
    max_age_secs: Option<u64>,
}

pub(crate) static INDEX: LazyLock<Index> =
    LazyLock::new(|| serde_json::from_slice(&std::fs::read(folder().join("index.json")).unwrap()).unwrap());

impl Index {
    pub(crate) fn root(&self) -> TrustRoot {
        TrustRoot::from_der(&STANDARD.decode(&self.root).unwrap()).unwrap()
    }

    /// Asks for nothing but soundness.
    pub(crate) fn policy(&self) -> Policy {
        Policy::new(self.root(), self.at)
    }
}

impl Wanted {
    fn policy(&self) -> Policy {
        let policy = INDEX.policy();
        Policy {
            at: self.at.unwrap_or(policy.at),
            repo: self.repo.clone(),
            env: self.env,
            maintainers: self.maintainers.iter().copied().collect(),
            threshold: self.threshold.unwrap_or(policy.threshold),
            min_version: self.min_version.as_ref().map(|text| text.parse().unwrap()),
            pcrs: self.pcrs.clone(),
            allow_debug: self.allow_debug,
            max_age_secs: self.max_age_secs,
            ..policy
        }
    }
}

pub(crate) fn read(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn verdict(file: &str, policy: &Policy) -> String {
    let event = match CheckedEvent::parse(&read(file)) {
        Ok(event) => event,
        Err(_) => return "event_invalid".to_owned(),
    };
    let verdict = if file.starts_with("container/") {
        VerifiedContainer::verify(&event, policy).map(drop)
    } else {
        VerifiedInstance::verify(&event, policy).map(drop)
    };
    verdict.map_or_else(|e| e.code().to_owned(), |()| "accepted".to_owned())
}

#[test]
fn kept_events_have_their_verdicts() {
    let cases = INDEX.cases.iter();
    let found: BTreeMap<_, _> =
        cases.clone().map(|(file, case)| (file, verdict(file, &case.policy.policy()))).collect();
    let expected: BTreeMap<_, _> = cases.map(|(file, case)| (file, case.code.clone())).collect();
    assert_eq!(found, expected);
    let accepted = expected.values().filter(|code| *code == "accepted").count();
    assert!(accepted > 10 && expected.len() - accepted > 100, "{accepted} of {}", expected.len());
}

#[test]
fn every_file_is_in_the_index() {
    let mut files = Vec::new();
    for form in ["announcement", "container", "older"] {
        for entry in std::fs::read_dir(folder().join(form)).unwrap() {
            files.push(format!("{form}/{}", entry.unwrap().file_name().to_string_lossy()));
        }
    }
    files.sort();
    assert_eq!(files, INDEX.cases.keys().cloned().collect::<Vec<_>>());
}

/// A root of development is believed where it is named, and nowhere else.
#[test]
fn no_kept_event_passes_under_the_root_of_aws() {
    for (file, case) in INDEX.cases.iter().filter(|(_, case)| case.code == "accepted") {
        let policy = Policy { root: TrustRoot::aws(), ..case.policy.policy() };
        assert_eq!(verdict(file, &policy), "chain_untrusted", "{file}");
    }
}

/// Every refusal has the code that `encli` shows; a code without an event would be one that nobody tries.
#[test]
fn every_code_of_the_conventions_is_tried() {
    let tried: std::collections::BTreeSet<_> = INDEX.cases.values().map(|case| case.code.as_str()).collect();
    for code in [
        "accepted",
        "builder_invalid",
        "event_invalid",
        "expired",
        "key_mismatch",
        "launcher_invalid",
        "ref_mismatch",
        "release_invalid",
        "release_missing",
    ] {
        assert!(tried.contains(code), "{code}");
    }
}
