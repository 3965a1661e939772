use nostr::key::Keys;

use super::*;

fn event(n: u8) -> EventId {
    EventId::from_byte_array([n; 32])
}

struct Log {
    dir: tempfile::TempDir,
    log: RequestLog,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = RequestLog::open(&dir.path().join("requests.db")).unwrap();
        Self { dir, log }
    }

    fn reopen(self) -> Self {
        drop(self.log);
        Self { log: RequestLog::open(&self.dir.path().join("requests.db")).unwrap(), dir: self.dir }
    }
}

#[test]
fn command_is_begun_once_and_answered_the_same_after_a_restart() {
    let caller = Keys::generate().public_key();
    let log = Log::new();
    let begin = |log: &Log, n| log.log.begin(&event(n), &caller, "a", &[1; 32], UnixSecs(1_000)).unwrap();
    assert_eq!(begin(&log, 1), Seen::Never);
    assert_eq!(begin(&log, 1), Seen::SameEvent);
    assert_eq!(begin(&log, 2), Seen::Unanswered);
    let log = log.reopen();
    assert_eq!(begin(&log, 1), Seen::SameEvent);
    assert_eq!(begin(&log, 3), Seen::Unanswered);
    log.log.finish(&caller, "a", "answer").unwrap();
    let log = log.reopen();
    assert_eq!(begin(&log, 4), Seen::Answered("answer".into()));
}

#[test]
fn id_belongs_to_one_caller_and_one_body() {
    let (alice, bob) = (Keys::generate().public_key(), Keys::generate().public_key());
    let log = Log::new();
    let begin = |n, caller, body| log.log.begin(&event(n), caller, "a", body, UnixSecs(1_000)).unwrap();
    assert_eq!(begin(1, &alice, &[1; 32]), Seen::Never);
    assert_eq!(begin(2, &alice, &[2; 32]), Seen::OtherCommand);
    assert_eq!(begin(3, &bob, &[2; 32]), Seen::Never);
    assert_ne!(RequestKey::new(&alice, "a", &[1; 32]), RequestKey::new(&bob, "a", &[1; 32]));
}

#[test]
fn event_that_is_a_command_is_answered_the_same_when_it_comes_again() {
    let caller = Keys::generate().public_key();
    let log = Log::new();
    let begin = |log: &Log| log.log.begin_event(&event(1), &caller, UnixSecs(1_000)).unwrap();
    assert_eq!(begin(&log), Seen::Never);
    let log = log.reopen();
    assert_eq!(begin(&log), Seen::Unanswered);
    log.log.finish(&caller, &event(1).to_hex(), "paid").unwrap();
    assert_eq!(begin(&log.reopen()), Seen::Answered("paid".into()));
}

#[test]
fn old_rows_are_removed_and_no_younger_ones() {
    let caller = Keys::generate().public_key();
    let log = Log::new();
    let begin = |n: u64, at| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        log.log.begin(&EventId::from_byte_array(id), &caller, &n.to_string(), &[1; 32], UnixSecs(at)).unwrap()
    };
    begin(0, 100_000);
    begin(1, 100_000 + KEPT_SECS);
    for n in 2..PRUNE_EVERY {
        begin(n, 100_001 + KEPT_SECS);
    }
    let count: i64 = lock(&log.log.writer)
        .connection
        .query_row("SELECT count(*) FROM commands WHERE id IN ('0', '1')", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
    assert_eq!(begin(1, 100_001 + KEPT_SECS), Seen::SameEvent);
}

#[test]
fn log_that_strangers_filled_takes_nothing_until_it_may_forget() {
    let mut log = Log::new();
    lock(&log.log.writer).rows_max = 2 * PRUNE_EVERY;
    let begin = |log: &Log, n: u64, now| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let caller = Keys::generate().public_key();
        log.log.begin(&EventId::from_byte_array(id), &caller, "a", &[1; 32], UnixSecs(now))
    };
    let mut taken = 0;
    while begin(&log, taken, 10_000).is_ok() {
        taken += 1;
        assert!(taken < 4 * PRUNE_EVERY, "it takes whatever comes");
    }
    assert!(taken >= 2 * PRUNE_EVERY);
    // What could still be sent again is kept, and known again after a restart.
    for n in 0..PRUNE_EVERY {
        assert!(matches!(begin(&log, n, 10_000 + REPLAYED_SECS - 1), Err(RequestLogError::Full)));
    }
    log = log.reopen();
    assert_eq!(begin(&log, 0, 10_000 + REPLAYED_SECS - 1).unwrap(), Seen::SameEvent);
    // What could not, goes.
    lock(&log.log.writer).rows_max = 2 * PRUNE_EVERY;
    for n in 0..2 * PRUNE_EVERY {
        drop(begin(&log, 100_000 + n, 10_001 + REPLAYED_SECS));
    }
    assert_eq!(begin(&log, 0, 10_001 + REPLAYED_SECS).unwrap(), Seen::Never);
}
