//! What is said in a notice.

use lifecycle::{Phase, Policy, State};
use nostr::nips::nip19::ToBech32;
use protocol::nec::announcement::Upgrade;
use units::{UnixSecs, calendar};

use crate::store::Container;

pub(super) fn named(container: &Container) -> String {
    let pubkey = container.pubkey();
    let npub = pubkey.to_bech32().unwrap_or_else(|_| pubkey.to_hex());
    match &container.spec.name {
        Some(name) => format!("{name} ({npub})"),
        None => npub,
    }
}

/// What an owner is told of a new state. What the owner did is no news.
pub(super) fn about_state(
    name: &str,
    lacks_room: bool,
    from: &str,
    state: &State,
    policy: &Policy,
) -> Option<String> {
    match state.phase {
        Phase::Paused { .. } if from != "paused" && lacks_room => {
            let until = state.data_kept_until(policy).map(calendar::date).unwrap_or_default();
            Some(format!(
                "{name} was stopped although it had paid: the server has fewer units than before, and others \
                 paid further ahead. It comes back when units are free, with what it has paid; its data is \
                 kept until {until}."
            ))
        }
        Phase::Paused { .. } if from != "paused" => {
            let until = state.data_kept_until(policy).map(calendar::date).unwrap_or_default();
            Some(format!(
                "{name} was stopped: its balance does not pay for the next period. Its data is kept until \
                 {until}. Write topup 100 to go on."
            ))
        }
        Phase::Failed => Some(format!(
            "{name} could not be started; write status to see why. What was paid is its balance and can be \
             withdrawn."
        )),
        Phase::Terminated if from == "paused" && !state.owner_paused => {
            Some(format!("{name} is over: it was unpaid for longer than data is kept. Its data is gone."))
        }
        Phase::Paused { .. }
        | Phase::Waiting { .. }
        | Phase::Expired
        | Phase::Launching
        | Phase::Deployed
        | Phase::Terminated => None,
    }
}

/// What becomes of a container at the end. Who has nothing here any more is told nothing.
pub(super) fn about_end(name: &str, state: &State) -> Option<String> {
    let becomes = match state.phase {
        Phase::Deployed | Phase::Launching if state.should_run() => {
            "is stopped then and comes back with its data; the time that it is away is given back"
        }
        Phase::Deployed | Phase::Launching | Phase::Paused { .. } => {
            "stays paused, and its data is kept; it cannot be commanded or paid for until the server is back"
        }
        Phase::Waiting { .. } => "is not paid for yet: pay before the end, or when the server is back",
        Phase::Expired | Phase::Failed | Phase::Terminated => return None,
    };
    Some(format!("{name} {becomes}."))
}

/// What an owner is told of the end, with what becomes of each of their containers.
pub(super) fn end(at: UnixSecs, containers: &[String]) -> String {
    let between = if containers.len() == 1 { " " } else { "\n" };
    let at = calendar::date(at);
    let said = format!("This server ends at {at} to be replaced by another version.");
    format!("{said}{between}{}", containers.join(between))
}

/// What an owner is told of a release that will follow.
pub(super) fn about_release(release: &Upgrade) -> String {
    format!(
        "Version {} may take this server's place from {} on, with all that is kept here. Its PCR0 is {}, so that \
         you can check its code before. Who does not want to be there then writes terminate before that, and \
         withdraws what is left.",
        release.version,
        calendar::date(release.not_before),
        release.pcr0,
    )
}
