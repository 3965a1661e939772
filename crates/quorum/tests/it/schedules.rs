//! Many seeds; and the same seeds with one rule taken away, to see that the model would notice.

use std::panic::{AssertUnwindSafe, catch_unwind};

use quorum::Size;

use crate::model::{Model, Tally, Without};

const STEPS: usize = 8_000;

/// Runs one schedule; returns what happened in it, or what was violated.
fn run(seed: u64, size: Size, without: Without) -> Result<Tally, String> {
    let mut model = Model::new(seed, size, without);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..STEPS {
            model.step();
        }
        model.tally
    }));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

fn check(members: usize, writes: usize, seeds: u64) {
    let size = Size::new(members, writes).unwrap();
    let mut sum = Tally::default();
    for seed in 0..seeds {
        let tally = run(seed, size, Without::Nothing)
            .unwrap_or_else(|violated| panic!("seed {seed}, {members}/{writes}: {violated}"));
        sum.held += tally.held;
        sum.heads += tally.heads;
        sum.fenced += tally.fenced;
        sum.merged += tally.merged;
        sum.founded += tally.founded;
        sum.found_head += tally.found_head;
        sum.regrouped += tally.regrouped;
        sum.revived += tally.revived;
        sum.forgotten += tally.forgotten;
        sum.unwritten += tally.unwritten;
    }
    println!("{members}/{writes}: {seeds} schedules of {STEPS} steps: {sum:?}");
    let seeds = u32::try_from(seeds).unwrap();
    assert!(sum.heads > seeds && sum.merged > seeds / 2 && sum.fenced > seeds / 2, "too little happened");
    assert!(sum.revived > seeds / 8, "no lease that ran out was renewed");
    assert!(sum.forgotten > 0 && sum.unwritten > 0, "no epoch was forgotten");
    assert!(sum.found_head > seeds / 2, "too few holders found a head");
}

#[test]
fn three_members_keep_their_word() {
    check(3, 2, 400);
}

#[test]
fn five_members_keep_their_word() {
    check(5, 3, 150);
    check(5, 4, 150);
}

#[test]
fn four_members_keep_their_word() {
    check(4, 3, 150);
}

/// How many of the schedules end in a violation.
fn violations(without: Without) -> usize {
    let size = Size::new(3, 2).unwrap();
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let violated = (0..400).filter(|seed| run(*seed, size, without).is_err()).count();
    std::panic::set_hook(quiet);
    println!("without {without:?}: {violated} of 400 schedules violated");
    violated
}

/// Each rule is needed: without it the same schedules end in two holders, or in something lost.
#[test]
fn each_rule_is_needed() {
    use Without::{Joining, OthersLease, Views, Waiting};
    for without in [Views, Waiting, Joining, OthersLease] {
        assert!(violations(without) > 0, "{without:?} made no difference: the model is too kind");
    }
}
