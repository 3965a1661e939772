//! The schema refuses what the code would never write, and the audit finds what even the schema let by.

use rusqlite::Connection;
use tempfile::TempDir;
use units::UnixSecs;

use super::*;
use crate::{Ledger, NewTransaction};

fn books() -> (TempDir, Ledger, Connection) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("books.db");
    let mut ledger = Ledger::open(&path).unwrap();
    for (key, amount) in [("one", 600), ("two", 400)] {
        let mint = NewTransaction::new(key, "mint", "", UnixSecs(1))
            .posting(Account::Faucet, Msat::new(-amount))
            .posting(Account::User([1; 32]), Msat::new(amount));
        ledger.post(&mint).unwrap();
    }
    let raw = Connection::open(&path).unwrap();
    raw.pragma_update(None, "foreign_keys", true).unwrap();
    (dir, ledger, raw)
}

#[test]
fn the_schema_refuses_what_would_break_the_books() {
    let (_dir, ledger, raw) = books();
    for (sql, reason) in [
        ("UPDATE ledger_posting SET amount_msat = 1", "append-only"),
        ("DELETE FROM ledger_posting", "append-only"),
        ("UPDATE ledger_transaction SET memo = 'x'", "append-only"),
        ("DELETE FROM ledger_transaction", "append-only"),
        ("UPDATE ledger_account SET class = 'asset'", "keeps its key"),
        ("DELETE FROM ledger_account", "only empty ones"),
        ("DELETE FROM ledger_complete", "never deleted"),
        ("UPDATE ledger_account SET balance_msat = -1 WHERE class = 'liability'", "CHECK"),
        // A posting that does not continue the balance.
        (
            "BEGIN; INSERT INTO ledger_transaction (key, kind, memo, posted_at, missing) VALUES ('x', 'k', '', 1, 2);
             INSERT INTO ledger_posting VALUES (3, 1, -5, -999); COMMIT",
            "continue the balance",
        ),
        // Unbalanced: the deferred foreign key refuses the commit.
        (
            "BEGIN; INSERT INTO ledger_transaction (key, kind, memo, posted_at, missing) VALUES ('x', 'k', '', 1, 2);
             INSERT INTO ledger_posting VALUES (3, 1, -5, -1005); INSERT INTO ledger_posting VALUES (3, 2, 6, 1006);
             COMMIT",
            "FOREIGN KEY",
        ),
        // Balanced so far, but a posting is missing.
        (
            "BEGIN; INSERT INTO ledger_transaction (key, kind, memo, posted_at, missing) VALUES ('x', 'k', '', 1, 3);
             INSERT INTO ledger_posting VALUES (3, 1, -5, -1005); INSERT INTO ledger_posting VALUES (3, 2, 5, 1005);
             COMMIT",
            "FOREIGN KEY",
        ),
        ("INSERT INTO ledger_transaction (key, kind, memo, posted_at, missing) VALUES ('x', 'k', '', 1, 2)", "FOREIGN KEY"),
        // One posting too many, here into a transaction that is long finished.
        (
            "BEGIN; INSERT INTO ledger_account (key, class, balance_msat) VALUES ('hold', 'liability', 0);
             INSERT INTO ledger_posting VALUES (1, 3, 5, 5); COMMIT",
            "CHECK",
        ),
        ("INSERT INTO ledger_transaction (key, kind, memo, posted_at, missing) VALUES ('one', 'k', '', 1, 2)", "UNIQUE"),
    ] {
        let refused = raw.execute_batch(sql).unwrap_err().to_string();
        assert!(refused.contains(reason), "{sql}\n{refused}");
        if !raw.is_autocommit() {
            raw.execute_batch("ROLLBACK").unwrap();
        }
        ledger.view().check_books().unwrap();
    }
}

/// Damages the books behind the triggers' back and expects the audit to name it.
fn check_damage(damage: &str, expected: fn(&BooksBroken) -> bool) {
    let (_dir, ledger, raw) = books();
    raw.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
    let triggers: Vec<String> = raw
        .prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for trigger in triggers {
        raw.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
    }
    raw.execute_batch(damage).unwrap();
    let broken = ledger.view().check_books().unwrap_err();
    assert!(expected(&broken), "{damage}\n{broken:?}");
}

#[test]
fn the_audit_finds_damage() {
    check_damage(
        "UPDATE ledger_account SET balance_msat = balance_msat + 1 WHERE id = 2",
        |broken| matches!(broken, BooksBroken::Sum { sum } if *sum == Msat::new(1)),
    );
    check_damage("UPDATE ledger_account SET balance_msat = balance_msat * 2", |broken| {
        matches!(broken, BooksBroken::Balance { .. })
    });
    check_damage("UPDATE ledger_account SET key = 'user:zz' WHERE id = 2", |broken| {
        matches!(broken, BooksBroken::Account { .. })
    });
    check_damage("UPDATE ledger_account SET class = 'asset' WHERE id = 2", |broken| {
        matches!(broken, BooksBroken::Account { .. })
    });
    check_damage(
        "UPDATE ledger_posting SET balance_after_msat = 7 WHERE transaction_id = 1 AND account_id = 2",
        |broken| matches!(broken, BooksBroken::Chain { .. }),
    );
    // Two transactions out of balance whose errors cancel: every balance still agrees.
    check_damage(
        "UPDATE ledger_posting SET amount_msat = amount_msat + 5, balance_after_msat = balance_after_msat + 5
             WHERE transaction_id = 1 AND account_id = 2;
         UPDATE ledger_posting SET amount_msat = amount_msat - 5 WHERE transaction_id = 2 AND account_id = 2",
        |broken| matches!(broken, BooksBroken::Transaction { .. }),
    );
    check_damage(
        "UPDATE ledger_posting SET amount_msat = -amount_msat, balance_after_msat = -balance_after_msat;
         UPDATE ledger_account SET balance_msat = -balance_msat",
        |broken| matches!(broken, BooksBroken::Negative { .. }),
    );
    check_damage("DROP TABLE ledger_posting", |broken| matches!(broken, BooksBroken::Sqlite(_)));
}
