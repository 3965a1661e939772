use nostr::key::Keys;

use super::*;

const START: UnixSecs = UnixSecs(1_800_000_000);

fn keys(count: usize) -> Vec<PublicKey> {
    (0..count).map(|_| Keys::generate().public_key()).collect()
}

/// Lets `secs` seconds go by, in each of which `changes` change; returns who was told of when, and with what.
fn run(pace: &mut Pace, secs: u64, changes: &[PublicKey]) -> Vec<(u64, PublicKey, bool)> {
    let mut told = Vec::new();
    for second in 0..secs {
        let now = START.plus_secs(second);
        changes.iter().for_each(|one| pace.want(*one, now));
        for (pubkey, with_list) in pace.take(now) {
            pace.note(pubkey, Told::Lives, now);
            told.push((second, pubkey, with_list));
        }
    }
    told
}

fn events(told: &[(u64, PublicKey, bool)]) -> usize {
    told.iter().map(|(_, _, with_list)| if *with_list { 3 } else { 2 }).sum()
}

#[test]
fn container_that_changes_every_second_is_told_of_in_twenty() {
    let mut pace = Pace::default();
    let flapping = keys(1);
    let told = run(&mut pace, 600, &flapping);
    // Six at once, then every twenty seconds, and once in its time.
    assert!((30..=37).contains(&told.len()), "{}", told.len());
    assert_eq!(told.iter().filter(|(second, ..)| *second < 6).count(), 6, "the first are told at once");
    // What changed last is told, too.
    let last = START.plus_secs(600);
    pace.want(flapping[0], last);
    let due = pace.next_due(last).unwrap();
    assert!(due <= last.plus_secs(20), "{due:?}");
    assert_eq!(pace.take(due).len(), 1);
}

#[test]
fn flood_does_not_keep_a_neighbour_waiting_for_long() {
    let mut pace = Pace::default();
    let (flood, neighbour) = (keys(100), keys(1)[0]);
    let told = run(&mut pace, 300, &flood);
    assert!(told.iter().any(|(second, ..)| *second > 290), "the flood lasts");
    let now = START.plus_secs(300);
    pace.want(neighbour, now);
    flood.iter().for_each(|one| pace.want(*one, now));
    let turn = (0..20).find(|second| {
        let now = now.plus_secs(*second);
        let told = pace.take(now);
        told.iter().for_each(|(one, _)| pace.note(*one, Told::Lives, now));
        told.iter().any(|(one, _)| *one == neighbour)
    });
    assert!(turn.is_some(), "a new container is not heard of");
}

#[test]
fn hundred_that_come_back_together_stay_within_what_relays_take() {
    let mut pace = Pace::default();
    let all = keys(100);
    pace.extend(all.iter().copied());
    let told = run(&mut pace, 7_200, &[]);
    for minute in 0..120 {
        let within: Vec<_> = told.iter().filter(|(second, ..)| second / 60 == minute).copied().collect();
        assert!(events(&within) <= 100, "{} events in minute {minute}", events(&within));
    }
    let first: BTreeSet<_> =
        told.iter().filter(|(second, ..)| *second < 300).map(|(_, one, _)| one).collect();
    assert_eq!(first.len(), 100, "all are told of within five minutes");
    // Later they are spread: a hundred in ten minutes are ten a minute.
    for minute in 20..120 {
        let count = told.iter().filter(|(second, ..)| second / 60 == minute).count();
        assert!(count <= 25, "{count} containers in minute {minute}");
    }
    for one in &all {
        let times: Vec<u64> =
            told.iter().filter(|(_, it, _)| it == one).map(|(second, ..)| *second).collect();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= EVERY_SECS + 60, "{longest} s of silence");
        let lists = told.iter().filter(|(_, it, with_list)| it == one && *with_list).count();
        assert!((2..=4).contains(&lists), "{lists} lists in two hours");
    }
}

#[test]
fn what_is_over_is_forgotten_and_what_failed_comes_again() {
    let mut pace = Pace::default();
    let [over, failing] = keys(2)[..] else { panic!() };
    pace.want(over, START);
    pace.want(failing, START);
    assert_eq!(pace.take(START).len(), 2);
    pace.note(over, Told::NothingMore, START);
    pace.note(failing, Told::Failed, START);
    assert_eq!(pace.next_due(START), Some(START.plus_secs(AGAIN_SECS)));
    let later = START.plus_secs(AGAIN_SECS);
    assert_eq!(pace.take(later), [(failing, true)]);
    pace.note(failing, Told::Lives, later);
    assert_eq!(pace.turns.keys().collect::<Vec<_>>(), [&failing]);
}
