use nostr::key::Keys;
use protocol::nec::GenesisError;
use quorum::{Head, RecordId};
use units::UnixSecs;

use super::disk::{self, Verdict};
use super::founding::{Refused, Start, decide as decide_start};
use super::standing::{Condition, Recovered, Standing};

const OURS: RecordId = RecordId([1; 32]);
const OTHER: RecordId = RecordId([2; 32]);

fn head(generation: u64) -> Head {
    Head { generation, digest: [u8::try_from(generation).unwrap(); 32] }
}

fn whole(record: RecordId, acknowledged: Option<Head>, pending: Option<Head>) -> Standing {
    Standing { pending, ..Standing::whole(record, acknowledged, None) }
}

#[test]
fn disk_is_used_only_if_nobody_is_ahead_of_it() {
    let (h4, h5, h6) = (Some(head(4)), Some(head(5)), Some(head(6)));
    let forged = Head { generation: 5, digest: [9; 32] };
    let half = |record| Some(Standing::replacing(record));
    let check = |standing: Option<Standing>, has_data, found, expected| {
        let verdict = disk::decide(standing.as_ref(), has_data, OURS, found);
        assert_eq!(verdict, expected, "{standing:?} data {has_data} head {found:?}");
    };
    // Nothing anywhere.
    check(None, false, None, Verdict::Begin);
    // Nothing here.
    check(None, false, h5, Verdict::Restore(head(5)));
    // Files that nobody vouches for.
    check(None, true, None, Verdict::Begin);
    check(None, true, h5, Verdict::Restore(head(5)));
    // A crash between the first write and the first snapshot.
    check(Some(whole(OURS, None, None)), true, None, Verdict::GoOn { head: None });
    check(Some(whole(OURS, None, Some(head(1)))), true, None, Verdict::GoOn { head: None });
    check(Some(whole(OURS, None, Some(head(1)))), true, Some(head(1)), Verdict::GoOn { head: Some(head(1)) });
    check(Some(whole(OURS, None, None)), false, None, Verdict::Begin);
    // A restart.
    check(Some(whole(OURS, h5, None)), true, h5, Verdict::GoOn { head: h5 });
    // A crash around `advance`: before it, and after it.
    check(Some(whole(OURS, h5, h6)), true, h5, Verdict::GoOn { head: h5 });
    check(Some(whole(OURS, h5, h6)), true, h6, Verdict::GoOn { head: h6 });
    // The file says that state is here, and it is not.
    check(Some(whole(OURS, h5, None)), false, h5, Verdict::Restore(head(5)));
    // Somebody was here since.
    check(Some(whole(OURS, h4, None)), true, h5, Verdict::Restore(head(5)));
    check(Some(whole(OURS, h4, h5)), true, h6, Verdict::Restore(head(6)));
    check(Some(whole(OURS, h5, None)), true, Some(forged), Verdict::Restore(forged));
    // The disk is ahead of the key stores: it was pending, and never acknowledged, but something else is
    // what they have.
    check(Some(whole(OURS, None, h6)), true, h5, Verdict::Restore(head(5)));
    // Another record's state.
    check(Some(whole(OTHER, h5, None)), true, h5, Verdict::Restore(head(5)));
    check(Some(whole(OTHER, h5, None)), true, None, Verdict::Begin);
    check(Some(whole(OTHER, None, None)), true, None, Verdict::Begin);
    // A restore or a wipe that did not come to its end, with or without something in place.
    for has_data in [true, false] {
        check(half(OURS), has_data, h5, Verdict::Restore(head(5)));
        check(half(OURS), has_data, None, Verdict::Begin);
        check(half(OTHER), has_data, h5, Verdict::Restore(head(5)));
    }
    // The key stores have forgotten what they acknowledged: neither go on nor wipe.
    check(Some(whole(OURS, h5, None)), true, None, Verdict::HeadLost(head(5)));
    check(Some(whole(OURS, h5, h6)), false, None, Verdict::HeadLost(head(5)));
}

#[test]
fn standing_is_kept_and_what_is_not_understood_counts_as_none() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Standing::load(dir.path()).unwrap(), None);
    let recovered = Recovered { at: UnixSecs(9), snapshot_made: UnixSecs(7) };
    let standing =
        Standing { pending: Some(head(6)), ..Standing::whole(OURS, Some(head(5)), Some(recovered)) };
    standing.save(dir.path()).unwrap();
    assert_eq!(Standing::load(dir.path()).unwrap(), Some(standing.clone()));
    let text = std::fs::read_to_string(dir.path().join("standing.json")).unwrap();
    for bad in
        ["", "{}", &text.replace("\"v\":1", "\"v\":2"), &text.replace("whole", "half"), &"x".repeat(20_000)]
    {
        std::fs::write(dir.path().join("standing.json"), bad).unwrap();
        assert_eq!(Standing::load(dir.path()).unwrap(), None, "{bad}");
    }
    Standing::replacing(OURS).save(dir.path()).unwrap();
    let read = Standing::load(dir.path()).unwrap().unwrap();
    assert_eq!((read.condition, read.acknowledged), (Condition::Replacing, None));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn fresh_start_needs_the_permission_of_this_run_in_time() {
    let (us, other) = (Keys::generate().public_key(), Keys::generate().public_key());
    let check = |permitted, in_time: bool, has_record, expected: Result<Start, &str>| {
        let current = if in_time { Ok(()) } else { Err(GenesisError::Expired(UnixSecs(7))) };
        let decided = decide_start(permitted, current, &us, has_record);
        assert_eq!(decided.as_ref().copied().map_err(Refused::code), expected, "{decided:?}");
    };
    check(&us, true, false, Ok(Start::Found));
    check(&us, false, false, Err("genesis_expired"));
    check(&other, true, false, Err("record_unknown"));
    check(&other, false, false, Err("record_unknown"));
    // A record is found by its event, however old that is, by whatever run.
    for permitted in [&us, &other] {
        check(permitted, true, true, Ok(Start::Recover));
        check(permitted, false, true, Ok(Start::Recover));
    }
}
