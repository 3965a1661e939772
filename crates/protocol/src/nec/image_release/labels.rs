//! The labels of an image that say who may release the next one.

use std::collections::{BTreeMap, BTreeSet};

use nostr::key::PublicKey;
use thiserror::Error;

use crate::nec::Version;

/// Most signers of an image: each of them must sign each release, and all signatures stand in one event.
pub const SIGNERS_MAX: usize = 16;
/// Most relays that an image names for one purpose: each is a connection of the server.
const RELAYS_MAX: usize = 8;
/// Longest address of a relay, in bytes.
const RELAY_BYTES_MAX: usize = 256;
/// Longest name of a repository, in bytes: it stands in a tag and in logs.
const REPO_BYTES_MAX: usize = 256;

/// What an image says of its releases, in labels of its configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImageLabels {
    /// The repository of its code.
    pub repo: String,
    /// Its version.
    pub version: Version,
    /// Who signs the release after it; all of them must.
    pub signers: BTreeSet<PublicKey>,
    /// Relays of the signers.
    pub signer_relays: Vec<String>,
    /// Relays on which releases are looked for.
    pub upgrade_relays: Vec<String>,
}

/// A label is missing or malformed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("the image's label `{label}` {problem}")]
pub struct LabelError {
    /// Which label.
    label: &'static str,
    /// What is wrong with it, and what is wanted.
    problem: String,
}

impl ImageLabels {
    /// Reads the labels of an image.
    ///
    /// # Errors
    /// [`LabelError`], naming the label.
    pub fn read(labels: &BTreeMap<String, String>) -> Result<Self, LabelError> {
        let signer_relays = relays("signer_relays", wanted(labels, "signer_relays")?)?;
        let upgrade_relays = match labels.get("upgrade_relays").map(String::as_str) {
            None | Some("") => signer_relays.clone(),
            Some(list) => relays("upgrade_relays", list)?,
        };
        let repo = wanted(labels, "repo")?;
        if repo.len() > REPO_BYTES_MAX || repo.chars().any(char::is_control) {
            return Err(wrong("repo", format!("must have at most {REPO_BYTES_MAX} printable bytes")));
        }
        let version = wanted(labels, "version")?;
        Ok(Self {
            repo: repo.to_owned(),
            version: version.parse().map_err(|e| wrong("version", format!("is {version:.80?}: {e}")))?,
            signers: signers(wanted(labels, "signers")?)?,
            signer_relays,
            upgrade_relays,
        })
    }
}

fn wanted<'l>(labels: &'l BTreeMap<String, String>, label: &'static str) -> Result<&'l str, LabelError> {
    match labels.get(label).map(|value| value.trim()) {
        Some(value) if !value.is_empty() => Ok(value),
        Some(_) | None => Err(wrong(label, "is missing; set it when the image is built".to_owned())),
    }
}

const fn wrong(label: &'static str, problem: String) -> LabelError {
    LabelError { label, problem }
}

/// A list with commas between; white space around an item does not count, nor does an empty one.
fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn signers(list: &str) -> Result<BTreeSet<PublicKey>, LabelError> {
    let mut signers = BTreeSet::new();
    for hex in items(list) {
        // The library takes capitals, too, and another reader of the label might not.
        let key = PublicKey::from_hex(hex).ok().filter(|key| key.to_hex() == hex);
        let Some(key) = key else {
            let problem = "must be keys of 64 small hex digits, with commas between";
            return Err(wrong("signers", problem.to_owned()));
        };
        signers.insert(key);
    }
    if signers.is_empty() || signers.len() > SIGNERS_MAX {
        return Err(wrong("signers", format!("must name 1 to {SIGNERS_MAX} keys")));
    }
    Ok(signers)
}

fn relays(label: &'static str, list: &str) -> Result<Vec<String>, LabelError> {
    let mut relays: Vec<String> = Vec::new();
    for url in items(list) {
        let is_relay = url.starts_with("wss://") || url.starts_with("ws://");
        if !is_relay || url.len() > RELAY_BYTES_MAX {
            return Err(wrong(label, "must be relays, wss://… with commas between".to_owned()));
        }
        if !relays.iter().any(|known| known == url) {
            relays.push(url.to_owned());
        }
    }
    if relays.is_empty() || relays.len() > RELAYS_MAX {
        return Err(wrong(label, format!("must name 1 to {RELAYS_MAX} relays")));
    }
    Ok(relays)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    fn good() -> BTreeMap<String, String> {
        let pairs = [
            ("repo", "https://example.com/app"),
            ("version", "1.2.3"),
            ("signers", KEY),
            ("signer_relays", " wss://a.example ,wss://b.example,, wss://a.example"),
            ("org.opencontainers.image.title", "app"),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn with(label: &str, value: &str) -> Result<ImageLabels, LabelError> {
        let mut labels = good();
        labels.insert(label.to_owned(), value.to_owned());
        ImageLabels::read(&labels)
    }

    #[test]
    fn labels_are_read() {
        let labels = ImageLabels::read(&good()).unwrap();
        assert_eq!(
            (labels.repo.as_str(), labels.version.to_string().as_str()),
            ("https://example.com/app", "1.2.3")
        );
        assert_eq!(labels.signers, BTreeSet::from([PublicKey::from_hex(KEY).unwrap()]));
        assert_eq!(labels.signer_relays, ["wss://a.example", "wss://b.example"]);
        assert_eq!(labels.upgrade_relays, labels.signer_relays);
        assert_eq!(with("upgrade_relays", "").unwrap(), labels);
        assert_eq!(with("upgrade_relays", "ws://c.example").unwrap().upgrade_relays, ["ws://c.example"]);
    }

    #[test]
    fn label_that_is_missing_or_malformed_is_named() {
        for label in ["repo", "version", "signers", "signer_relays"] {
            let mut labels = good();
            labels.remove(label);
            let error = ImageLabels::read(&labels).unwrap_err().to_string();
            assert!(error.contains(&format!("`{label}` is missing")), "{error}");
            assert_eq!(with(label, " ").unwrap_err().to_string(), error);
        }
        let many_relays = (0..9).map(|i| format!("wss://{i}.example")).collect::<Vec<_>>().join(",");
        let many_keys = (1..=17_u8)
            .map(|i| nostr::key::Keys::parse(&hex::encode([i; 32])).unwrap().public_key().to_hex());
        for (label, bad) in [
            ("version", "1.2"),
            ("version", "v1.2.3"),
            ("signers", "npub1"),
            ("signers", ","),
            ("signers", &KEY.to_uppercase()),
            ("signers", &format!("{KEY};{KEY}")),
            ("signers", &many_keys.collect::<Vec<_>>().join(",")),
            ("signer_relays", "https://a.example"),
            ("signer_relays", &format!("wss://{}", "a".repeat(256))),
            ("signer_relays", &many_relays),
            ("upgrade_relays", "a.example"),
            ("repo", &"r".repeat(257)),
            ("repo", "a\u{7}b"),
        ] {
            let error = with(label, bad).expect_err(bad).to_string();
            assert!(error.contains(label), "{label} {bad}: {error}");
        }
    }
}
