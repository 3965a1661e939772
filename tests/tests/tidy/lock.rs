//! What is fetched is pinned, and comes from where everybody gets it: no file of ours names another place.

use anyhow::Result;
use serde_json::Value;

use crate::metadata::{Metadata, Package};
use crate::tracked::File;
use crate::{none, one};

/// Versions that must not move by themselves: package, version, why.
const PINNED: &[(&str, &str, &str)] = &[(
    "nostr-sdk",
    "0.45.5",
    "the first with the fix for forged events under a cached id; read the changes before moving it",
)];
/// Where Cargo fetches from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Files that would send a package manager elsewhere on every machine.
const SETTINGS: [&str; 3] = [".npmrc", ".yarnrc", "pip.conf"];
/// Tables of Cargo's configuration that would.
const TABLES: [&str; 5] = ["http", "net", "registries", "registry", "source"];

#[test]
fn pinned_packages_have_their_version() -> Result<()> {
    none(&pin_faults(&Metadata::load()?.packages, PINNED));
    Ok(())
}

#[test]
fn packages_come_from_public_registries() -> Result<()> {
    let mut faults = source_faults(&Metadata::load()?.packages);
    for file in File::all()? {
        faults.extend(setting_faults(&file)?);
    }
    none(&faults);
    Ok(())
}

fn pin_faults(packages: &[Package], pinned: &[(&str, &str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, version, why) in pinned {
        let found: Vec<_> = packages.iter().filter(|p| p.name == *name).map(|p| p.version.as_str()).collect();
        if found != [*version] {
            faults.push(format!(
                "{name} is at {found:?} in Cargo.lock: `cargo update -p {name} --precise {version}` ({why})"
            ));
        }
    }
    faults
}

fn source_faults(packages: &[Package]) -> Vec<String> {
    let fetched = packages.iter().filter_map(|package| Some((package, package.source.as_ref()?)));
    let elsewhere = fetched.filter(|(_, source)| *source != CRATES_IO);
    elsewhere
        .map(|(p, source)| format!("{} comes from {source}: use a release on crates.io", p.name))
        .collect()
}

fn setting_faults(file: &File) -> Result<Vec<String>> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let mut faults = Vec::new();
    if SETTINGS.contains(&name) {
        faults.push(format!("{}: where packages come from is a setting of a machine: remove it", file.path));
    }
    if file.path.ends_with(".cargo/config.toml") {
        let settings: toml::Table = file.text().parse()?;
        for table in TABLES.iter().filter(|table| settings.contains_key(**table)) {
            faults.push(format!("{}: [{table}] is a setting of a machine: remove it", file.path));
        }
    }
    if name == "package-lock.json" {
        let lock: Value = serde_json::from_str(file.text())?;
        for (package, entry) in lock["packages"].as_object().into_iter().flatten() {
            // The project itself has no name here, and is not fetched.
            if package.is_empty() {
                continue;
            }
            if let Some(source) = entry["resolved"].as_str() {
                let remedy = "where it comes from is a setting of a machine: lock with omit-lockfile-registry-resolved";
                faults.push(format!("{}: {package} comes from {source}: {remedy}", file.path));
            }
            // What is fetched is known by its hash, wherever it comes from.
            if !entry["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-")) {
                faults.push(format!("{}: {package} has no `integrity`: lock it again", file.path));
            }
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::package;

    #[test]
    fn moved_or_doubled_pin_is_found() {
        let pin = [("a", "1.0.0", "a reason")];
        let at = |version: &str| Package { version: version.to_owned(), ..package("a", &[]) };
        assert_eq!(pin_faults(&[at("1.0.0")], &pin), [""; 0]);
        one(&pin_faults(&[at("1.0.1")], &pin), &["1.0.1", "--precise 1.0.0", "a reason"]);
        one(&pin_faults(&[at("1.0.0"), at("2.0.0")], &pin), &["2.0.0"]);
        one(&pin_faults(&[], &pin), &["a is at []"]);
    }

    #[test]
    fn other_source_is_found() {
        let from = |source: &str| Package { source: Some(source.to_owned()), ..package("a", &[]) };
        assert_eq!(source_faults(&[package("a", &[]), from(CRATES_IO)]), [""; 0]);
        one(
            &source_faults(&[from("git+https://example.org/a")]),
            &["a comes from git+https://example.org/a"],
        );
    }

    #[test]
    fn setting_of_one_machine_is_found() {
        let check = |path: &str, text: &str| setting_faults(&File::new(path, text)).unwrap();
        one(&check("a/.npmrc", ""), &["a/.npmrc"]);
        one(&check(".cargo/config.toml", "source.crates-io.replace-with = 'b'"), &["[source]"]);
        assert_eq!(check(".cargo/config.toml", "build.target = 'x'"), [""; 0]);
        let lock = |entry: &str| format!(r#"{{"packages": {{"": {{}}, "x": {{{entry}}}}}}}"#);
        let check_lock = |entry: &str| check("tests/package-lock.json", &lock(entry));
        let hash = r#""integrity": "sha512-AA==""#;
        assert_eq!(check_lock(hash), [""; 0]);
        one(&check_lock(""), &["x has no `integrity`"]);
        one(&check_lock(r#""integrity": "sha1-AA==""#), &["x has no `integrity`"]);
        one(
            &check_lock(&format!(r#"{hash}, "resolved": "https://example.org/x.tgz""#)),
            &["x comes from https://example.org/x.tgz"],
        );
    }
}
