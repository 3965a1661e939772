//! Dependencies point downwards.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::metadata::{Metadata, Package};
use crate::{none, one};

/// Each package in its layer; see ARCHITECTURE.md. Some are planned and not there yet.
const LAYERS: [&[&str]; 7] = [
    &["units", "vectors"],
    &["attestation", "guard", "ledger", "lifecycle", "quorum", "service"],
    &["protocol"],
    &["attestation-sim", "backup", "relay", "transport"],
    &["instance", "keyholder"],
    &["echo", "encli", "enclaved", "enclaved-parent", "image", "ingress", "keycrux", "nwc"],
    &["bench", "devnet", "tests"],
];
/// The layer of what ships: programs that know each other by what they say only.
const PROGRAMS: usize = 5;
/// The layer of what sees everything.
const TOP: usize = 6;
/// The lowest layer whose tests may need more than the layers of rules and messages, 0 to 2.
const LOWEST_WITH_PEERS: usize = 3;

/// Dependencies of tests that point upwards nevertheless: from, to, why.
const DEV_EXCEPTIONS: &[(&str, &str, &str)] = &[];

#[test]
fn workspace_dependencies_point_downwards() -> Result<()> {
    let metadata = Metadata::load()?;
    let members: Vec<_> = metadata.members().collect();
    none(&faults(&members, DEV_EXCEPTIONS));
    Ok(())
}

/// The packages that ship.
pub(crate) fn programs() -> &'static [&'static str] {
    LAYERS[PROGRAMS]
}

fn faults(members: &[&Package], dev_exceptions: &[(&str, &str, &str)]) -> Vec<String> {
    let layers: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(layer, names)| names.iter().map(move |name| (*name, layer)))
        .collect();
    let mut faults = Vec::new();
    let mut needed = Vec::new();
    for member in members {
        let from = member.name.as_str();
        let Some(&own) = layers.get(from) else {
            faults.push(format!(
                "{from} has no layer: add it to LAYERS in tests/tests/tidy/layers.rs and to ARCHITECTURE.md"
            ));
            continue;
        };
        for dependency in &member.dependencies {
            let to = dependency.name.as_str();
            let Some(&other) = layers.get(to).filter(|_| members.iter().any(|member| member.name == to))
            else {
                continue;
            };
            let is_dev = dependency.kind.as_deref() == Some("dev");
            let highest = highest(own, is_dev);
            if highest.is_some_and(|highest| other <= highest) || from == to {
                continue;
            }
            if is_dev && dev_exceptions.iter().any(|(f, t, _)| (*f, *t) == (from, to)) {
                needed.push((from, to));
                continue;
            }
            let what = if is_dev { "a test of " } else { "" };
            let allowed =
                highest.map_or("nothing of ours".to_owned(), |highest| format!("layers 0 to {highest}"));
            faults.push(format!(
                "{what}{from} (layer {own}) uses {to} (layer {other}) but may use {allowed}: move what both \
                 need into a lower layer, or the test into `tests`"
            ));
        }
    }
    for (from, to, _) in dev_exceptions.iter().filter(|(from, to, _)| !needed.contains(&(from, to))) {
        faults.push(format!("{from} → {to} is no exception any more: remove it from DEV_EXCEPTIONS"));
    }
    faults
}

/// The highest layer that may be used from another one.
fn highest(own: usize, is_dev: bool) -> Option<usize> {
    match (own, is_dev) {
        (TOP, _) => Some(TOP),
        // Tests of two programs together belong to the top.
        (PROGRAMS, true) => Some(PROGRAMS - 1),
        (_, true) => Some(own.max(LOWEST_WITH_PEERS - 1)),
        (_, false) => own.checked_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::package;

    fn check(members: &[Package], exceptions: &[(&str, &str, &str)], says: &[&str]) {
        let members: Vec<_> = members.iter().collect();
        let faults = faults(&members, exceptions);
        if says.is_empty() { assert_eq!(faults, [""; 0]) } else { one(&faults, says) }
    }

    #[test]
    fn direction_is_told_by_layer_and_kind() {
        let units = || package("units", &[]);
        let relay = || package("relay", &[]);
        let sim = || package("attestation-sim", &[]);
        let attestation = |kind| package("attestation", &[("attestation-sim", kind)]);
        check(&[units(), package("relay", &[("units", None), ("tokio", None)])], &[], &[]);
        check(&[package("units", &[("relay", None)]), relay()], &[], &["units (layer 0)", "nothing of ours"]);
        check(&[package("units", &[("relay", Some("build"))]), relay()], &[], &["units (layer 0)"]);
        check(&[package("transport", &[("relay", None)]), relay()], &[], &["layer 3", "layers 0 to 2"]);
        check(&[package("transport", &[("relay", Some("dev"))]), relay()], &[], &[]);
        check(
            &[package("nwc", &[]), package("enclaved", &[("nwc", None)])],
            &[],
            &["enclaved (layer 5) uses nwc"],
        );
        check(
            &[package("nwc", &[]), package("enclaved", &[("nwc", Some("dev"))])],
            &[],
            &["a test of enclaved"],
        );
        check(&[package("devnet", &[]), package("nwc", &[("devnet", Some("dev"))])], &[], &["into `tests`"]);
        check(&[package("devnet", &[]), package("tests", &[("devnet", Some("dev"))])], &[], &[]);
        check(&[sim(), package("encli", &[("attestation-sim", Some("dev"))])], &[], &[]);
        check(&[sim(), attestation(Some("dev"))], &[], &["a test of attestation (layer 1)", "layers 0 to 2"]);
        let exception = [("attestation", "attestation-sim", "documents need a device")];
        check(&[sim(), attestation(Some("dev"))], &exception, &[]);
        check(&[sim(), attestation(None)], &[], &["attestation (layer 1)"]);
        check(&[sim(), package("attestation", &[])], &exception, &["remove it from DEV_EXCEPTIONS"]);
    }

    #[test]
    fn unknown_member_is_told_where_to_be_added() {
        check(&[package("newcomer", &[])], &[], &["newcomer has no layer", "add it to LAYERS"]);
    }
}
