//! Tables of single transitions; random walks are in [`walk`].

mod walk;

use units::UnixSecs;

use crate::{Effect, Event, Phase, Policy, State, next_wakeup, step};

const POLICY: Policy = Policy {
    period_secs: 100,
    grace_secs: 30,
    retention_secs: 1_000,
    retry_secs: 5,
    poll_secs: 20,
    restart_secs_max: 8,
};

fn at(secs: u64) -> UnixSecs {
    UnixSecs(secs)
}

fn deployed(paid_until: u64) -> State {
    State { phase: Phase::Deployed, paid_until: at(paid_until), ..State::waiting(at(0)) }
}

fn paused(paid_until: u64, since: u64) -> State {
    State { phase: Phase::Paused { since: at(since) }, ..deployed(paid_until) }
}

fn launching() -> State {
    State { phase: Phase::Launching, ..State::waiting(at(50)) }
}

#[track_caller]
fn check(state: State, event: Event, now: u64, phase: Phase, effects: &[Effect]) -> State {
    let (next, got) = step(&state, event, at(now), &POLICY).expect("the event is allowed");
    assert_eq!((next.phase, got.as_slice()), (phase, effects));
    next
}

#[test]
fn lost_capacity_pauses_and_keeps_what_was_paid_ahead() {
    let state = deployed(500);
    let (aside, effects) = step(&state, Event::CapacityLost, at(100), &POLICY).unwrap();
    assert_eq!((aside.phase, aside.holds_units()), (Phase::Paused { since: at(100) }, false));
    assert_eq!(effects, [Effect::Stop, Effect::Announce]);
    // Nothing is charged for what is paid, however long it takes; and its data is not wiped.
    let mut waits = check(aside, Event::Tick, 120, aside.phase, &[Effect::Readmit]);
    for now in [130, 5_000] {
        waits = check(waits, Event::NoUnits, now, aside.phase, &[]);
        assert_eq!((waits.paid_until, waits.data_kept_until(&POLICY)), (at(500), None));
        let wakeup = next_wakeup(&waits, &POLICY).unwrap();
        assert_eq!(wakeup, at(now + POLICY.poll_secs));
        check(waits, Event::Tick, wakeup.0, aside.phase, &[Effect::Readmit]);
        check(waits, Event::BalanceRose, now + 1, aside.phase, &[Effect::Readmit]);
        check(waits, Event::ResumeAsked, now + 1, aside.phase, &[Effect::Readmit]);
    }
    // It comes back at 160 with the 400 seconds that were left, and one for those that were not whole.
    let back = check(aside, Event::Readmitted, 160, Phase::Deployed, &[Effect::Start, Effect::Announce]);
    assert_eq!((back.paid_until, back.next_period), (at(160 + 400 + 1), aside.next_period));
    let held = State { owner_paused: true, ..aside };
    check(held, Event::Readmitted, 160, Phase::Deployed, &[Effect::Announce]);
    // Who has no time left comes back by paying.
    let unpaid = paused(200, 230);
    check(unpaid, Event::Tick, 240, unpaid.phase, &[Effect::Charge { period: 0 }]);
    check(unpaid, Event::Readmitted, 240, unpaid.phase, &[]);
    assert_eq!(unpaid.data_kept_until(&POLICY), Some(at(1_230)));
    for phase in
        [Phase::Waiting { until: at(9) }, Phase::Launching, Phase::Paused { since: at(5) }, Phase::Terminated]
    {
        let state = State { phase, ..deployed(500) };
        assert_eq!(step(&state, Event::CapacityLost, at(100), &POLICY), Ok((state, vec![])));
    }
}

#[test]
fn launch_paid_in_time_starts_and_is_charged() {
    let state = check(
        State::waiting(at(50)),
        Event::InvoicePaid { settled_at: at(50) },
        60,
        Phase::Launching,
        &[Effect::Launch],
    );
    let state =
        check(state, Event::Launched, 61, Phase::Deployed, &[Effect::Charge { period: 0 }, Effect::Announce]);
    let state = check(state, Event::ChargePaid { period: 0 }, 61, Phase::Deployed, &[Effect::Announce]);
    assert_eq!((state.paid_until, state.next_period), (at(161), 1));
}

#[test]
fn launch_paid_late_is_expired() {
    let late = Event::InvoicePaid { settled_at: at(51) };
    check(State::waiting(at(50)), late, 51, Phase::Expired, &[Effect::Wipe]);
}

#[test]
fn launch_unpaid_is_asked_about_before_it_expires() {
    let state = check(
        State::waiting(at(50)),
        Event::Tick,
        50,
        Phase::Waiting { until: at(50) },
        &[Effect::LookUpInvoice],
    );
    check(state, Event::InvoiceOpen, 50, Phase::Expired, &[Effect::Wipe]);
    let silent = check(state, Event::InvoiceUnknown, 50, Phase::Waiting { until: at(50) }, &[]);
    assert_eq!(next_wakeup(&silent, &POLICY), Some(at(55)));
    check(silent, Event::InvoiceUnknown, 80, Phase::Expired, &[Effect::Wipe]);
}

#[test]
fn launch_is_asked_about_again_soon_if_the_wallet_was_silent() {
    let open = Phase::Waiting { until: at(50) };
    let silent = check(State::waiting(at(50)), Event::InvoiceUnknown, 10, open, &[]);
    assert_eq!(next_wakeup(&silent, &POLICY), Some(at(15)));
    check(silent, Event::Tick, 14, open, &[]);
    let asked = check(silent, Event::Tick, 15, open, &[Effect::LookUpInvoice]);
    // Once it answers, it will tell.
    let told = check(asked, Event::InvoiceOpen, 15, open, &[]);
    assert_eq!(next_wakeup(&told, &POLICY), Some(at(50)));
}

#[test]
fn launch_that_fails_is_not_charged() {
    let failed =
        check(launching(), Event::LaunchFailed, 60, Phase::Failed, &[Effect::Wipe, Effect::Announce]);
    assert_eq!(failed.next_period, 0);
}

#[test]
fn charge_is_due_at_the_end_of_the_paid_time() {
    check(deployed(200), Event::Tick, 199, Phase::Deployed, &[]);
    check(deployed(200), Event::Tick, 200, Phase::Deployed, &[Effect::Charge { period: 0 }]);
}

#[test]
fn charge_without_an_outcome_is_asked_for_again_after_the_retry_time() {
    let asked = check(deployed(200), Event::Tick, 200, Phase::Deployed, &[Effect::Charge { period: 0 }]);
    check(asked, Event::Tick, 204, Phase::Deployed, &[]);
    check(asked, Event::Tick, 205, Phase::Deployed, &[Effect::Charge { period: 0 }]);
}

#[test]
fn charge_refused_pauses_at_once() {
    check(
        deployed(200),
        Event::ChargeRefused,
        200,
        Phase::Paused { since: at(200) },
        &[Effect::Stop, Effect::Announce],
    );
}

#[test]
fn silent_wallet_is_forgiven_for_the_grace_only() {
    let silent = check(deployed(200), Event::ChargeUnknown, 200, Phase::Deployed, &[]);
    let silent = check(silent, Event::ChargeUnknown, 229, Phase::Deployed, &[]);
    assert_eq!(next_wakeup(&silent, &POLICY), Some(at(230)));
    check(silent, Event::Tick, 230, Phase::Paused { since: at(230) }, &[Effect::Stop, Effect::Announce]);
}

#[test]
fn charge_paid_twice_counts_once() {
    let paid =
        check(deployed(200), Event::ChargePaid { period: 0 }, 200, Phase::Deployed, &[Effect::Announce]);
    let again = check(paid, Event::ChargePaid { period: 0 }, 201, Phase::Deployed, &[]);
    assert_eq!(again, paid);
}

#[test]
fn top_up_of_a_paused_container_resumes_it_and_skips_the_paused_time() {
    let state = check(
        paused(200, 230),
        Event::BalanceRose,
        400,
        Phase::Paused { since: at(230) },
        &[Effect::Charge { period: 0 }],
    );
    let resumed = check(
        state,
        Event::ChargePaid { period: 0 },
        401,
        Phase::Deployed,
        &[Effect::Start, Effect::Announce],
    );
    // 100 s bought at 401, of which 30 were used from 200 to 230.
    assert_eq!(resumed.paid_until, at(471));
}

#[test]
fn paused_container_waits_when_there_are_no_units() {
    let state = check(paused(200, 230), Event::NoUnits, 240, Phase::Paused { since: at(230) }, &[]);
    check(state, Event::Tick, 259, Phase::Paused { since: at(230) }, &[]);
    check(state, Event::Tick, 260, Phase::Paused { since: at(230) }, &[Effect::Charge { period: 0 }]);
}

#[test]
fn unpaid_data_is_wiped_after_the_retention() {
    assert_eq!(paused(200, 230).data_kept_until(&POLICY), Some(at(1_230)));
    let wiped = [Effect::Wipe, Effect::Announce];
    for word in [Event::ChargeRefused, Event::NoUnits] {
        // It is asked once more at the end, and not before it is known to be unpaid.
        let last = check(paused(200, 230), word, 1_229, Phase::Paused { since: at(230) }, &[]);
        assert_eq!(next_wakeup(&last, &POLICY), Some(at(1_230)));
        let asked = check(last, Event::Tick, 1_230, last.phase, &[Effect::Charge { period: 0 }]);
        check(asked, word, 1_230, Phase::Terminated, &wiped);
    }
}

#[test]
fn data_is_kept_while_nobody_knows_whether_it_is_paid() {
    let mut state = paused(200, 230);
    for now in [1_230, 5_000, 50_000] {
        let asked = check(state, Event::Tick, now, state.phase, &[Effect::Charge { period: 0 }]);
        state = check(asked, Event::ChargeUnknown, now, state.phase, &[]);
        assert_eq!(next_wakeup(&state, &POLICY), Some(at(now + POLICY.retry_secs)));
    }
    check(
        state,
        Event::ChargePaid { period: 0 },
        50_001,
        Phase::Deployed,
        &[Effect::Start, Effect::Announce],
    );
    check(state, Event::NoUnits, 50_001, Phase::Terminated, &[Effect::Wipe, Effect::Announce]);
}

#[test]
fn period_paid_while_the_units_went_to_another_is_owed() {
    let paid = Event::PaidWithoutUnits { period: 0 };
    let owed = check(paused(200, 230), paid, 240, Phase::Paused { since: at(230) }, &[Effect::Announce]);
    assert_eq!((owed.paid_until, owed.next_period, owed.holds_units()), (at(300), 1, false));
    assert_eq!(owed.data_kept_until(&POLICY), None);
    assert_eq!(check(owed, paid, 241, owed.phase, &[]), owed, "once");
    // It waits for units however long that takes, and comes back without another charge.
    let asked = check(owed, Event::Tick, 9_000, owed.phase, &[Effect::Readmit]);
    let asked = check(asked, Event::NoUnits, 9_000, owed.phase, &[]);
    let back = check(asked, Event::Readmitted, 9_020, Phase::Deployed, &[Effect::Start, Effect::Announce]);
    assert_eq!(back.paid_until, at(9_020 + 70 + 1));
    // One that ran for longer than that without paying is charged for another first.
    let owing = check(paused(200, 330), paid, 340, Phase::Paused { since: at(330) }, &[Effect::Announce]);
    check(owing, Event::Tick, 360, owing.phase, &[Effect::Charge { period: 1 }]);
    for state in [deployed(200), launching(), State { phase: Phase::Terminated, ..deployed(0) }] {
        assert_eq!(step(&state, paid, at(240), &POLICY), Ok((state, vec![])));
    }
}

#[test]
fn owner_pause_keeps_paying_and_keeps_its_units() {
    let state =
        check(deployed(200), Event::PauseAsked, 150, Phase::Deployed, &[Effect::Stop, Effect::Announce]);
    assert_eq!((state.name(), state.holds_units(), state.should_run()), ("paused", true, false));
    let state = check(state, Event::Tick, 200, Phase::Deployed, &[Effect::Charge { period: 0 }]);
    let state = check(state, Event::ChargePaid { period: 0 }, 200, Phase::Deployed, &[Effect::Announce]);
    check(state, Event::ResumeAsked, 210, Phase::Deployed, &[Effect::Start, Effect::Announce]);
}

#[test]
fn process_that_exits_is_started_again_ever_more_slowly() {
    let mut state = State { running_since: Some(at(100)), ..deployed(10_000) };
    for (exits, wait) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8)] {
        state = check(state, Event::Exited, 200, Phase::Deployed, &[]);
        assert_eq!((state.exits, state.restart_at), (exits, Some(at(200 + wait))));
    }
    let state = check(state, Event::Tick, 208, Phase::Deployed, &[Effect::Start]);
    let state = check(state, Event::Started, 208, Phase::Deployed, &[]);
    let recovered = check(state, Event::Exited, 508, Phase::Deployed, &[]);
    assert_eq!(recovered.restart_at, Some(at(509)));
}

#[test]
fn commands_that_do_not_fit_are_refused() {
    let over = State { phase: Phase::Expired, ..State::waiting(at(0)) };
    for (state, event) in [
        (State::waiting(at(50)), Event::PauseAsked),
        (launching(), Event::ResumeAsked),
        (over, Event::TerminateAsked),
    ] {
        let refused = step(&state, event, at(10), &POLICY).expect_err("must be refused");
        assert_eq!(refused.state, state.name());
    }
}

#[test]
fn outage_of_the_server_is_given_back() {
    let state = check(deployed(200), Event::ServerWasDown { secs: 50 }, 300, Phase::Deployed, &[]);
    assert_eq!(state.paid_until, at(250));
    let state = check(
        paused(200, 230),
        Event::ServerWasDown { secs: 50 },
        300,
        Phase::Paused { since: at(280) },
        &[],
    );
    assert_eq!(state.paid_until, at(250));
}

#[test]
fn restart_resumes_every_phase() {
    let over = |phase| State { phase, ..deployed(0) };
    let abandon = Effect::AbandonUpgrade;
    for (state, effects) in [
        (State::waiting(at(50)), vec![Effect::LookUpInvoice]),
        (launching(), vec![Effect::Launch]),
        (deployed(100), vec![abandon, Effect::Start]),
        (upgrading(100), vec![Effect::Upgrade]),
        (State { owner_paused: true, ..deployed(100) }, vec![abandon, Effect::Stop]),
        (paused(100, 110), vec![abandon, Effect::Stop]),
        (over(Phase::Expired), vec![Effect::Wipe]),
        (over(Phase::Failed), vec![Effect::Wipe]),
        (over(Phase::Terminated), vec![Effect::Wipe]),
    ] {
        check(state, Event::ServerStarted, 60, state.phase, &effects);
    }
}

fn upgrading(paid_until: u64) -> State {
    State { upgrading: true, ..deployed(paid_until) }
}

#[test]
fn upgrade_has_the_process_until_it_ends() {
    let start = [Effect::Announce, Effect::Upgrade];
    let restarting = State { restart_at: Some(at(55)), exits: 3, ..deployed(100) };
    let state = check(restarting, Event::UpgradeReady, 50, Phase::Deployed, &start);
    assert_eq!((state.name(), state.restart_at, state.should_run()), ("upgrading", None, true));
    // Nothing else starts, restarts or counts it meanwhile.
    for event in [Event::UpgradeReady, Event::Exited, Event::Started, Event::Tick] {
        assert_eq!(check(state, event, 60, Phase::Deployed, &[]), state);
    }
    // It is paid for all the same.
    check(state, Event::Tick, 100, Phase::Deployed, &[Effect::Charge { period: 0 }]);
    let state = check(state, Event::UpgradeEnded, 70, Phase::Deployed, &[Effect::Start, Effect::Announce]);
    assert_eq!((state.name(), state.exits), ("deployed", 0));
    assert_eq!(check(state, Event::UpgradeEnded, 71, Phase::Deployed, &[]), state);
}

#[test]
fn upgrade_is_given_up_before_the_process_stops() {
    let stop = [Effect::AbandonUpgrade, Effect::Stop, Effect::Announce];
    let state = check(upgrading(100), Event::PauseAsked, 60, Phase::Deployed, &stop);
    assert!(!state.upgrading && state.owner_paused);
    let state = check(upgrading(100), Event::ChargeRefused, 100, Phase::Paused { since: at(100) }, &stop);
    assert!(!state.upgrading);
    let wiped = [Effect::Wipe, Effect::Announce];
    let state = check(upgrading(100), Event::TerminateAsked, 60, Phase::Terminated, &wiped);
    assert!(!state.upgrading);
}

#[test]
fn what_does_not_run_is_not_upgraded() {
    let over = State { phase: Phase::Terminated, ..deployed(0) };
    for state in [
        State::waiting(at(50)),
        launching(),
        State { owner_paused: true, ..deployed(100) },
        paused(100, 110),
        over,
    ] {
        let refused = step(&state, Event::UpgradeReady, at(60), &POLICY).unwrap_err();
        assert_eq!(refused.state, state.name());
    }
}

#[test]
fn state_of_before_upgrades_is_read() {
    let old = r#"{"phase":"deployed","owner_paused":false,"paid_until":9,"next_period":1,
        "wallet_silent_since":null,"ask_at":0,"exits":0,"restart_at":null,"running_since":null}"#;
    let state: State = serde_json::from_str(old).unwrap();
    assert_eq!(state, State { next_period: 1, ..deployed(9) });
}

#[test]
fn builtin_never_pays() {
    assert_eq!(next_wakeup(&State::builtin(), &POLICY), Some(at(u64::MAX)));
    check(State::builtin(), Event::Tick, 1_000_000, Phase::Deployed, &[]);
}
