//! The transitions.

mod aside;
mod upgrade;

use units::UnixSecs;

use crate::{Effect, Event, Phase, Policy, Refused, State};

/// A process that ran for so long has recovered from earlier exits.
const RAN_WELL_SECS: u64 = 300;
/// 2^6 s is above any sensible `restart_secs_max`.
const RESTART_DOUBLINGS_MAX: u32 = 6;

/// Computes what `event` does to `state` at `now`.
///
/// The new state is to be persisted before the effects are carried out, in order.
///
/// # Errors
/// [`Refused`] if an owner's command does not fit the state; nothing changes then.
pub fn step(
    state: &State,
    event: Event,
    now: UnixSecs,
    policy: &Policy,
) -> Result<(State, Vec<Effect>), Refused> {
    let mut next = *state;
    let effects = match event {
        Event::ServerStarted => on_server_started(&mut next),
        Event::ServerWasDown { secs } => on_server_was_down(&mut next, secs),
        Event::Tick => on_tick(&mut next, now, policy),
        Event::InvoicePaid { settled_at } => on_invoice_paid(&mut next, settled_at),
        Event::InvoiceOpen => on_invoice_open(&mut next, now, policy),
        Event::InvoiceUnknown => on_invoice_unknown(&mut next, now, policy),
        Event::BalanceRose => on_balance_rose(&mut next, now, policy),
        Event::Launched => on_launched(&mut next, now, policy),
        Event::LaunchFailed => on_launch_failed(&mut next),
        Event::ChargePaid { period } => on_charge_paid(&mut next, period, now, policy),
        Event::PaidWithoutUnits { period } => aside::on_paid(&mut next, period, now, policy),
        Event::ChargeRefused => on_charge_refused(&mut next, now, policy),
        Event::ChargeUnknown => on_charge_unknown(&mut next, now, policy),
        Event::NoUnits => aside::on_no_units(&mut next, now, policy),
        Event::CapacityLost => aside::on_capacity_lost(&mut next, now, policy),
        Event::Readmitted => aside::on_readmitted(&mut next, now),
        Event::Started => on_started(&mut next, now),
        Event::Exited => on_exited(&mut next, now, policy),
        Event::UpgradeReady => upgrade::on_ready(&mut next)?,
        Event::UpgradeEnded => upgrade::on_ended(&mut next),
        Event::PauseAsked => on_pause_asked(&mut next)?,
        Event::ResumeAsked => on_resume_asked(&mut next, now, policy)?,
        Event::TerminateAsked => on_terminate_asked(&mut next)?,
    };
    Ok((next, effects))
}

/// When the machine wants its next [`Event::Tick`], if ever.
#[must_use]
pub fn next_wakeup(state: &State, policy: &Policy) -> Option<UnixSecs> {
    match state.phase {
        Phase::Waiting { until } => Some(look_up_at(state, until)),
        Phase::Deployed => {
            let charge_at = state.paid_until.max(state.ask_at);
            let pause_at = state.wallet_silent_since.map(|_| state.paid_until.plus_secs(policy.grace_secs));
            [Some(charge_at), pause_at, state.restart_at].into_iter().flatten().min()
        }
        Phase::Paused { .. } => Some(state.ask_at),
        Phase::Expired | Phase::Launching | Phase::Failed | Phase::Terminated => None,
    }
}

/// A wallet that tells of payments need not be asked before the invoice expires. One that was silent when it was
/// asked, as after a restore, may have told already.
fn look_up_at(state: &State, until: UnixSecs) -> UnixSecs {
    if state.wallet_silent_since.is_some() { state.ask_at } else { until.max(state.ask_at) }
}

fn on_server_started(state: &mut State) -> Vec<Effect> {
    state.running_since = None;
    state.restart_at = None;
    match state.phase {
        Phase::Waiting { .. } => vec![Effect::LookUpInvoice],
        Phase::Launching => vec![Effect::Launch],
        Phase::Deployed if state.upgrading => vec![Effect::Upgrade],
        // An upgrade that was given up may not have been undone.
        Phase::Deployed if state.owner_paused => vec![Effect::AbandonUpgrade, Effect::Stop],
        Phase::Deployed => vec![Effect::AbandonUpgrade, Effect::Start],
        Phase::Paused { .. } => vec![Effect::AbandonUpgrade, Effect::Stop],
        Phase::Expired | Phase::Failed | Phase::Terminated => vec![Effect::Wipe],
    }
}

/// Paid time that the server did not deliver is given back; the clock of retention stands still, too,
/// because nobody could top up.
fn on_server_was_down(state: &mut State, secs: u64) -> Vec<Effect> {
    match &mut state.phase {
        Phase::Deployed => state.paid_until = state.paid_until.plus_secs(secs),
        Phase::Paused { since } => {
            *since = since.plus_secs(secs);
            state.paid_until = state.paid_until.plus_secs(secs);
        }
        Phase::Waiting { .. } | Phase::Expired | Phase::Launching | Phase::Failed | Phase::Terminated => {}
    }
    Vec::new()
}

fn on_tick(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    match state.phase {
        Phase::Waiting { until } => {
            if now < look_up_at(state, until) {
                return Vec::new();
            }
            state.ask_at = now.plus_secs(policy.retry_secs);
            vec![Effect::LookUpInvoice]
        }
        Phase::Deployed => {
            if let Some(effects) = pause_if_out_of_grace(state, now, policy) {
                return effects;
            }
            let mut effects = Vec::new();
            if state.restart_at.is_some_and(|at| at <= now) && state.should_run() {
                state.restart_at = None;
                effects.push(Effect::Start);
            }
            effects.extend(charge_if_due(state, now, policy));
            effects
        }
        Phase::Paused { .. } if now < state.ask_at => Vec::new(),
        // Also at the end of its retention: only what is known to be unpaid is wiped.
        Phase::Paused { .. } => aside::come_back(state, now, policy),
        Phase::Expired | Phase::Launching | Phase::Failed | Phase::Terminated => Vec::new(),
    }
}

fn charge_if_due(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    if now < state.paid_until || now < state.ask_at {
        return Vec::new();
    }
    charge_now(state, now, policy)
}

/// Asks for the charge of the next period, and not again before `retry_secs` even if no outcome comes.
fn charge_now(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    state.ask_at = now.plus_secs(policy.retry_secs);
    vec![Effect::Charge { period: state.next_period }]
}

/// An unanswered charge is forgiven for `grace_secs` after the paid time, no longer.
fn pause_if_out_of_grace(state: &mut State, now: UnixSecs, policy: &Policy) -> Option<Vec<Effect>> {
    let silent = state.wallet_silent_since.is_some();
    (silent && now >= state.paid_until.plus_secs(policy.grace_secs)).then(|| pause(state, now))
}

fn pause(state: &mut State, now: UnixSecs) -> Vec<Effect> {
    state.phase = Phase::Paused { since: now };
    stop(state)
}

/// What stops a process stops its upgrade first: a container that is stopped is whole.
fn stop(state: &mut State) -> Vec<Effect> {
    state.running_since = None;
    state.restart_at = None;
    let mut effects = Vec::new();
    if std::mem::take(&mut state.upgrading) {
        effects.push(Effect::AbandonUpgrade);
    }
    effects.extend([Effect::Stop, Effect::Announce]);
    effects
}

/// The wallet's own time of settlement decides whether a payment was late, not when we hear of it.
fn on_invoice_paid(state: &mut State, settled_at: UnixSecs) -> Vec<Effect> {
    let Phase::Waiting { until } = state.phase else { return Vec::new() };
    state.wallet_silent_since = None;
    state.ask_at = UnixSecs(0);
    if settled_at > until {
        state.phase = Phase::Expired;
        return vec![Effect::Wipe];
    }
    state.phase = Phase::Launching;
    vec![Effect::Launch]
}

fn on_invoice_open(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    let Phase::Waiting { until } = state.phase else { return Vec::new() };
    state.wallet_silent_since = None;
    if now >= until {
        state.phase = Phase::Expired;
        return vec![Effect::Wipe];
    }
    state.ask_at = now.plus_secs(policy.retry_secs).min(until);
    Vec::new()
}

/// A launch may have been paid while the wallet is silent: its units stay reserved for the grace.
fn on_invoice_unknown(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    let Phase::Waiting { until } = state.phase else { return Vec::new() };
    state.wallet_silent_since.get_or_insert(now);
    if now >= until.plus_secs(policy.grace_secs) {
        state.phase = Phase::Expired;
        return vec![Effect::Wipe];
    }
    state.ask_at = now.plus_secs(policy.retry_secs);
    Vec::new()
}

fn on_balance_rose(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    match state.phase {
        Phase::Waiting { .. } => vec![Effect::LookUpInvoice],
        Phase::Paused { .. } => aside::come_back(state, now, policy),
        Phase::Deployed => vec![Effect::Announce],
        Phase::Expired | Phase::Launching | Phase::Failed | Phase::Terminated => Vec::new(),
    }
}

/// The first period begins when the process first runs, and is charged at once.
fn on_launched(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    if state.phase != Phase::Launching {
        return Vec::new();
    }
    state.phase = Phase::Deployed;
    state.paid_until = now;
    state.running_since = Some(now);
    let mut effects = charge_now(state, now, policy);
    effects.push(Effect::Announce);
    effects
}

fn on_launch_failed(state: &mut State) -> Vec<Effect> {
    if state.phase != Phase::Launching {
        return Vec::new();
    }
    state.phase = Phase::Failed;
    vec![Effect::Wipe, Effect::Announce]
}

/// A period bought while paused begins now, less the time that the container ran before it was paused
/// and had not paid for.
fn on_charge_paid(state: &mut State, period: u64, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    if period != state.next_period {
        return Vec::new();
    }
    let paid_from = match state.phase {
        Phase::Deployed => state.paid_until,
        Phase::Paused { since } => state.paid_until.plus_secs(now.secs_since(since)),
        Phase::Waiting { .. } | Phase::Expired | Phase::Launching | Phase::Failed | Phase::Terminated => {
            return Vec::new();
        }
    };
    state.next_period += 1;
    state.paid_until = paid_from.plus_secs(policy.period_secs);
    state.wallet_silent_since = None;
    state.ask_at = UnixSecs(0);
    let was_paused = matches!(state.phase, Phase::Paused { .. });
    state.phase = Phase::Deployed;
    let mut effects = Vec::new();
    if was_paused && !state.owner_paused {
        effects.push(Effect::Start);
    }
    effects.push(Effect::Announce);
    effects
}

fn on_charge_refused(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    state.wallet_silent_since = None;
    match state.phase {
        Phase::Deployed if now >= state.paid_until => {
            state.ask_at = now.plus_secs(policy.poll_secs);
            pause(state, now)
        }
        Phase::Paused { since } => aside::stay_unpaid(state, since, now, policy),
        Phase::Deployed
        | Phase::Waiting { .. }
        | Phase::Expired
        | Phase::Launching
        | Phase::Failed
        | Phase::Terminated => Vec::new(),
    }
}

fn on_charge_unknown(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    match state.phase {
        Phase::Deployed => {
            state.wallet_silent_since.get_or_insert(now);
            state.ask_at = now.plus_secs(policy.retry_secs);
            pause_if_out_of_grace(state, now, policy).unwrap_or_default()
        }
        Phase::Paused { .. } => {
            state.wallet_silent_since.get_or_insert(now);
            state.ask_at = now.plus_secs(policy.retry_secs);
            Vec::new()
        }
        Phase::Waiting { .. } | Phase::Expired | Phase::Launching | Phase::Failed | Phase::Terminated => {
            Vec::new()
        }
    }
}

fn on_started(state: &mut State, now: UnixSecs) -> Vec<Effect> {
    if state.upgrading {
        return Vec::new();
    }
    if !state.should_run() {
        return vec![Effect::Stop];
    }
    state.running_since.get_or_insert(now);
    state.restart_at = None;
    Vec::new()
}

/// Starts it again after 1, 2, 4 … seconds. It stays deployed, and paid for.
fn on_exited(state: &mut State, now: UnixSecs, policy: &Policy) -> Vec<Effect> {
    // A process that ends on trial is the upgrade's to judge.
    if !state.should_run() || state.upgrading {
        return Vec::new();
    }
    if state.running_since.take().is_some_and(|since| now.secs_since(since) >= RAN_WELL_SECS) {
        state.exits = 0;
    }
    let wait_secs = (1_u64 << state.exits.min(RESTART_DOUBLINGS_MAX)).min(policy.restart_secs_max);
    state.exits = state.exits.saturating_add(1);
    state.restart_at = Some(now.plus_secs(wait_secs));
    Vec::new()
}

fn on_pause_asked(state: &mut State) -> Result<Vec<Effect>, Refused> {
    match state.phase {
        Phase::Deployed if state.owner_paused => Ok(Vec::new()),
        Phase::Deployed => {
            state.owner_paused = true;
            Ok(stop(state))
        }
        Phase::Paused { .. } => {
            state.owner_paused = true;
            Ok(Vec::new())
        }
        Phase::Waiting { .. } | Phase::Expired | Phase::Launching | Phase::Failed | Phase::Terminated => {
            Err(Refused { state: state.name() })
        }
    }
}

fn on_resume_asked(state: &mut State, now: UnixSecs, policy: &Policy) -> Result<Vec<Effect>, Refused> {
    match state.phase {
        Phase::Deployed => {
            let was_paused = std::mem::take(&mut state.owner_paused);
            Ok(if was_paused { vec![Effect::Start, Effect::Announce] } else { Vec::new() })
        }
        Phase::Paused { .. } => {
            state.owner_paused = false;
            Ok(aside::come_back(state, now, policy))
        }
        Phase::Waiting { .. } | Phase::Expired | Phase::Launching | Phase::Failed | Phase::Terminated => {
            Err(Refused { state: state.name() })
        }
    }
}

fn on_terminate_asked(state: &mut State) -> Result<Vec<Effect>, Refused> {
    match state.phase {
        Phase::Waiting { .. } | Phase::Launching | Phase::Deployed | Phase::Paused { .. } => {
            state.phase = Phase::Terminated;
            state.running_since = None;
            state.restart_at = None;
            // Wiping takes the upgrade with it: no data is left to go back to.
            state.upgrading = false;
            Ok(vec![Effect::Wipe, Effect::Announce])
        }
        Phase::Terminated => Ok(Vec::new()),
        Phase::Expired | Phase::Failed => Err(Refused { state: state.name() }),
    }
}
