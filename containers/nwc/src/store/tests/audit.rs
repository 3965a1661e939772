//! The audit finds what was done behind the program's back.

use super::*;

/// Damages a file that has a settled payment, one in flight, one that failed, and an open invoice.
fn check_damage(damage: &str, expected: fn(&AuditError) -> bool) {
    let (dir, store) = store();
    pay(&store, 1, 1_000);
    hold(&store, new_payment(2, 2_000, 10)).unwrap();
    let failed = hold(&store, new_payment(3, 3_000, 0)).unwrap();
    store.write(move |tx| payment::fail(tx, &failed, "no route", NOW)).unwrap();
    store.write(|tx| invoice::insert(tx, &new_invoice(4, 5)).map_err(StoreError::from)).unwrap();
    store.audit().unwrap();
    let raw = rusqlite::Connection::open(dir.path().join("wallet.db")).unwrap();
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
    let error = store.audit().unwrap_err();
    assert!(expected(&error), "{damage}\n{error:?}");
}

#[test]
fn the_audit_finds_damage() {
    let payment: fn(&AuditError) -> bool = |error| matches!(error, AuditError::Payment(_));
    let invoice: fn(&AuditError) -> bool = |error| matches!(error, AuditError::Invoice(_));
    let hold: fn(&AuditError) -> bool = |error| matches!(error, AuditError::Hold { .. });
    check_damage("UPDATE ledger_account SET balance_msat = balance_msat + 1 WHERE id = 1", |error| {
        matches!(error, AuditError::Books(_))
    });
    check_damage("UPDATE payment SET reserve_msat = 11 WHERE state = 'held'", hold);
    check_damage("UPDATE payment SET state = 'failed' WHERE state = 'held'", hold);
    check_damage("UPDATE payment SET state = 'settled' WHERE state = 'failed'", payment);
    check_damage("UPDATE payment SET state = 'failed' WHERE state = 'settled'", payment);
    check_damage("UPDATE payment SET attempt = 2 WHERE state = 'settled'", payment);
    check_damage(
        "UPDATE invoice SET state = 'settled', received_msat = 5 WHERE state = 'open';
         UPDATE open_invoices SET total = 0, unfunded = 0, bytes = 0; DELETE FROM open_of",
        invoice,
    );
    check_damage("UPDATE invoice SET state = 'expired' WHERE state = 'settled'", invoice);
    check_damage("UPDATE invoice SET received_msat = 999 WHERE state = 'settled'", invoice);
    check_damage("UPDATE invoice SET payee = zeroblob(32) WHERE state = 'settled'", invoice);
    check_damage("UPDATE open_invoices SET total = 2", |error| matches!(error, AuditError::OpenInvoices));
    check_damage("UPDATE open_invoices SET bytes = 2", |error| matches!(error, AuditError::OpenInvoices));
    check_damage("UPDATE open_of SET items = 2", |error| matches!(error, AuditError::OpenInvoices));
    check_damage("UPDATE accounts_size SET dust = dust + 1", |error| matches!(error, AuditError::Accounts));
    let hold_invoice: fn(&AuditError) -> bool = |error| matches!(error, AuditError::HoldInvoice(_));
    check_damage(
        "UPDATE invoice SET state = 'accepted', hold_secs = 9, settle_until = 5 WHERE state = 'open';
         UPDATE open_invoices SET total = 0, unfunded = 0",
        hold_invoice,
    );
    let history: fn(&AuditError) -> bool = |error| matches!(error, AuditError::History);
    check_damage("UPDATE history_of SET items = items + 1", history);
    check_damage("UPDATE history_size SET bytes = bytes + 1", history);
    check_damage("UPDATE payment SET metadata = '{}' WHERE state = 'settled'", history);
    check_damage("DELETE FROM history_of WHERE items = 1", history);
}

#[test]
fn a_payment_of_anothers_invoice_with_the_hash_of_ours_does_not_break_the_audit() {
    let (_dir, store) = store();
    // Alice is paid ten from outside, and then pays an invoice from elsewhere with the same hash, of which ten
    // come back.
    let ours = NewInvoice { payee: ALICE, ..new_invoice(1, 10) };
    let theirs = NewPayment { bolt11: "lnbcrt2".to_owned(), ..new_payment(1, 1_000, 10) };
    store
        .write(move |tx| {
            invoice::insert(tx, &ours)?;
            let asked = invoice::by_hash(tx.view(), ours.payment_hash)?;
            let asked = asked.ok_or(StoreError::Inconsistent("no invoice"))?;
            invoice::begin_claim(tx, &asked)?;
            let asked = invoice::by_hash(tx.view(), ours.payment_hash)?;
            let asked = asked.ok_or(StoreError::Inconsistent("no invoice"))?;
            invoice::receive(tx, asked, Msat::new(10), NOW)?;
            let held = payment::hold(tx, theirs, NOW)?;
            payment::settle_external(tx, held, preimage(1).0, Msat::ZERO, NOW).map_err(HoldError::from)
        })
        .unwrap();
    store.audit().unwrap();
}
