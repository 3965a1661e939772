//! Single tenures, step by step.

use quorum::{
    Boot, Epoch, Head, Joining, Lost, MemberId, RecordId, Replica, Size, Stage, Tenure, TenureRules,
};

const RECORD: RecordId = RecordId([7; 32]);

fn replica() -> Replica<u64> {
    let mut joining = Joining::new(Size::new(1, 1).unwrap(), MemberId([1; 32]), Boot([1; 32]));
    joining.advance().unwrap()
}

fn rules(lease_ms: u64) -> TenureRules {
    TenureRules { size: Size::new(1, 1).unwrap(), lease_ms, margin_ms: 5, unwritten_ms: 1_000 }
}

fn open(round: u64, lease_ms: u64, now_ms: u64) -> Tenure<u64> {
    Tenure::open(rules(lease_ms), RECORD, Epoch { round, holder: [1; 16] }, now_ms)
}

/// Carries the call under way to the replica and back.
fn carry(tenure: &mut Tenure<u64>, replica: &mut Replica<u64>, now_ms: u64) {
    let reply = replica.handle(tenure.request().unwrap().clone());
    tenure.add(reply, now_ms);
}

/// Opens, settles, waits and holds; returns from when on it does.
fn hold(tenure: &mut Tenure<u64>, replica: &mut Replica<u64>, now_ms: u64) -> u64 {
    carry(tenure, replica, now_ms);
    carry(tenure, replica, now_ms);
    let Stage::Waiting { until_ms } = tenure.stage() else { panic!("{:?}", tenure.stage()) };
    tenure.tick(until_ms);
    carry(tenure, replica, until_ms);
    assert!(tenure.may_act(until_ms));
    until_ms
}

#[test]
fn successor_waits_for_the_longer_of_both_leases() {
    let mut replica = replica();
    let mut long = open(1, 300, 0);
    assert_eq!(hold(&mut long, &mut replica, 0), 305);
    // It may act until 605.
    let mut short = open(2, 60, 400);
    let mut after = open(3, 60, 410);
    carry(&mut short, &mut replica, 400);
    carry(&mut short, &mut replica, 400);
    assert_eq!(short.stage(), Stage::Waiting { until_ms: 705 });
    // Nor does one more that comes before the second has waited.
    carry(&mut after, &mut replica, 410);
    carry(&mut after, &mut replica, 410);
    assert_eq!(after.stage(), Stage::Waiting { until_ms: 715 });
    after.tick(715);
    carry(&mut after, &mut replica, 715);
    assert!(after.may_act(715) && !long.may_act(715));
    // From then on its own lease is what others wait for.
    let mut last = open(4, 60, 800);
    assert_eq!(hold(&mut last, &mut replica, 800), 865);
}

#[test]
fn record_that_nobody_wrote_is_not_held_on_an_old_promise() {
    let mut replica = replica();
    let mut tenure = open(1, 60, 0);
    carry(&mut tenure, &mut replica, 0);
    // The promise may be forgotten by the time at which what follows is acknowledged.
    carry(&mut tenure, &mut replica, 1_001);
    assert_eq!(tenure.stage(), Stage::Lost(Lost::Unwritten));
    // One that has something need not hurry: its epoch is never forgotten.
    let mut tenure = open(2, 60, 2_000);
    let from_ms = hold(&mut tenure, &mut replica, 2_000);
    assert!(tenure.replace_body(9, from_ms));
    carry(&mut tenure, &mut replica, from_ms + 1);
    assert!(tenure.renew(Some(Head { generation: 1, digest: [1; 32] }), from_ms + 2));
    carry(&mut tenure, &mut replica, from_ms + 5_000);
    assert!(tenure.renew(None, from_ms + 5_000));
    carry(&mut tenure, &mut replica, from_ms + 5_001);
    assert!(tenure.may_act(from_ms + 5_001));
}

#[test]
fn body_that_is_given_up_leaves_the_one_before() {
    let mut replica = replica();
    let mut tenure = open(1, 60, 0);
    let now_ms = hold(&mut tenure, &mut replica, 0);
    assert!(!tenure.abandon_body());
    assert!(tenure.replace_body(1, now_ms));
    carry(&mut tenure, &mut replica, now_ms);
    assert!(tenure.replace_body(2, now_ms));
    assert!(tenure.is_replacing_body() && tenure.abandon_body());
    assert_eq!((tenure.body(), tenure.is_idle()), (Some(&1), true));
    assert!(tenure.renew(None, now_ms));
    carry(&mut tenure, &mut replica, now_ms);
    assert!(tenure.may_act(now_ms));
}
