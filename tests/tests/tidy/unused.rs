//! Nothing is declared that nothing uses: each dependency costs time to build and has to be trusted.

use std::collections::BTreeSet;

use anyhow::Result;
use toml::Table;

use crate::manifests::{Manifest, declared};
use crate::tracked::File;
use crate::{none, one};

/// Dependencies that no line names, and what they are there for: package, dependency, why.
const UNNAMED: &[(&str, &str, &str)] =
    &[("enclaved-parent", "reqwest", "object_store speaks TLS with the features that this chooses")];

#[test]
fn workspace_dependencies_are_used_by_a_member() -> Result<()> {
    none(&workspace_faults(&declared()?, &Manifest::all()?));
    Ok(())
}

#[test]
fn members_use_what_they_declare() -> Result<()> {
    none(&member_faults(&Manifest::all()?, &File::all()?, UNNAMED));
    Ok(())
}

fn workspace_faults(declared: &Table, manifests: &[Manifest]) -> Vec<String> {
    let used: BTreeSet<_> =
        manifests.iter().flat_map(|manifest| manifest.dependencies()).map(|(_, name, _)| name).collect();
    let unused = declared.keys().filter(|name| !used.contains(name.as_str()));
    unused.map(|name| format!("no member uses {name}: remove it from [workspace.dependencies]")).collect()
}

fn member_faults(manifests: &[Manifest], files: &[File], unnamed: &[(&str, &str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut needed = Vec::new();
    for manifest in manifests {
        let folder = format!("{}/", manifest.folder);
        let sources = || files.iter().filter(|file| file.is_rust() && file.path.starts_with(&folder));
        for (kind, name, _) in manifest.dependencies() {
            let word = name.replace('-', "_");
            let counts = |file: &&File| kind != "dependencies" || !file.is_test();
            if sources().filter(counts).any(|file| file.code_lines().any(|(_, line)| names(line, &word))) {
                continue;
            }
            let exception = unnamed.iter().find(|(p, d, _)| *p == manifest.name() && *d == name);
            match exception {
                Some(exception) => needed.push(exception),
                None => faults.push(format!(
                    "{folder}: no line names {word}: remove {name} from [{kind}] (what only tests name goes \
                     to [dev-dependencies]), or say in UNNAMED in {} what it is for",
                    file!()
                )),
            }
        }
    }
    for (package, name, _) in unnamed.iter().filter(|exception| !needed.contains(exception)) {
        faults.push(format!("{package} names {name}, or is gone: remove it from UNNAMED in {}", file!()));
    }
    faults
}

/// Whether the line names the library: `hex::`, `use hex;`, `use hex as`.
fn names(line: &str, library: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(library).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + library.len()..]);
        let is_used = before.ends_with("use ") && (after.starts_with(';') || after.starts_with(" as "));
        is_used || after.starts_with("::") && !before.ends_with(is_part)
    })
}

#[test]
fn unused_workspace_dependency_is_found() {
    let manifests = [Manifest::new("a", "dev-dependencies.hex.workspace = true")];
    let declared: Table = "hex = '0.4'\ntar = '0.4'".parse().unwrap();
    one(&workspace_faults(&declared, &manifests), &["no member uses tar"]);
}

#[test]
fn dependency_that_no_line_names_is_found() {
    let manifest = "package.name = 'a'\ndependencies.serde-json.workspace = true";
    let in_file = |path: &str, text: &str, unnamed: &[_]| {
        member_faults(&[Manifest::new("crates/a", manifest)], &[File::new(path, text)], unnamed)
    };
    let check = |text: &str, unnamed: &[_]| in_file("crates/a/src/lib.rs", text, unnamed);
    let exception = [("a", "serde-json", "its features")];
    assert_eq!(check("use serde_json::Value;", &[]), [""; 0]);
    one(&check("// serde_json\nuse serde;", &[]), &["crates/a/: no line names serde_json"]);
    one(&check("let serde_json = 1;", &[]), &["crates/a/"]);
    one(&in_file("crates/a/src/b/tests.rs", "use serde_json::Value;", &[]), &["to [dev-dependencies]"]);
    one(&in_file("crates/ab/src/lib.rs", "use serde_json::Value;", &[]), &["crates/a/"]);
    assert_eq!(check("", &exception), [""; 0]);
    one(&check("use serde_json::Value;", &exception), &["remove it from UNNAMED"]);
}
