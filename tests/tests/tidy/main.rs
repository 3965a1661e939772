//! The rules of the house, each a test over the workspace's own files.
//!
//! A rule is a pure function from data to faults; a fault is a sentence that names the place and says
//! what to do. Each module tests its rule twice: on the workspace, which must have no fault, and on
//! made-up data, in which the rule must find one. Exceptions stand in tables, each with its reason;
//! one that is no longer needed is a fault, so that the tables shrink.

mod confined;
mod docs;
mod layers;
mod lengths;
mod licences;
mod lock;
mod manifests;
mod members;
mod metadata;
mod scripts;
mod shipped;
mod tracked;
mod unchecked;
mod unused;
mod words;

/// Fails with all faults at once.
#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} against the rules:\n  - {}", faults.len(), faults.join("\n  - "));
}

/// Fails unless exactly one fault is found, and it says all this.
#[track_caller]
fn one(faults: &[String], says: &[&str]) {
    assert_eq!(faults.len(), 1, "one fault expected: {faults:#?}");
    for part in says {
        assert!(faults[0].contains(part), "{part:?} should be in {:?}", faults[0]);
    }
}
