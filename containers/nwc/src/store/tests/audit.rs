//! The audit finds what was done behind the program's back.

use nostr::event::EventId;

use super::*;

/// A file that has a settled payment, one in flight, one that failed, and an open invoice.
fn busy() -> (TempDir, Store) {
    let (dir, store) = store();
    pay(&store, 1, 1_000);
    hold(&store, new_payment(2, 2_000, 10)).unwrap();
    let failed = hold(&store, new_payment(3, 3_000, 0)).unwrap();
    store.write(move |tx| payment::fail(tx, &failed, "no route", NOW)).unwrap();
    store.write(|tx| invoice::insert(tx, &new_invoice(4, 5)).map_err(StoreError::from)).unwrap();
    let event = |n| RequestEvent {
        event: EventId::from_byte_array([n; 32]),
        client: ALICE,
        service: BOB,
        scheme: Scheme::Nip44,
        signed_at: NOW,
    };
    store
        .write(move |tx| {
            request::record_answered(tx, &event(1), false, "{}", NOW)?;
            request::record_waiting(tx, &event(2), false, (&ALICE, preimage(2).1), NOW)
                .map_err(StoreError::from)
        })
        .unwrap();
    (dir, store)
}

/// The same with one that went over Lightning and one that came, of which the journal says nothing any more.
fn carried_forward() -> (TempDir, Store) {
    let (dir, store) = busy();
    let sent = NewPayment { service_fee: Msat::new(2), ..new_payment(5, 5_000, 20) };
    let asked = NewInvoice { payee: ALICE, ..new_invoice(6, 60) };
    store
        .write(move |tx| {
            let held = payment::hold(tx, sent, NOW)?;
            payment::dispatch(tx, &held)?;
            let held = payment::reload(tx, &held)?;
            payment::settle_external(tx, held, preimage(5).0, Msat::new(7), NOW)?;
            invoice::insert(tx, &asked)?;
            let asked = || invoice::by_hash(tx.view(), asked.payment_hash).map(Option::unwrap);
            invoice::begin_claim(tx, &asked()?)?;
            invoice::receive(tx, asked()?, Msat::new(60), NOW).map_err(HoldError::from)
        })
        .unwrap();
    // The newest stays.
    give(&store, "newest", ALICE, 1).unwrap();
    let bounds = past::Bounds {
        items_per_key: 100,
        oldest: UnixSecs(0),
        bytes: 1_000_000,
        journal: 1,
        file_bytes: 2_000_000,
        forget_hashes: false,
    };
    while store.write(move |tx| past::step(tx, &bounds, NOW)).unwrap() {}
    assert_eq!(store.read(|view| view.transactions()).unwrap(), 1);
    (dir, store)
}

fn check_damage(damage: &str, expected: fn(&AuditError) -> bool) {
    check_damage_of(busy(), damage, expected);
}

fn check_damage_of((dir, store): (TempDir, Store), damage: &str, expected: fn(&AuditError) -> bool) {
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
    let found = store.audit();
    assert!(found.as_ref().is_err_and(expected), "{damage}\n{found:?}");
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
         UPDATE open_invoices SET total = 0, unfunded = 0; DELETE FROM open_of; DELETE FROM open_pool",
        invoice,
    );
    check_damage("UPDATE invoice SET state = 'expired' WHERE state = 'settled'", invoice);
    check_damage("UPDATE invoice SET received_msat = 999 WHERE state = 'settled'", invoice);
    check_damage("UPDATE invoice SET payee = zeroblob(32) WHERE state = 'settled'", invoice);
    check_damage("UPDATE open_invoices SET total = 2", |error| matches!(error, AuditError::OpenInvoices));
    check_damage("UPDATE open_pool SET bytes = 2", |error| matches!(error, AuditError::OpenInvoices));
    check_damage("UPDATE open_pool SET unfunded = 0", |error| matches!(error, AuditError::OpenInvoices));
    let connections: fn(&AuditError) -> bool = |error| matches!(error, AuditError::Connections);
    check_damage("UPDATE connections_size SET house = 1", connections);
    check_damage("INSERT INTO connections_of VALUES (zeroblob(32), 1, 1, 1)", connections);
    check_damage("UPDATE open_of SET items = 2", |error| matches!(error, AuditError::OpenInvoices));
    check_damage("UPDATE accounts_size SET dust = dust + 1", |error| matches!(error, AuditError::Accounts));
    let hold_invoice: fn(&AuditError) -> bool = |error| matches!(error, AuditError::HoldInvoice(_));
    check_damage(
        "UPDATE invoice SET state = 'accepted', hold_secs = 9, settle_until = 5 WHERE state = 'open';
         UPDATE open_invoices SET total = 0, unfunded = 0",
        hold_invoice,
    );
    let requests: fn(&AuditError) -> bool = |error| matches!(error, AuditError::Requests);
    check_damage("UPDATE answers_of SET items = items - 1", requests);
    check_damage("UPDATE answers_of SET bytes = bytes + 1", requests);
    check_damage("UPDATE answers_of SET stranger = 0", requests);
    check_damage("UPDATE request_bytes SET bytes = bytes - 1", requests);
    check_damage("DELETE FROM request WHERE reply IS NULL", requests);
    check_damage("UPDATE request SET house = 1 WHERE reply IS NULL", requests);
    let history: fn(&AuditError) -> bool = |error| matches!(error, AuditError::History);
    check_damage("UPDATE history_of SET items = items + 1", history);
    check_damage("UPDATE history_size SET bytes = bytes + 1", history);
    check_damage("UPDATE payment SET metadata = '{}' WHERE state = 'settled'", history);
    check_damage("DELETE FROM history_of WHERE items = 1", history);
    check_damage("UPDATE history_size SET strangers = strangers + 1", history);
    check_damage(
        "UPDATE history_of SET stranger = 1 - stranger; UPDATE history_size SET strangers = bytes - strangers",
        history,
    );
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

#[test]
fn the_audit_compares_what_was_carried_forward_with_the_rows_that_are_left() {
    let payment: fn(&AuditError) -> bool = |error| matches!(error, AuditError::Payment(_));
    let invoice: fn(&AuditError) -> bool = |error| matches!(error, AuditError::Invoice(_));
    for (damage, expected) in [
        ("UPDATE ledger_carried SET digest = zeroblob(32) WHERE key GLOB 'payment/*/settle'", payment),
        ("UPDATE ledger_carried SET digest = zeroblob(32) WHERE key GLOB 'payment/*/hold'", payment),
        ("UPDATE ledger_carried SET digest = zeroblob(32) WHERE key GLOB 'payment/*/release'", payment),
        ("UPDATE ledger_carried SET digest = zeroblob(32) WHERE key GLOB 'invoice/*'", invoice),
        ("UPDATE payment SET payer = zeroblob(32) WHERE state = 'failed'", payment),
        ("UPDATE payment SET amount_msat = amount_msat + 1 WHERE state = 'settled' AND outside = 1", payment),
        ("UPDATE payment SET fee_msat = fee_msat + 1 WHERE state = 'settled' AND outside = 1", payment),
        ("UPDATE payment SET service_fee_msat = 1 WHERE state = 'failed'", payment),
        ("UPDATE invoice SET received_msat = 999 WHERE state = 'settled' AND outside = 0", payment),
        ("UPDATE invoice SET received_msat = 61 WHERE state = 'settled' AND outside = 1", invoice),
        ("UPDATE invoice SET payment_hash = zeroblob(32) WHERE state = 'settled' AND outside = 1", invoice),
    ] {
        check_damage_of(carried_forward(), damage, expected);
    }
}
