use proptest::prelude::*;
use tempfile::TempDir;
use units::{Msat, UnixSecs};

use super::*;
use crate::{Account, Ledger, NewTransaction, PostError, Posted};

const HOUSE: Account = Account::Faucet;

fn user(n: u8) -> Account {
    Account::User([n; 32])
}

fn books() -> (TempDir, Ledger) {
    let dir = TempDir::new().unwrap();
    let ledger = Ledger::open(&dir.path().join("books.db")).unwrap();
    (dir, ledger)
}

fn moved(key: usize, from: Account, to: Account, msat: i64) -> NewTransaction {
    NewTransaction::new(format!("move/{key}"), "move", "", UnixSecs(7))
        .posting(from, Msat::new(-msat))
        .posting(to, Msat::new(msat))
}

fn compact(ledger: &mut Ledger, limit: u32, kept: u32) -> Result<u32, CompactError> {
    ledger.transaction(|tx| {
        let compaction = tx.begin_compaction()?;
        let gone = compaction.carry_forward(limit, kept, |key| Ok(key != "move/1"))?;
        compaction.end()?;
        Ok(gone)
    })
}

#[test]
fn what_went_keeps_balances_and_keys() {
    let (_dir, mut ledger) = books();
    for n in 0..10 {
        ledger.post(&moved(n, HOUSE, user(1), 5)).unwrap();
    }
    ledger.post(&moved(10, user(1), user(2), 20)).unwrap();
    let before = ledger.view().balances().unwrap();
    assert_eq!(compact(&mut ledger, 4, 3).unwrap(), 4);
    assert_eq!(compact(&mut ledger, 400, 3).unwrap(), 4);
    assert_eq!(compact(&mut ledger, 400, 3).unwrap(), 0);
    assert_eq!(ledger.view().balances().unwrap(), before);
    ledger.view().check_books().unwrap();
    assert_eq!(ledger.view().transactions().unwrap(), 3);
    // The statement begins with what is carried forward.
    let statement = ledger.view().statement(user(1), None, 99).unwrap();
    assert_eq!((statement.len(), statement[3].kind.as_str()), (4, "carried_forward"));
    assert_eq!(statement[3].balance_after, Msat::new(40));
    // Repeated, it is known; with other content, its key is used.
    assert_eq!(ledger.post(&moved(0, HOUSE, user(1), 5)).unwrap(), Posted::Already(CARRIED));
    assert!(matches!(ledger.post(&moved(0, HOUSE, user(1), 6)), Err(PostError::KeyReused { .. })));
    // What does not matter any more was forgotten.
    assert!(matches!(ledger.post(&moved(1, HOUSE, user(1), 5)).unwrap(), Posted::New(_)));
    ledger.view().check_books().unwrap();
}

#[test]
fn accounts_that_come_to_nothing_are_not_carried_forward() {
    let (_dir, mut ledger) = books();
    ledger.post(&moved(0, HOUSE, user(1), 5)).unwrap();
    ledger.post(&moved(1, user(1), HOUSE, 5)).unwrap();
    ledger.post(&moved(2, HOUSE, user(2), 5)).unwrap();
    assert_eq!(compact(&mut ledger, 2, 0).unwrap(), 2);
    assert_eq!(ledger.view().transaction(CARRIED_KEY).unwrap(), None);
    ledger.view().check_books().unwrap();
    // The newest stays, so that numbers rise for ever.
    assert_eq!(compact(&mut ledger, 9, 0).unwrap(), 0);
}

#[test]
fn nothing_goes_and_nothing_commits_beside_a_compaction() {
    let (dir, mut ledger) = books();
    ledger.post(&moved(0, HOUSE, user(1), 5)).unwrap();
    ledger.post(&moved(1, HOUSE, user(1), 5)).unwrap();
    let refused = |ledger: &mut Ledger, sql: &str| {
        ledger.transaction(|tx| tx.sql().execute_batch(sql)).unwrap_err().to_string()
    };
    for sql in [
        "DELETE FROM ledger_posting",
        "DELETE FROM ledger_transaction",
        "UPDATE ledger_posting SET amount_msat = 1, balance_after_msat = 1",
        "INSERT INTO ledger_carried VALUES ('a', zeroblob(32)); DELETE FROM ledger_carried",
        "INSERT INTO ledger_transaction (id, key, kind, memo, posted_at, missing) VALUES (0, 'a', 'b', '', 1, 0);
         INSERT INTO ledger_posting VALUES (0, 1, 5, 5)",
        // The mark alone lets nothing go that it does not name, and no commit through.
        "INSERT INTO ledger_compacting (one, through) VALUES (1, 0); DELETE FROM ledger_posting",
        "INSERT INTO ledger_compacting (one, through) VALUES (1, 9); UPDATE ledger_posting SET amount_msat = 1",
        "INSERT INTO ledger_compacting (one, through) VALUES (1, 9)",
    ] {
        refused(&mut ledger, sql);
    }
    let begun: Result<(), rusqlite::Error> = ledger.transaction(|tx| tx.begin_compaction().map(drop));
    assert!(begun.unwrap_err().to_string().contains("FOREIGN KEY"));
    drop(ledger);
    let ledger = Ledger::open(&dir.path().join("books.db")).unwrap();
    assert_eq!(ledger.view().balance(user(1)).unwrap(), Msat::new(10));
    ledger.view().check_books().unwrap();
}

#[test]
fn broken_books_are_not_compacted() {
    let (dir, mut ledger) = books();
    for n in 0..4 {
        ledger.post(&moved(n, HOUSE, user(1), 5)).unwrap();
    }
    let raw = rusqlite::Connection::open(dir.path().join("books.db")).unwrap();
    raw.execute_batch(
        "DROP TRIGGER ledger_posting_is_final;
         UPDATE ledger_posting SET amount_msat = amount_msat + 1 WHERE transaction_id = 2 AND amount_msat > 0",
    )
    .unwrap();
    assert!(matches!(compact(&mut ledger, 3, 1), Err(CompactError::Books(BooksBroken::Chain { .. }))));
    assert_eq!(ledger.view().transactions().unwrap(), 4, "nothing went");
}

#[test]
fn an_empty_account_that_nothing_names_goes_and_its_number_never_comes_back() {
    let (_dir, mut ledger) = books();
    ledger.post(&moved(0, HOUSE, user(1), 5)).unwrap();
    ledger.post(&moved(2, user(1), user(2), 5)).unwrap();
    let forget = |ledger: &mut Ledger, account| {
        ledger
            .transaction(|tx| {
                let compaction = tx.begin_compaction()?;
                let gone = compaction.forget_account(account)?;
                compaction.end()?;
                Ok::<_, rusqlite::Error>(gone)
            })
            .unwrap()
    };
    assert!(!forget(&mut ledger, user(1)), "its postings are there");
    ledger.post(&moved(3, user(2), user(3), 5)).unwrap();
    ledger.post(&moved(4, user(3), HOUSE, 1)).unwrap();
    compact(&mut ledger, 9, 1).unwrap();
    assert!(!forget(&mut ledger, user(3)), "it holds money");
    assert!(!forget(&mut ledger, HOUSE) && !forget(&mut ledger, user(9)));
    assert!(forget(&mut ledger, user(1)) && forget(&mut ledger, user(2)));
    ledger.view().check_books().unwrap();
    assert!(!ledger.view().exists(user(1)).unwrap());
    let id = |ledger: &Ledger, account: Account| -> i64 {
        let sql = "SELECT id FROM ledger_account WHERE key = ?1";
        ledger.view().sql().query_row(sql, [account.to_string()], |row| row.get(0)).unwrap()
    };
    ledger.post(&moved(5, user(3), user(1), 4)).unwrap();
    assert_eq!((id(&ledger, user(3)), id(&ledger, user(1))), (4, 5));
    // Emptied, the newest stays all the same: the next number comes after it.
    ledger.post(&moved(6, user(1), HOUSE, 4)).unwrap();
    ledger.post(&moved(7, HOUSE, user(3), 1)).unwrap();
    compact(&mut ledger, 9, 1).unwrap();
    assert!(!forget(&mut ledger, user(1)));
    ledger.view().check_books().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn balances_are_the_same_before_and_after(
        moves in prop::collection::vec((0u8..4, 0u8..4, 1i64..9), 1..40),
        steps in prop::collection::vec((1u32..9, 0u32..9), 1..6),
    ) {
        let (_dir, mut ledger) = books();
        let account = |n: u8| if n == 0 { HOUSE } else { user(n) };
        let mut steps = steps.into_iter();
        for (n, (from, to, msat)) in moves.into_iter().enumerate() {
            if from != to {
                // Who has too little is refused.
                let _poor = ledger.post(&moved(n, account(from), account(to), msat));
            }
            if n % 5 == 4 && let Some((limit, kept)) = steps.next() {
                let before = ledger.view().balances().unwrap();
                compact(&mut ledger, limit, kept).unwrap();
                prop_assert_eq!(ledger.view().balances().unwrap(), before);
                ledger.view().check_books().unwrap();
            }
        }
        ledger.view().check_books().unwrap();
    }
}
