//! The fixtures of `crates/protocol`: some of the family's events, kept as files, so that the verifier's
//! own tests need no simulated NSM, and so that today's verifier is held to yesterday's events.
//!
//! `ENCLAVED_WRITE_FIXTURES=1 cargo test -p tests --test interop fixtures` makes them anew, all of them
//! under a new root; otherwise the test here holds that each has the verdict that the family says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::nec::Policy;
use serde_json::{Value, json};

use crate::faults::{self, Fault, Form};
use crate::stage::{NOW, Stage};

/// Which ones: at least one for every reason to refuse that the verifier has.
const KEPT: &str = include_str!("fixtures/kept.txt");

#[test]
fn kept_events_have_the_verdicts_of_the_family() -> Result<()> {
    let faults = kept()?;
    if std::env::vars_os().any(|(name, _)| name == "ENCLAVED_WRITE_FIXTURES") {
        write(&faults)?;
    }
    let index: Value = serde_json::from_slice(&std::fs::read(folder().join("index.json"))?)?;
    let cases = index["cases"].as_object().context("cases")?;
    let expected: BTreeMap<_, _> = faults.iter().map(|it| (file(it), it.code)).collect();
    let found: BTreeMap<_, _> =
        cases.iter().map(|(file, case)| (file.clone(), case["code"].as_str().unwrap())).collect();
    assert_eq!(found, expected, "write the fixtures anew: the family says otherwise");
    Ok(())
}

fn kept() -> Result<Vec<Fault>> {
    let mut all: BTreeMap<String, Fault> = faults::all()
        .into_iter()
        .chain(faults::of_our_own())
        .map(|fault| (fault.name.clone(), fault))
        .collect();
    KEPT.lines()
        .map(|name| all.remove(name).with_context(|| format!("no fault {name:?}, or twice")))
        .collect()
}

fn write(faults: &[Fault]) -> Result<()> {
    let stage = Stage::new();
    if folder().exists() {
        std::fs::remove_dir_all(folder())?;
    }
    let mut cases = BTreeMap::new();
    for fault in faults {
        let case = fault.small_case(&stage);
        let (code, why) = case.verdict();
        ensure!(code == case.code, "{}: {code}: {why}", case.name);
        let path = folder().join(file(fault));
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(&path, case.text + "\n")?;
        cases.insert(file(fault), json!({"code": code, "policy": policy(&case.policy)}));
    }
    let index = json!({"root": STANDARD.encode(stage.root.der()), "at": NOW, "cases": cases});
    std::fs::write(folder().join("index.json"), serde_json::to_string_pretty(&index)? + "\n")?;
    Ok(())
}

/// What differs from a policy that asks for nothing.
fn policy(policy: &Policy) -> Value {
    let mut value = json!({});
    let mut set = |name: &str, is_set: bool, to: Value| {
        if is_set {
            value[name] = to;
        }
    };
    let maintainers: Vec<_> = policy.maintainers.iter().map(nostr::key::PublicKey::to_hex).collect();
    set("at", policy.at != NOW, json!(policy.at));
    set("repo", policy.repo.is_some(), json!(policy.repo));
    set("env", policy.env.is_some(), json!(policy.env));
    set("maintainers", !maintainers.is_empty(), json!(maintainers));
    set("threshold", policy.threshold != 1, json!(policy.threshold));
    set(
        "min_version",
        policy.min_version.is_some(),
        json!(policy.min_version.as_ref().map(ToString::to_string)),
    );
    set("pcrs", !policy.pcrs.is_empty(), json!(policy.pcrs));
    set("allow_debug", policy.allow_debug, json!(true));
    set("max_age_secs", policy.max_age_secs.is_some(), json!(policy.max_age_secs));
    value
}

/// `container/tee_cert-for-two-keys.json`
fn file(fault: &Fault) -> String {
    let folder = match fault.form {
        Form::Announcement => "announcement",
        Form::Old => "older",
        Form::Container => "container",
    };
    let words: Vec<_> = fault.name.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    format!("{folder}/{}.json", words.join("-"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/protocol/tests/fixtures")
}
