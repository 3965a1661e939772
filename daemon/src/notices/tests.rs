use lifecycle::Phase;
use nostr::key::Keys;

use super::*;
use crate::store::tests::{Fixture, ROOM, launch};

const NOW: UnixSecs = UnixSecs(1_800_000_000);

fn state(phase: Phase) -> State {
    State { phase, ..State::waiting(UnixSecs(5)) }
}

fn said(from: &str, state: &State) -> Option<String> {
    about_state("blog", false, from, state, &Policy::default())
}

#[test]
fn owner_is_told_what_it_does_not_know() {
    let paused = state(Phase::Paused { since: UnixSecs(1_800_000_000) });
    let text = said("deployed", &paused).unwrap();
    assert!(text.contains("kept until 2027-01-22 08:00:00 UTC") && text.contains("topup"), "{text}");
    let text = about_state("blog", true, "deployed", &paused, &Policy::default()).unwrap();
    assert!(text.contains("although it had paid"), "{text}");
    assert!(said("launching", &state(Phase::Failed)).unwrap().contains("withdrawn"));
    assert!(said("paused", &state(Phase::Terminated)).unwrap().contains("data is gone"));
}

#[test]
fn owner_is_not_told_what_it_did() {
    let asked = State { owner_paused: true, ..state(Phase::Deployed) };
    for (from, state) in [
        ("deployed", asked),
        ("deployed", state(Phase::Terminated)),
        ("launching", state(Phase::Deployed)),
        ("waiting", state(Phase::Launching)),
        ("waiting", state(Phase::Expired)),
        ("paused", state(Phase::Deployed)),
    ] {
        assert_eq!(said(from, &state), None, "{from} {state:?}");
    }
}

fn key() -> PublicKey {
    Keys::generate().public_key()
}

#[test]
fn end_is_known_once_it_is_said() {
    let (notices, mut queue) = Notices::new(Policy::default());
    assert_eq!(notices.ends_at(), None);
    notices.set_end(UnixSecs(7));
    notices.ends(UnixSecs(7), &[]);
    assert_eq!((notices.ends_at(), notices.are_told()), (Some(UnixSecs(7)), true));
    assert!(queue.try_recv().is_err());
}

#[test]
fn end_is_told_to_everybody_who_has_something_here() {
    let told = |state: &State| about_end("blog", state).map(|text| texts::end(NOW, &[text]));
    let paused = State { owner_paused: true, ..state(Phase::Deployed) };
    for (state, part) in [
        (state(Phase::Deployed), "comes back with its data"),
        (paused, "stays paused, and its data is kept"),
        (state(Phase::Paused { since: UnixSecs(5) }), "stays paused, and its data is kept"),
        (State::waiting(UnixSecs(5)), "is not paid for yet"),
    ] {
        let text = told(&state).unwrap();
        assert!(text.contains("ends at 2027-01-15 08:00:00 UTC") && text.contains(part), "{text}");
    }
    for phase in [Phase::Expired, Phase::Failed, Phase::Terminated] {
        assert_eq!(told(&state(phase)), None, "{phase:?}");
    }
}

/// Whoever has many containers hears of the end of all of them, in one message that they fit into.
#[test]
fn end_is_told_once_of_all_that_somebody_has() {
    let (fixture, owner, other) = (Fixture::new(), key(), key());
    let one = fixture.store.reserve(launch(owner, 1), &ROOM).unwrap();
    let deployed = Container { state: state(Phase::Deployed), ..one };
    let mut all = vec![deployed; 25];
    all.push(Container {
        state: state(Phase::Deployed),
        ..fixture.store.reserve(launch(other, 1), &ROOM).unwrap()
    });
    let (notices, mut queue) = Notices::new(Policy::default());
    notices.ends(NOW, &all);
    let mut pace = Pace::new();
    let mut told = Vec::new();
    while let Ok(notice) = queue.try_recv() {
        assert!(!notices.are_told());
        assert!(pace.takes(&notice, NOW));
        told.push((notice.to, notice.text.matches("comes back with its data").count()));
    }
    told.sort_by_key(|(_, count)| *count);
    assert_eq!(told, [(other, 1), (owner, 25)]);
    assert!(notices.are_told());
}

#[test]
fn owner_of_many_hears_of_each_and_not_for_ever() {
    let (owner, untold) = (key(), Arc::default());
    let about = |container| Notice {
        to: owner,
        about: container,
        text: String::new(),
        _untold: Untold::new(&untold),
    };
    let mut pace = Pace::new();
    let containers: Vec<_> = (0..25).map(|_| key()).collect();
    for container in &containers {
        assert!(pace.takes(&about(Some(*container)), NOW), "one of many is not told of");
    }
    let flapping = (0..100).filter(|_| pace.takes(&about(Some(containers[0])), NOW)).count();
    assert_eq!(flapping, usize::try_from(PER_CONTAINER).unwrap() - 1);
    while pace.takes(&about(Some(key())), NOW) {}
    assert!(pace.takes(&about(None), NOW), "what is about the server is told everybody");
}
