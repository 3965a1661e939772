//! Made-up packages for the tests of the rules.
#![cfg(test)]

use crate::metadata::{Dependency, Package};

/// A package with dependencies: the name and the kind of each.
pub(crate) fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
    let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
        name: (*name).to_owned(),
        kind: kind.map(str::to_owned),
    };
    Package {
        id: name.to_owned(),
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        license: Some("MIT".to_owned()),
        source: None,
        manifest_path: format!("/{name}/Cargo.toml").into(),
        dependencies: dependencies.iter().map(dependency).collect(),
        targets: Vec::new(),
    }
}
