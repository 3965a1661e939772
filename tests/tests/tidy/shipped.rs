//! No program that ships can reach the simulated NSM: whoever holds it can sign any document.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Result;

use crate::layers;
use crate::metadata::{Edge, Metadata};
use crate::{none, one};

/// What must not be reached.
const SIMULATION: &str = "attestation-sim";

#[test]
fn shipped_programs_do_not_reach_the_simulated_nsm() -> Result<()> {
    none(&faults(&Metadata::load()?, layers::programs()));
    Ok(())
}

fn faults(metadata: &Metadata, programs: &[&str]) -> Vec<String> {
    let shipped = metadata.members().filter(|member| programs.contains(&member.name.as_str()));
    let paths = shipped.filter_map(|member| path_to(metadata, &member.id, SIMULATION));
    paths
        .map(|path| format!("a shipped program reaches {SIMULATION}, cut this: {}", path.join(" → ")))
        .collect()
}

/// The shortest path to the package of that name over what is compiled in: normal dependencies, and
/// build dependencies, which write code. What tests use is not walked. Optional dependencies that
/// another member switches on are: rather a path too many than one too few.
fn path_to<'a>(metadata: &'a Metadata, from: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
    let edges: BTreeMap<_, _> = metadata.resolve.nodes.iter().map(|n| (n.id.as_str(), &n.deps)).collect();
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waiting = VecDeque::from([from]);
    while let Some(at) = waiting.pop_front() {
        if names.get(at) == Some(&name) {
            let mut path = vec![at];
            while let Some(before) = path.last().filter(|id| **id != from).and_then(|id| came_from.get(id)) {
                path.push(before);
            }
            return Some(path.into_iter().rev().filter_map(|id| names.get(id).copied()).collect());
        }
        for edge in
            edges.get(at).into_iter().flat_map(|edges| edges.iter()).filter(|edge| is_compiled_in(edge))
        {
            if edge.pkg != from && !came_from.contains_key(edge.pkg.as_str()) {
                came_from.insert(&edge.pkg, at);
                waiting.push_back(&edge.pkg);
            }
        }
    }
    None
}

fn is_compiled_in(edge: &Edge) -> bool {
    edge.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::package;
    use crate::metadata::{EdgeKind, Node, Resolve};

    /// A workspace in which `enclaved` uses `relay`, and `relay` uses the simulation for this.
    fn workspace(kind: Option<&str>) -> Metadata {
        let edge = |to: &str, kind: Option<&str>| Edge {
            pkg: to.to_owned(),
            dep_kinds: vec![EdgeKind { kind: kind.map(str::to_owned) }],
        };
        let node = |id: &str, deps| Node { id: id.to_owned(), deps };
        Metadata {
            packages: ["enclaved", "relay", SIMULATION].map(|name| package(name, &[])).into(),
            workspace_members: ["enclaved", "relay", SIMULATION].map(str::to_owned).into(),
            resolve: Resolve {
                nodes: vec![
                    node("enclaved", vec![edge("relay", None)]),
                    node("relay", vec![edge(SIMULATION, kind), edge("enclaved", None)]),
                    node(SIMULATION, vec![]),
                ],
            },
        }
    }

    #[test]
    fn path_over_another_package_is_found_and_told() {
        for kind in [None, Some("build")] {
            one(&faults(&workspace(kind), &["enclaved"]), &["enclaved → relay → attestation-sim"]);
        }
    }

    #[test]
    fn what_only_tests_use_does_not_ship() {
        assert_eq!(faults(&workspace(Some("dev")), &["enclaved"]), [""; 0]);
    }
}
