//! Libraries that only some packages may use, and why.

use anyhow::Result;

use crate::metadata::{Metadata, Package};
use crate::{none, one};

/// A library, the only packages that may use it, and why.
const CONFINED: &[(&str, &[&str], &str)] = &[
    ("nostr-sdk", &["relay"], "its events become ours only by `relay`'s own check of id and signature"),
    ("bollard", &["bench", "devnet", "enclaved", "tests"], "nobody but the daemon commands an engine"),
    ("nftables", &["enclaved"], "nobody but the daemon filters packets"),
    ("tokio-vsock", &["transport"], "vsock is one of the ways of `transport`"),
    (
        "rcgen",
        &["attestation-sim", "devnet", "encli"],
        "servers certify by the device or by events; encli makes a builder's signing certificate",
    ),
];
/// Packages that decide and do not act, and what they must therefore not use.
const PURE: [&str; 3] = ["lifecycle", "protocol", "units"];
const ACTING: [&str; 7] = ["axum", "bollard", "nix", "reqwest", "rusqlite", "tokio", "tracing"];

#[test]
fn libraries_stay_where_they_belong() -> Result<()> {
    let metadata = Metadata::load()?;
    let members: Vec<_> = metadata.members().collect();
    none(&faults(&members));
    Ok(())
}

/// Faults in what is compiled in; tests may use what they like.
fn faults(members: &[&Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for member in members {
        let compiled_in = member.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev"));
        for name in compiled_in.map(|dependency| dependency.name.as_str()) {
            for (_, at, why) in CONFINED
                .iter()
                .filter(|(library, at, _)| *library == name && !at.contains(&member.name.as_str()))
            {
                faults.push(format!("{} uses {name}, which only {} may: {why}", member.name, at.join(", ")));
            }
            if PURE.contains(&member.name.as_str()) && ACTING.contains(&name) {
                faults.push(format!(
                    "{} uses {name}, but decides only: return what is to be done, and let a caller do it",
                    member.name
                ));
            }
        }
    }
    faults
}

#[test]
fn library_in_a_wrong_place_is_found() {
    one(&faults(&[&package("nwc", &[("nostr-sdk", None)])]), &["nwc uses nostr-sdk", "only relay"]);
    one(&faults(&[&package("lifecycle", &[("tokio", None)])]), &["lifecycle uses tokio", "decides only"]);
    assert_eq!(faults(&[&package("lifecycle", &[("tokio", Some("dev"))])]), [""; 0]);
    assert_eq!(faults(&[&package("relay", &[("nostr-sdk", None), ("tokio", None)])]), [""; 0]);
}

#[cfg(test)]
use crate::members::package;
