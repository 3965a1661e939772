use nostr::key::Keys;

use super::*;

fn event(n: u8) -> EventId {
    EventId::from_byte_array([n; 32])
}

fn numbered(n: u64) -> EventId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&n.to_be_bytes());
    EventId::from_byte_array(id)
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
    let begin =
        |log: &Log, n| log.log.begin(&event(n), &caller, "a", &[1; 32], UnixSecs(1_000), || false).unwrap();
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
    let begin =
        |n, caller, body| log.log.begin(&event(n), caller, "a", body, UnixSecs(1_000), || false).unwrap();
    assert_eq!(begin(1, &alice, &[1; 32]), Seen::Never);
    assert_eq!(begin(2, &alice, &[2; 32]), Seen::OtherCommand);
    assert_eq!(begin(3, &bob, &[2; 32]), Seen::Never);
    assert_ne!(RequestKey::new(&alice, "a", &[1; 32]), RequestKey::new(&bob, "a", &[1; 32]));
}

#[test]
fn old_rows_are_removed_and_no_younger_ones() {
    let caller = Keys::generate().public_key();
    let log = Log::new();
    let begin = |n: u64, at| {
        log.log.begin(&numbered(n), &caller, &n.to_string(), &[1; 32], UnixSecs(at), || false).unwrap()
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

/// Takes the `n`th command, of a key of its own.
fn take(log: &Log, n: u64, now: u64, is_known: bool) -> Result<Seen, RequestLogError> {
    let caller = Keys::generate().public_key();
    log.log.begin(&numbered(n), &caller, "a", &[1; 32], UnixSecs(now), || is_known)
}

#[test]
fn log_that_strangers_filled_takes_nothing_of_them_until_it_may_forget() {
    let mut log = Log::new();
    lock(&log.log.writer).rows_max = 2 * PRUNE_EVERY;
    let mut taken = 0;
    while take(&log, taken, 10_000, false).is_ok() {
        taken += 1;
        assert!(taken < 4 * PRUNE_EVERY, "it takes whatever comes");
    }
    assert!(taken > PRUNE_EVERY);
    // What could still be sent again is kept, and known again after a restart.
    for n in 0..PRUNE_EVERY {
        let refused = take(&log, n, 10_000 + REPLAYED_SECS - 1, false);
        assert!(matches!(refused, Err(RequestLogError::Full)));
    }
    log = log.reopen();
    assert_eq!(take(&log, 0, 10_000 + REPLAYED_SECS - 1, false).unwrap(), Seen::SameEvent);
    assert!(log.log.has_taken(&numbered(0)) && !log.log.has_taken(&numbered(100_000)));
    // What could not, goes.
    lock(&log.log.writer).rows_max = 2 * PRUNE_EVERY;
    for n in 0..PRUNE_EVERY {
        take(&log, 100_000 + n, 10_001 + REPLAYED_SECS, false).unwrap();
    }
    assert!(!log.log.has_taken(&numbered(0)));
    // Until when that may be, is known: also after a restart.
    assert_eq!(log.log.forgot_before(), UnixSecs(10_001));
    log = log.reopen();
    assert_eq!(log.log.forgot_before(), UnixSecs(10_001));
    assert_eq!(take(&log, 0, 10_001 + REPLAYED_SECS, false).unwrap(), Seen::Never);
}

#[test]
fn log_that_is_not_crowded_forgets_nothing_early() {
    let log = Log::new();
    for n in 0..2 * PRUNE_EVERY {
        take(&log, n, 10_000 + REPLAYED_SECS * n, false).unwrap();
    }
    assert_eq!(log.log.forgot_before(), UnixSecs(0));
}

#[test]
fn strangers_leave_a_quarter_of_the_rows_to_keys_that_are_known() {
    let log = Log::new();
    lock(&log.log.writer).rows_max = 8 * PRUNE_EVERY;
    let taken = (0..).take_while(|n| take(&log, *n, 10_000, false).is_ok()).count();
    let taken = u64::try_from(taken).unwrap();
    assert!((6 * PRUNE_EVERY..=7 * PRUNE_EVERY).contains(&taken), "{taken}");
    assert!(matches!(take(&log, 1 << 32, 10_000, false), Err(RequestLogError::Full)));
    let more = (0..PRUNE_EVERY / 2).filter(|n| take(&log, (2 << 32) + n, 10_000, true).is_ok()).count();
    assert_eq!(u64::try_from(more).unwrap(), PRUNE_EVERY / 2, "a customer is refused for strangers");
    // They have no more than there is.
    let rest = (3 << 32..).take_while(|n| take(&log, *n, 10_000, true).is_ok()).count();
    assert!(rest < usize::try_from(2 * PRUNE_EVERY).unwrap(), "{rest}");
}

/// Records `count` answers of so many bytes to the commands `id`0, `id`1, … of one key.
fn answer(log: &Log, caller: &PublicKey, id: &str, count: usize, bytes: usize) -> Vec<Seen> {
    let begin = |id: &str| {
        let event = EventId::from_byte_array(Keys::generate().public_key().to_bytes());
        log.log.begin(&event, caller, id, &[1; 32], UnixSecs(1_000), || false).unwrap()
    };
    let ids: Vec<_> = (0..count).map(|n| format!("{id}{n}")).collect();
    for id in &ids {
        assert_eq!(begin(id), Seen::Never);
        log.log.finish(caller, id, &"x".repeat(bytes)).unwrap();
    }
    ids.iter().map(|id| begin(id)).collect()
}

fn kept(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| matches!(seen, Seen::Answered(_))).count()
}

#[test]
fn answers_are_kept_within_a_budget_and_what_was_done_is_known_beyond_it() {
    let [busy, other] = [Keys::generate().public_key(), Keys::generate().public_key()];
    let log = Log::new();
    let long = answer(&log, &busy, "long", 40, 32 * 1024);
    assert_eq!(kept(&long), 32, "a mebibyte of one key's");
    assert!(long[32..].iter().all(|seen| *seen == Seen::Done), "and none of them runs twice");
    assert_eq!(kept(&answer(&log, &busy, "short", 40, SHORT_BYTES_MAX)), 40);
    assert_eq!(kept(&answer(&log, &other, "long", 1, 32 * 1024)), 1, "a key has what is its own");
    // All keys together, counted again after a restart.
    let log = log.reopen();
    lock(&log.log.writer).kept_bytes_max = 34 * 32 * 1024;
    assert_eq!(kept(&answer(&log, &Keys::generate().public_key(), "long", 2, 32 * 1024)), 1);
}

#[test]
fn command_that_is_done_is_done_also_after_a_restart() {
    let caller = Keys::generate().public_key();
    let log = Log::new();
    let begin =
        |log: &Log, n| log.log.begin(&event(n), &caller, "a", &[1; 32], UnixSecs(1), || false).unwrap();
    assert_eq!(begin(&log, 1), Seen::Never);
    log.log.done(&caller, "a").unwrap();
    assert_eq!(begin(&log.reopen(), 2), Seen::Done);
}
