//! 100,000 random operations, and a crash between any two steps of any of them.
//!
//! A crash kills the writer before a change, before its commit or after it, or the program around a call
//! of the node; then every handle is dropped and the files are opened again. The file must then say either
//! that the operation happened or that it did not, and repeating it as a client or a node does (the same
//! event, the same report) must make it happen exactly once. Every walk begins with empty files. They lie
//! in memory, so that `fsync` costs nothing; the file system is a real one and so is every reopening.

mod node;
mod pencil;
mod walk;

use walk::{Met, Walk};

const OPERATIONS: usize = 100_000;
/// Tests that they are divided among, so that they run side by side.
const PARTS: usize = 4;
const PER_WALK: usize = 250;

fn run(part: usize) {
    let walks = OPERATIONS / PER_WALK;
    let mut met = Met::default();
    for walk in (0..walks).filter(|walk| walk % PARTS == part) {
        let more = Walk::new(u64::try_from(walk).unwrap() + 1).run(PER_WALK);
        met.crashes += more.crashes;
        met.stale += more.stale;
        met.stopped += more.stopped;
        met.through += more.through;
    }
    // So that a walk without crashes, or without what is rare, does not pass for one with them.
    assert!(met.crashes > 500 && met.stale > 20 && met.stopped > 100 && met.through > 100, "only {met:?}");
}

#[test]
fn attack_18_100_000_operations_with_crashes_agree_with_the_model_first_quarter() {
    run(0);
}

#[test]
fn attack_18_100_000_operations_with_crashes_agree_with_the_model_second_quarter() {
    run(1);
}

#[test]
fn attack_18_100_000_operations_with_crashes_agree_with_the_model_third_quarter() {
    run(2);
}

#[test]
fn attack_18_100_000_operations_with_crashes_agree_with_the_model_last_quarter() {
    run(3);
}
