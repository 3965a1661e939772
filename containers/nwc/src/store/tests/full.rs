//! A file that is full to its last page.

use super::*;

const BOUND: u32 = 2_000_000;

#[test]
fn attack_25_a_file_that_is_full_to_the_last_page_is_compacted() {
    let (_dir, store) = store();
    store.write(|tx| bound(tx, BOUND).map_err(StoreError::from)).unwrap();
    // Transactions whose keys stay when they go: each step writes as it deletes.
    let gifts = (0..2_000).map(|n| {
        NewTransaction::new(format!("gift/{n}"), "gift", "", NOW)
            .posting(Account::Faucet, Msat::new(-1))
            .posting(account(BOB), Msat::new(1))
    });
    let gifts: Vec<_> = gifts.collect();
    store
        .write(move |tx| gifts.iter().try_for_each(|gift| tx.post(gift).map(drop).map_err(StoreError::from)))
        .unwrap();
    store
        .write(|tx| tx.sql().execute_batch("CREATE TABLE junk (bytes BLOB)").map_err(StoreError::from))
        .unwrap();
    for bytes in [100_000, 3_000, 100] {
        let fill = move |tx: &LedgerTx<'_>| {
            tx.sql().execute("INSERT INTO junk VALUES (zeroblob(?1))", [bytes]).map_err(StoreError::from)
        };
        while store.write(fill).is_ok() {}
    }
    let before = (store.read(used_bytes).unwrap(), balances(&store));
    assert!(before.0 > 1_990_000, "{before:?}");
    let bounds = past::Bounds {
        items_per_key: 10,
        oldest: UnixSecs(0),
        bytes: 1_000_000,
        journal: 10,
        file_bytes: BOUND,
        forget_hashes: false,
    };
    while store.write(move |tx| past::step(tx, &bounds, NOW)).unwrap() {}
    let after = store.read(used_bytes).unwrap();
    assert!(after + 50_000 < before.0, "{after} of {}", before.0);
    assert_eq!(balances(&store), before.1);
    assert!(store.read(|view| view.transactions()).unwrap() <= 10);
    give(&store, "room again", ALICE, 1).unwrap();
    store.read(|view| view.check_books().map_err(AuditError::from)).unwrap();
}
