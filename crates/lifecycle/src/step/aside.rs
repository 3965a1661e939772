//! A paused container: one that stands aside for want of units and comes back, or one that stays unpaid.

use units::UnixSecs;

use super::{charge_now, pause};
use crate::{Effect, Phase, Policy, State};

/// What a paused container comes back by: the time that it has paid for, if there is some left; else the charge
/// of the next period.
pub(super) fn come_back(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    if !state.is_owed_time() {
        return charge_now(state, now, policy);
    }
    state.ask_at = now.plus_secs(policy.retry_secs);
    vec![Effect::Readmit]
}

pub(super) fn on_no_units(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    let Phase::Paused { since } = state.phase else { return Vec::new() };
    state.wallet_silent_since = None;
    stay_unpaid(state, since, now, policy)
}

/// It stays paused, by the word of whoever knows what was paid. That word ends its retention, and no clock alone:
/// while nobody knows whether its next period is paid, its data is kept.
pub(super) fn stay_unpaid(state: &mut State, since: UnixSecs, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    let (ask_at, kept_until) = (now.plus_secs(policy.poll_secs), since.plus_secs(policy.retention_secs));
    if state.is_owed_time() {
        state.ask_at = ask_at;
        return Vec::new();
    }
    if now >= kept_until {
        state.phase = Phase::Terminated;
        return vec![Effect::Wipe, Effect::Announce];
    }
    state.ask_at = ask_at.min(kept_until);
    Vec::new()
}

/// What was paid while its units went to another is time that it is owed: it gets that, or is charged for what it
/// still owes itself, as soon as units are free.
pub(super) fn on_paid(state: &mut State, period: u64, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    if !matches!(state.phase, Phase::Paused { .. }) || period != state.next_period {
        return Vec::new();
    }
    state.next_period += 1;
    state.paid_until = state.paid_until.plus_secs(policy.period_secs);
    state.wallet_silent_since = None;
    state.ask_at = now.plus_secs(policy.poll_secs);
    vec![Effect::Announce]
}

/// It stands aside, unpaid or not. Time that it has paid ahead is kept to the second, and what it comes back by
/// as soon as units are free, whatever its balance; without any it comes back as one that could not pay.
pub(super) fn on_capacity_lost(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    if state.phase != Phase::Deployed {
        return Vec::new();
    }
    state.ask_at = now.plus_secs(policy.poll_secs);
    pause(state, now)
}

/// The paid time that was left when it stood aside begins to run again. Money is never divided: what is given
/// back is time, in whole seconds, rounded up, so that nobody pays for a second that did not run.
pub(super) fn on_readmitted(state: &mut State, now: UnixSecs) -> Vec<Effect> {
    let Phase::Paused { since } = state.phase else { return Vec::new() };
    if !state.is_owed_time() {
        return Vec::new();
    }
    state.paid_until = state.paid_until.plus_secs(now.secs_since(since) + 1);
    state.phase = Phase::Deployed;
    state.ask_at = UnixSecs(0);
    let mut effects = Vec::new();
    if !state.owner_paused {
        effects.push(Effect::Start);
    }
    effects.push(Effect::Announce);
    effects
}
