//! A newcomer finds the way.

use anyhow::{Context, Result};

use crate::metadata::{Metadata, root};
use crate::tracked::{File, has_word};
use crate::{none, one};

/// What a newcomer looks for, at the root of the workspace.
const EXPECTED: [&str; 5] = ["ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md"];
/// Where every package is on the map.
const CODE_MAP: &str = "ARCHITECTURE.md";

#[test]
fn documents_are_there() -> Result<()> {
    none(&missing(&File::all()?));
    Ok(())
}

#[test]
fn links_in_documents_lead_somewhere() -> Result<()> {
    let files = File::all()?;
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    let faults = documents.flat_map(|file| link_faults(file, &|path| root().join(path).exists()));
    none(&faults.collect::<Vec<_>>());
    Ok(())
}

#[test]
fn code_map_names_every_member() -> Result<()> {
    let map = std::fs::read_to_string(root().join(CODE_MAP)).context(CODE_MAP)?;
    let metadata = Metadata::load()?;
    let members: Vec<_> = metadata
        .members()
        .map(|member| Ok((member.name.as_str(), member.folder()?)))
        .collect::<Result<_>>()?;
    none(&map_faults(&map, &members));
    Ok(())
}

#[test]
fn roots_of_libraries_and_programs_say_what_they_are() -> Result<()> {
    let metadata = Metadata::load()?;
    let mut faults = Vec::new();
    for path in metadata.members().flat_map(|member| &member.targets).map(|target| &target.src_path) {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        faults.extend(root_fault(&path.strip_prefix(root())?.display().to_string(), &text));
    }
    none(&faults);
    Ok(())
}

fn missing(files: &[File]) -> Vec<String> {
    let is_there = |name: &str| files.iter().any(|file| file.path == name && !file.text().trim().is_empty());
    let missing = EXPECTED.iter().filter(|name| !is_there(name));
    missing.map(|name| format!("{name} is missing or empty: write it")).collect()
}

/// Links to files that are not there. Those to other sites and to headings are left alone.
fn link_faults(file: &File, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let links = file.text().split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
    let local =
        links.filter(|link| !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:"));
    let dead = local.filter(|link| !exists(format!("{folder}/{link}").trim_start_matches('/')));
    dead.map(|link| format!("{}: nothing is at {link}: correct the link", file.path)).collect()
}

/// Members, by name and folder, that the map does not name in code quotes or as a folder.
fn map_faults(map: &str, members: &[(&str, &str)]) -> Vec<String> {
    let is_named = |name: &str, folder: &str| {
        let leaf = folder.rsplit('/').next().unwrap_or(folder);
        map.contains(&format!("`{name}`")) || [folder, leaf].iter().any(|f| has_word(map, &format!("{f}/")))
    };
    let unnamed = members.iter().filter(|(name, folder)| !is_named(name, folder));
    unnamed
        .map(|(name, folder)| format!("{CODE_MAP} has no entry for `{name}` ({folder}/): add it"))
        .collect()
}

fn root_fault(path: &str, text: &str) -> Option<String> {
    let says = text.starts_with("//! ");
    (!says).then(|| format!("{path}: start with a `//!` sentence that says what it is"))
}

#[test]
fn missing_and_empty_documents_are_found() {
    let all = EXPECTED.map(|name| File::new(name, "text"));
    assert_eq!(missing(&all), [""; 0]);
    one(&missing(&all[1..]), &["ARCHITECTURE.md is missing"]);
    let mut emptied = all;
    emptied[4] = File::new("SECURITY.md", "\n");
    one(&missing(&emptied), &["SECURITY.md is missing or empty"]);
}

#[test]
fn dead_link_is_found() {
    let exists = |path: &str| ["LICENSE", "docs/a.md"].contains(&path);
    let check = |path: &str, text: &str| link_faults(&File::new(path, text), &exists);
    assert_eq!(check("README.md", "[a](LICENSE) [b](docs/a.md#part) [c](https://x.org/y) [d](#e)"), [""; 0]);
    assert_eq!(check("docs/b.md", "[a](a.md)"), [""; 0]);
    one(&check("docs/b.md", "[a](LICENSE)"), &["docs/b.md: nothing is at LICENSE"]);
}

#[test]
fn member_that_the_map_leaves_out_is_found() {
    let members = [("units", "crates/units"), ("encli", "cli")];
    for map in ["`units` and `encli`", "crates/units/ and cli/", "  units/   amounts\n  cli/  program"] {
        assert_eq!(map_faults(map, &members), [""; 0], "{map}");
    }
    one(&map_faults("units of `encli`", &members), &["no entry for `units` (crates/units/)"]);
}

#[test]
fn root_without_documentation_is_found() {
    assert_eq!(root_fault("a.rs", "//! What it is.\n"), None);
    assert!(root_fault("a.rs", "use std::fs;\n").is_some_and(|fault| fault.contains("a.rs")));
}
