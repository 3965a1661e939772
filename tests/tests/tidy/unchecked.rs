//! Code that the compiler cannot vouch for stands in few places.

use anyhow::Result;

use crate::tracked::{File, has_word};
use crate::{none, one};

/// The files that hold such code, and why there is no other way.
const PLACES: &[(&str, &str)] =
    &[("crates/attestation/src/nsm/device.rs", "an ioctl with pointers to buffers has no safe interface")];
/// The keyword, and the lint's name, in parts so that this file has neither.
const KEYWORD: &str = concat!("uns", "afe");
const LINT: &str = concat!("uns", "afe_code");

#[test]
fn code_without_guarantees_stands_in_listed_places() -> Result<()> {
    none(&faults(&File::all()?, PLACES));
    Ok(())
}

fn faults(files: &[File], places: &[(&str, &str)]) -> Vec<String> {
    let holds = |file: &&File| {
        file.is_rust() && file.code_lines().any(|(_, line)| has_word(line, KEYWORD) || has_word(line, LINT))
    };
    let found: Vec<&str> = files.iter().filter(holds).map(|file| file.path.as_str()).collect();
    let unlisted = found.iter().filter(|path| !places.iter().any(|(place, _)| place == *path));
    let mut faults: Vec<_> = unlisted
        .map(|path| format!("{path} has {KEYWORD} code: find a safe interface, or list it in {}", file!()))
        .collect();
    for (place, _) in places.iter().filter(|(place, _)| !found.contains(place)) {
        faults.push(format!("{place} has no {KEYWORD} code: remove it from PLACES in {}", file!()));
    }
    faults
}

#[test]
fn unlisted_place_is_found() {
    let at = |line: &str| [File::new("a.rs", line)];
    one(&faults(&at(&format!("    {KEYWORD} {{ f() }}")), &[]), &["a.rs", "find a safe interface"]);
    one(&faults(&at(&format!("#![allow({LINT})]")), &[]), &["a.rs"]);
    assert_eq!(faults(&at(&format!("// {KEYWORD}")), &[]), [""; 0]);
    assert_eq!(faults(&at(&format!("{KEYWORD} fn f();")), &[("a.rs", "")]), [""; 0]);
    one(&faults(&at("fn f() {}"), &[("a.rs", "")]), &["a.rs has no", "remove it from PLACES"]);
}
