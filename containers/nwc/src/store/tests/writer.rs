//! The writer's thread under faults.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use super::*;

#[test]
fn changes_that_wait_are_committed_together_and_stand_alone() {
    let (_dir, store) = store();
    let store = Arc::new(store);
    let (entered, wait_entered) = sync_channel(0);
    let (leave, wait_leave) = sync_channel::<()>(0);
    let blocker = {
        let store = Arc::clone(&store);
        thread::spawn(move || {
            store.write(move |_| {
                entered.send(()).unwrap();
                wait_leave.recv().unwrap();
                Ok::<_, StoreError>(())
            })
        })
    };
    wait_entered.recv().unwrap();
    let keys = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"];
    let waiting: Vec<_> = keys
        .into_iter()
        .map(|key| {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                // Half of them fail after they have written.
                let fails = key.as_bytes()[1] % 2 == 0;
                give(&store, key, BOB, 1)?;
                store.write(move |tx| {
                    let spend = NewTransaction::new(format!("{key}/spend"), "gift", "", NOW)
                        .posting(account(BOB), Msat::new(-1))
                        .posting(Account::Faucet, Msat::new(1));
                    tx.post(&spend)?;
                    if fails { Err(StoreError::Inconsistent("on purpose")) } else { Ok(()) }
                })
            })
        })
        .collect();
    leave.send(()).unwrap();
    blocker.join().unwrap().unwrap();
    let failed = waiting.into_iter().map(|thread| thread.join().unwrap()).filter(Result::is_err).count();
    assert_eq!(failed, 4);
    assert_eq!(balances(&store)[1], 4, "what failed undid only itself");
    store.audit().unwrap();
}

#[tokio::test]
async fn after_a_commit_in_doubt_nothing_more_is_written() {
    let (dir, store) = store();
    assert!(!store.is_stopped());
    // An unfinished ledger transaction is refused by the schema at the commit, as a full disk would be.
    let doubtful = store.write(|tx| {
        tx.sql().execute(
            "INSERT INTO ledger_transaction (key, kind, memo, posted_at, missing) VALUES ('x', 'x', '', 1, 2)",
            [],
        )?;
        Ok::<_, StoreError>(())
    });
    assert!(matches!(doubtful, Err(StoreError::InDoubt)), "{doubtful:?}");
    tokio::time::timeout(Duration::from_secs(10), store.stopped()).await.unwrap();
    assert!(store.is_stopped());
    assert!(matches!(give(&store, "late", BOB, 1), Err(StoreError::Stopped)));
    assert_eq!(balances(&store), [100_000, 0, 0], "reading goes on");
    drop(store);
    let store = Store::open(&dir.path().join("wallet.db")).unwrap();
    give(&store, "late", BOB, 1).unwrap();
    store.audit().unwrap();
}

#[test]
fn a_full_file_refuses_what_does_not_fit_and_the_writer_goes_on() {
    let (_dir, store) = store();
    let used = store.read(|view| crate::store::used_bytes(view).map_err(StoreError::from)).unwrap();
    let bound = u32::try_from(used).unwrap() + 64 * 1024;
    store.write(move |tx| crate::store::bound(tx, bound).map_err(StoreError::from)).unwrap();
    let texts = |n: u8| {
        let mut new = new_invoice(n, 5);
        new.metadata = Some("x".repeat(4_096));
        store.write(move |tx| invoice::insert(tx, &new).map_err(StoreError::from))
    };
    let first_refused = (1..=100).find(|n| texts(*n).is_err()).expect("64 KiB hold no hundred of them");
    assert!(first_refused > 5);
    let count = || store.read(|view| total::open_invoices(view).map_err(StoreError::from)).unwrap();
    let before = count();
    assert_eq!(before, u32::from(first_refused) - 1, "what was refused left nothing");
    assert!(!store.is_stopped());
    store.audit().unwrap();
    // Where there is room again, it is used.
    store.write(move |tx| crate::store::bound(tx, bound * 2).map_err(StoreError::from)).unwrap();
    texts(first_refused).unwrap();
    give(&store, "after", BOB, 1).unwrap();
    assert_eq!(count(), before + 1);
    store.audit().unwrap();
}

#[test]
fn the_log_is_as_large_as_the_books_allow() {
    let (_dir, store) = store();
    let pages = |bytes_max: u32| {
        store
            .write(move |tx| {
                crate::store::bound(tx, bytes_max)?;
                tx.sql()
                    .pragma_query_value(None, "wal_autocheckpoint", |row| row.get::<_, u32>(0))
                    .map_err(StoreError::from)
            })
            .unwrap()
    };
    // Two MB, a sixteenth, 32 MB.
    assert_eq!([14_000_000, 160_000_000, 4_000_000_000].map(pages), [512, 2_441, 8_192]);
}

#[test]
fn a_change_that_panics_stops_the_writer_and_leaves_nothing() {
    let (dir, store) = store();
    let gift = NewTransaction::new("gift", "gift", "", NOW)
        .posting(Account::Faucet, Msat::new(-1))
        .posting(account(BOB), Msat::new(1));
    let result = store.write(move |tx| {
        tx.post(&gift)?;
        if tx.view().balance(account(BOB))? == Msat::new(1) {
            panic!("on purpose");
        }
        Ok::<_, StoreError>(())
    });
    assert!(matches!(result, Err(StoreError::Stopped)), "{result:?}");
    assert!(matches!(give(&store, "late", BOB, 1), Err(StoreError::Stopped)));
    drop(store);
    let store = Store::open(&dir.path().join("wallet.db")).unwrap();
    assert_eq!(balances(&store), [100_000, 0, 0]);
}
