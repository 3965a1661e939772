//! Manifests say nothing that the workspace says already.

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::metadata::{Metadata, root};
use crate::{none, one};

/// What every package inherits.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// Packages that are not called as their folder: folder, name, why.
const NAMED_OTHERWISE: &[(&str, &str, &str)] = &[
    ("daemon", "enclaved", "the program's name, after the project's"),
    ("parent", "enclaved-parent", "the program's name on a host that runs other things"),
    ("cli", "encli", "the program's name, short to type"),
];

/// A member's manifest.
pub(crate) struct Manifest {
    /// From the root of the workspace.
    pub(crate) folder: String,
    pub(crate) table: Table,
}

impl Manifest {
    /// Those of all members.
    pub(crate) fn all() -> Result<Vec<Self>> {
        Metadata::load()?.members().map(|member| Self::in_folder(member.folder()?)).collect()
    }

    fn in_folder(folder: &str) -> Result<Self> {
        let path = root().join(folder).join("Cargo.toml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self { folder: folder.to_owned(), table: text.parse()? })
    }

    #[cfg(test)]
    pub(crate) fn new(folder: &str, text: &str) -> Self {
        Self { folder: folder.to_owned(), table: text.parse().unwrap() }
    }

    pub(crate) fn name(&self) -> &str {
        get(&self.table, &["package", "name"]).and_then(Value::as_str).unwrap_or_default()
    }

    /// Every dependency of every kind: the table's name, the dependency's, what is said of it.
    pub(crate) fn dependencies(&self) -> Vec<(&str, &str, &Value)> {
        let platforms = self.table.get("target").and_then(Value::as_table).into_iter().flatten();
        let tables = platforms.filter_map(|(_, table)| table.as_table()).chain([&self.table]);
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        let found =
            tables.flat_map(|table| kinds.map(|kind| (kind, table.get(kind).and_then(Value::as_table))));
        let lines = found.filter_map(|(kind, lines)| Some((kind, lines?)));
        lines
            .flat_map(|(kind, lines)| lines.iter().map(move |(name, said)| (kind, name.as_str(), said)))
            .collect()
    }
}

/// The dependencies that the workspace declares.
pub(crate) fn declared() -> Result<Table> {
    let manifest = Manifest::in_folder("")?;
    let found = get(&manifest.table, &["workspace", "dependencies"]).and_then(Value::as_table);
    found.cloned().context("Cargo.toml has no [workspace.dependencies]")
}

#[test]
fn manifests_inherit_from_the_workspace() -> Result<()> {
    let manifests = Manifest::all()?;
    none(&manifests.iter().flat_map(inheritance_faults).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn packages_are_called_as_their_folders() -> Result<()> {
    none(&name_faults(&Manifest::all()?));
    Ok(())
}

fn inheritance_faults(manifest: &Manifest) -> Vec<String> {
    let at = format!("{}/Cargo.toml", manifest.folder);
    let mut faults = Vec::new();
    for key in INHERITED {
        if get(&manifest.table, &["package", key, "workspace"]) != Some(&Value::Boolean(true)) {
            faults.push(format!("{at}: say `{key}.workspace = true` under [package]"));
        }
    }
    if get(&manifest.table, &["lints", "workspace"]) != Some(&Value::Boolean(true)) {
        faults.push(format!("{at}: say `workspace = true` under [lints]"));
    }
    if get(&manifest.table, &["package", "description"]).and_then(Value::as_str).is_none() {
        faults.push(format!("{at}: give it a `description`"));
    }
    for (kind, name, said) in manifest.dependencies() {
        if said.get("workspace") != Some(&Value::Boolean(true)) {
            faults.push(format!(
                "{at}: say `{name}.workspace = true` under [{kind}], and the rest in the workspace's Cargo.toml"
            ));
        }
    }
    faults
}

fn name_faults(manifests: &[Manifest]) -> Vec<String> {
    let mut faults = Vec::new();
    for manifest in manifests {
        let leaf = manifest.folder.rsplit('/').next().unwrap_or_default();
        let exception = NAMED_OTHERWISE.iter().find(|(folder, ..)| *folder == manifest.folder);
        let wanted = exception.map_or(leaf, |(_, name, _)| name);
        if manifest.name() != wanted {
            faults.push(format!(
                "{}: the package is called {}: call it {wanted}, or say why in NAMED_OTHERWISE in {}",
                manifest.folder,
                manifest.name(),
                file!()
            ));
        }
    }
    let is_there = |folder: &str| manifests.iter().any(|manifest| manifest.folder == folder);
    for (folder, ..) in NAMED_OTHERWISE.iter().filter(|(folder, ..)| !is_there(folder)) {
        faults.push(format!("{folder} is gone: remove it from NAMED_OTHERWISE in {}", file!()));
    }
    faults
}

fn get<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "package = { name = 'a', description = 'd', version.workspace = true, \
        edition.workspace = true, rust-version.workspace = true, license.workspace = true, \
        publish.workspace = true }\nlints.workspace = true\ndependencies.hex.workspace = true";

    fn check(from: &str, to: &str, says: &[&str]) {
        assert!(GOOD.contains(from));
        one(&inheritance_faults(&Manifest::new("crates/a", &GOOD.replace(from, to))), says);
    }

    #[test]
    fn what_is_not_inherited_is_found() {
        assert_eq!(inheritance_faults(&Manifest::new("crates/a", GOOD)), [""; 0]);
        check(
            "version.workspace = true, ed",
            "version = '1.0.0', ed",
            &["crates/a/Cargo.toml", "version.workspace"],
        );
        check("license.workspace = true", "license = 'MIT'", &["license.workspace"]);
        check("lints.workspace = true", "lints.rust.dead_code = 'allow'", &["[lints]"]);
        check("description = 'd', ", "", &["description"]);
        check("hex.workspace = true", "hex = '0.4'", &["hex.workspace = true", "[dependencies]"]);
        check(
            "dependencies.hex.workspace = true",
            "dev-dependencies.b.path = '../b'",
            &["[dev-dependencies]"],
        );
        check(
            "dependencies.hex.workspace = true",
            "target.'cfg(unix)'.build-dependencies.cc = '1'",
            &["cc.workspace = true", "[build-dependencies]"],
        );
    }

    #[test]
    fn name_other_than_the_folder_needs_a_reason() {
        let named = |folder, name| Manifest::new(folder, &format!("package.name = '{name}'"));
        let rest = || [named("daemon", "enclaved"), named("parent", "enclaved-parent")];
        let with = |manifest| Vec::from_iter(rest().into_iter().chain([manifest]));
        one(&name_faults(&with(named("cli", "cli"))), &["cli: the package is called cli: call it encli"]);
        one(&name_faults(&with(named("crates/cli", "cli"))), &["cli is gone"]);
        let mut all = with(named("cli", "encli"));
        assert_eq!(name_faults(&all), [""; 0]);
        all.push(named("crates/units", "amounts"));
        one(&name_faults(&all), &["crates/units", "call it units"]);
    }
}
