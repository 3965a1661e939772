//! Everything may be given away under the terms of LICENSE.

mod expression;

use anyhow::Result;

use self::expression::Expression;
use crate::metadata::{Metadata, Package};
use crate::{none, one};

/// Licences that ask for no more than to be named. `MIT-0`, `0BSD`, `Unlicense`, `BSL-1.0` occur only
/// beside one of these.
const ALLOWED: [&str; 8] =
    ["Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "Unicode-3.0", "Zlib"];

/// Licences of single packages: package, licence, why it does no harm.
const ALLOWED_FOR: &[(&str, &str, &str)] = &[
    ("webpki-roots", "CDLA-Permissive-2.0", "Mozilla's list of roots is data; results are free of terms"),
    ("hex_lit", "MITNFA", "the MIT licence that forbids claiming authorship of changed copies"),
];

#[test]
fn licences_are_permissive() -> Result<()> {
    none(&faults(&Metadata::load()?.packages, ALLOWED_FOR));
    Ok(())
}

fn faults(packages: &[Package], allowed_for: &[(&str, &str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut needed = Vec::new();
    for package in packages {
        let (name, said) = (&package.name, package.license.as_deref().unwrap_or_default());
        let Some(expression) = Expression::parse(said) else {
            faults.push(format!("{name} has a licence that cannot be read: {said:?}"));
            continue;
        };
        if expression.is_met(&|licence| ALLOWED.contains(&licence)) {
            continue;
        }
        let exception =
            |licence: &str| allowed_for.iter().find(|(package, l, _)| package == name && *l == licence);
        if expression.is_met(&|licence| ALLOWED.contains(&licence) || exception(licence).is_some()) {
            needed.extend(allowed_for.iter().filter(|(package, ..)| package == name));
        } else {
            faults.push(format!(
                "{name} is under {said}: use another library, or say in ALLOWED_FOR in {} why it does no harm",
                file!()
            ));
        }
    }
    for (name, licence, _) in allowed_for.iter().filter(|exception| !needed.contains(exception)) {
        faults.push(format!("{name} under {licence} is no exception any more: remove it from ALLOWED_FOR"));
    }
    faults
}

#[test]
fn licence_with_other_terms_is_found() {
    let under = |licence: Option<&str>| {
        [Package { license: licence.map(str::to_owned), ..crate::members::package("a", &[]) }]
    };
    let exception = [("a", "GPL-3.0", "made up")];
    assert_eq!(faults(&under(Some("MIT")), &[]), [""; 0]);
    one(&faults(&under(Some("GPL-3.0")), &[]), &["a is under GPL-3.0", "another library"]);
    one(&faults(&under(Some("MIT AND GPL-3.0")), &[]), &["a is under MIT AND GPL-3.0"]);
    one(&faults(&under(None), &[]), &["cannot be read"]);
    assert_eq!(faults(&under(Some("GPL-3.0")), &exception), [""; 0]);
    one(&faults(&under(Some("GPL-3.0 OR MIT")), &exception), &["remove it from ALLOWED_FOR"]);
}
