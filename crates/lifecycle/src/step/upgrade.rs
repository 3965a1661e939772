//! An upgrade takes the process, and gives it back.

use crate::{Effect, Refused, State};

/// Only what runs can be upgraded: whether a new image is healthy shows while it does.
pub(super) fn on_ready(state: &mut State) -> Result<Vec<Effect>, Refused> {
    if !state.should_run() {
        return Err(Refused { state: state.name() });
    }
    if std::mem::replace(&mut state.upgrading, true) {
        return Ok(Vec::new());
    }
    state.restart_at = None;
    Ok(vec![Effect::Announce, Effect::Upgrade])
}

/// Whatever image is in place now, it begins anew: its exits are its own.
pub(super) fn on_ended(state: &mut State) -> Vec<Effect> {
    if !std::mem::take(&mut state.upgrading) {
        return Vec::new();
    }
    state.exits = 0;
    state.running_since = None;
    vec![Effect::Start, Effect::Announce]
}
