use tempfile::TempDir;
use units::UnixSecs;

use super::*;
use crate::Reader;

const ALICE: Account = Account::User([1; 32]);
const BOB: Account = Account::User([2; 32]);

fn move_money(key: &str, from: Account, to: Account, msat: i64) -> NewTransaction {
    NewTransaction::new(key, "transfer", "test", UnixSecs(7))
        .posting(from, Msat::new(-msat))
        .posting(to, Msat::new(msat))
}

fn books() -> (TempDir, Ledger) {
    let dir = TempDir::new().unwrap();
    let mut ledger = Ledger::open(&dir.path().join("books.db")).unwrap();
    ledger.post(&move_money("mint", Account::Faucet, ALICE, 1_000)).unwrap();
    (dir, ledger)
}

fn balances(ledger: &Ledger) -> [i64; 3] {
    [Account::Faucet, ALICE, BOB].map(|account| ledger.view().balance(account).unwrap().msat())
}

#[test]
fn a_posting_moves_balances_and_the_sum_stays_zero() {
    let (_dir, mut ledger) = books();
    assert!(matches!(ledger.post(&move_money("a", ALICE, BOB, 300)), Ok(Posted::New(_))));
    assert_eq!(balances(&ledger), [-1_000, 700, 300]);
    assert_eq!(ledger.view().sum().unwrap(), Msat::ZERO);
    ledger.view().check_books().unwrap();
}

#[test]
fn the_same_key_posts_once() {
    let (_dir, mut ledger) = books();
    let Ok(Posted::New(id)) = ledger.post(&move_money("a", ALICE, BOB, 300)) else { panic!("not posted") };
    let mut later = move_money("a", ALICE, BOB, 300);
    later.at = UnixSecs(99);
    later.postings.reverse();
    assert_eq!(ledger.post(&later).unwrap(), Posted::Already(id));
    assert_eq!(balances(&ledger), [-1_000, 700, 300]);
}

#[test]
fn the_same_key_with_other_content_is_an_error() {
    let (_dir, mut ledger) = books();
    ledger.post(&move_money("a", ALICE, BOB, 300)).unwrap();
    let mut other_kind = move_money("a", ALICE, BOB, 300);
    other_kind.kind = "gift";
    let mut other_memo = move_money("a", ALICE, BOB, 300);
    other_memo.memo = "another".to_owned();
    let other_amount = move_money("a", ALICE, BOB, 301);
    let other_accounts = move_money("a", BOB, ALICE, 300);
    for other in [other_kind, other_memo, other_amount, other_accounts] {
        assert!(matches!(ledger.post(&other), Err(PostError::KeyReused { key }) if key == "a"), "{other:?}");
    }
    assert_eq!(balances(&ledger), [-1_000, 700, 300]);
}

#[test]
fn a_liability_never_falls_below_zero() {
    let (_dir, mut ledger) = books();
    match ledger.post(&move_money("a", ALICE, BOB, 1_001)) {
        Err(PostError::Insufficient { account, balance, needed }) => {
            assert_eq!((account, balance, needed), (ALICE, Msat::new(1_000), Msat::new(1_001)));
        }
        other => panic!("{other:?}"),
    }
    assert!(!ledger.view().exists(BOB).unwrap(), "a refused posting makes no account");
    ledger.post(&move_money("a", ALICE, BOB, 1_000)).unwrap();
    assert_eq!(balances(&ledger), [-1_000, 0, 1_000]);
}

#[test]
fn an_asset_may_have_either_sign() {
    let (_dir, mut ledger) = books();
    ledger.post(&move_money("in", Account::NodeLightning, BOB, 5)).unwrap();
    ledger.post(&move_money("out", ALICE, Account::NodeLightning, 9)).unwrap();
    assert_eq!(ledger.view().balance(Account::NodeLightning).unwrap(), Msat::new(4));
    ledger.view().check_books().unwrap();
}

#[test]
fn a_balance_out_of_range_is_refused() {
    let (_dir, mut ledger) = books();
    let refused = ledger.post(&move_money("a", Account::Faucet, ALICE, i64::MAX));
    assert!(matches!(refused, Err(PostError::Overflow { account: Account::Faucet })), "{refused:?}");
    assert_eq!(balances(&ledger), [-1_000, 1_000, 0]);
}

#[test]
fn a_change_that_fails_leaves_nothing() {
    let (_dir, mut ledger) = books();
    let result: Result<(), PostError> = ledger.transaction(|tx| {
        tx.post(&move_money("a", ALICE, BOB, 300))?;
        tx.sql().execute("CREATE TABLE own (x)", [])?;
        tx.post(&move_money("b", ALICE, BOB, 9_999)).map(drop)
    });
    assert!(matches!(result, Err(PostError::Insufficient { .. })));
    assert_eq!(balances(&ledger), [-1_000, 1_000, 0]);
    assert!(ledger.view().sql().query_row("SELECT count(*) FROM own", [], |_| Ok(())).is_err());
}

#[test]
fn a_failed_change_of_a_batch_leaves_the_others() {
    let (_dir, mut ledger) = books();
    let mut batch = ledger.batch().unwrap();
    batch.apply(|tx| tx.post(&move_money("a", ALICE, BOB, 300))).unwrap();
    let failed = batch.apply(|tx| {
        tx.post(&move_money("b", BOB, ALICE, 100))?;
        tx.post(&move_money("c", ALICE, BOB, 9_999))
    });
    assert!(failed.is_err());
    batch.apply(|tx| tx.post(&move_money("d", ALICE, BOB, 1))).unwrap();
    batch.commit().unwrap();
    assert_eq!(balances(&ledger), [-1_000, 699, 301]);
    assert_eq!(ledger.view().transaction("b").unwrap(), None);
    ledger.view().check_books().unwrap();
}

#[test]
fn a_batch_that_is_dropped_leaves_nothing() {
    let (_dir, mut ledger) = books();
    let mut batch = ledger.batch().unwrap();
    batch.apply(|tx| tx.post(&move_money("a", ALICE, BOB, 300))).unwrap();
    drop(batch);
    assert_eq!(balances(&ledger), [-1_000, 1_000, 0]);
}

#[test]
fn books_survive_being_closed_and_reopened() {
    let (dir, mut ledger) = books();
    ledger.post(&move_money("a", ALICE, BOB, 300)).unwrap();
    drop(ledger);
    let mut ledger = Ledger::open(&dir.path().join("books.db")).unwrap();
    assert_eq!(balances(&ledger), [-1_000, 700, 300]);
    assert!(matches!(ledger.post(&move_money("a", ALICE, BOB, 300)), Ok(Posted::Already(_))));
}

#[test]
fn a_reader_sees_commits_only_and_cannot_write() {
    let (dir, mut ledger) = books();
    let mut reader = Reader::open(&dir.path().join("books.db")).unwrap();
    let mut batch = ledger.batch().unwrap();
    batch.apply(|tx| tx.post(&move_money("a", ALICE, BOB, 300))).unwrap();
    let mut bob = || reader.snapshot(|view| view.balance(BOB)).unwrap().msat();
    assert_eq!(bob(), 0, "the writer holds the lock, the reader does not wait and sees the last commit");
    batch.commit().unwrap();
    assert_eq!(bob(), 300);
    let refused = reader.snapshot(|view| view.sql().execute("DELETE FROM ledger_posting", []));
    assert!(refused.unwrap_err().to_string().contains("readonly"));
}

#[test]
fn a_reader_of_missing_books_is_an_error() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(Reader::open(&dir.path().join("none.db")), Err(OpenError::Sqlite { .. })));
}

#[test]
fn books_of_a_newer_release_are_refused() {
    let (dir, ledger) = books();
    ledger.view().sql().pragma_update(None, "user_version", 99).unwrap();
    drop(ledger);
    assert!(matches!(Ledger::open(&dir.path().join("books.db")), Err(OpenError::Schema { .. })));
}

#[test]
fn write_ahead_log_stays_small_beside_the_books() {
    let (dir, mut ledger) = books();
    let mut reader = Reader::open(&dir.path().join("books.db")).unwrap();
    for n in 0..600 {
        ledger.post(&move_money(&format!("t{n}"), ALICE, BOB, 1)).unwrap();
        // Whoever reads between commits must not keep the log from being copied.
        assert_eq!(reader.snapshot(|view| view.balance(BOB)).unwrap().msat(), n + 1);
    }
    let bytes = std::fs::metadata(dir.path().join("books.db-wal")).unwrap().len();
    assert!(bytes < 4 << 20, "{bytes} bytes after 601 commits");
}

#[test]
fn a_statement_is_newest_first_and_pages() {
    let (_dir, mut ledger) = books();
    for n in 1..=5 {
        ledger.post(&move_money(&format!("t{n}"), ALICE, BOB, n)).unwrap();
    }
    let view = ledger.view();
    let page = view.statement(ALICE, None, 2).unwrap();
    let shown = |page: &[crate::Entry]| -> Vec<(String, i64, i64)> {
        page.iter().map(|e| (e.key.clone(), e.amount.msat(), e.balance_after.msat())).collect()
    };
    assert_eq!(shown(&page), [("t5".to_owned(), -5, 985), ("t4".to_owned(), -4, 990)]);
    assert_eq!(
        (page[0].kind.as_str(), page[0].memo.as_str(), page[0].posted_at),
        ("transfer", "test", UnixSecs(7))
    );
    let rest = view.statement(ALICE, Some(page[1].transaction), 100).unwrap();
    assert_eq!(shown(&rest)[3], ("mint".to_owned(), 1_000, 1_000));
    assert_eq!(rest.len(), 4);
    assert_eq!(view.statement(Account::Hold, None, 100).unwrap(), []);
}
