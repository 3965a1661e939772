use rusqlite::{Connection, params};

use super::*;

/// Steps of the release before quotas and compaction.
const BEFORE: usize = 5;

/// Posts as the ledger did then.
fn post(books: &Connection, id: i64, key: &str, postings: &[(i64, i64)]) {
    books
        .execute(
            "INSERT INTO ledger_transaction (id, key, kind, memo, posted_at, missing) VALUES (?1, ?2, 'k', '', 1, ?3)",
            params![id, key, i64::try_from(postings.len()).unwrap()],
        )
        .unwrap();
    for (account, amount) in postings {
        books
            .execute(
                "INSERT INTO ledger_posting SELECT ?1, id, ?3, balance_msat + ?3 FROM ledger_account WHERE id = ?2",
                [id, *account, *amount],
            )
            .unwrap();
    }
}

/// A file of that release: Alice (2) paid Bob (3), whom a stranger asks for an invoice.
fn old_books(path: &Path) {
    let mut books = Connection::open(path).unwrap();
    migrations().to_version(&mut books, BEFORE).unwrap();
    for (id, key, class) in [
        (1, Account::Faucet.to_string(), "equity"),
        (2, account(ALICE).to_string(), "liability"),
        (3, account(BOB).to_string(), "liability"),
        (4, Account::Hold.to_string(), "liability"),
    ] {
        books.execute("INSERT INTO ledger_account VALUES (?1, ?2, ?3, 0)", params![id, key, class]).unwrap();
    }
    let all = books.unchecked_transaction().unwrap();
    post(&books, 1, "start", &[(1, -1_000), (2, 1_000)]);
    post(&books, 2, "payment/1/1/hold", &[(2, -300), (4, 300)]);
    post(&books, 3, "payment/1/1/settle", &[(4, -300), (3, 300)]);
    let (proof, hash) = preimage(1);
    books
        .execute(
            "INSERT INTO payment (payer, payment_hash, bolt11, amount_msat, reserve_msat, attempt, state, preimage,
                 created_at, expires_at, settled_at) VALUES (?1, ?2, 'lnbcrt1', 300, 0, 1, 'settled', ?3, 5, 9, 6)",
            params![ALICE.as_bytes(), hash.as_bytes(), proof.as_bytes()],
        )
        .unwrap();
    for (own, state, seed) in [(1, "settled", 1), (0, "open", 2)] {
        let ((proof, hash), paid) = (preimage(seed), (state == "settled").then_some(300));
        books
            .execute(
                "INSERT INTO invoice (payment_hash, preimage, payee, own, unfunded, bolt11, amount_msat, state,
                     created_at, expires_at, accept_until, settled_at, received_msat)
                 VALUES (?1, ?2, ?3, ?4, 0, 'lnbcrt1', 300, ?5, 4, 9, 9, ?6, ?6)",
                params![hash.as_bytes(), proof.as_bytes(), BOB.as_bytes(), own, state, paid],
            )
            .unwrap();
    }
    // Two requests of Alice's: one was answered, one waits for a payment.
    for (event, reply) in [(1_u8, Some("{}")), (2, None)] {
        books
            .execute(
                "INSERT INTO request (event, client, service, scheme, payer, payment_hash, reply, at)
                 VALUES (?1, ?2, ?2, 'nip44', ?2, ?1, ?3, 5)",
                params![[event; 32], ALICE.as_bytes(), reply],
            )
            .unwrap();
    }
    all.commit().unwrap();
}

#[test]
fn a_file_of_an_earlier_release_is_brought_up_to_date_and_compacted() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("wallet.db");
    old_books(&path);
    let store = Store::open(&path).unwrap();
    store.audit().unwrap();
    assert_eq!(balances(&store), [700, 300, 0]);
    let remembered = |store: &Store| store.read(|view| request::rows_of(view, &ALICE)).unwrap();
    assert_eq!(remembered(&store), 2);
    // What waited is counted on when it is answered, and once more when it is forgotten.
    store
        .write(|tx| {
            request::answer_waiting(tx, &ALICE, PaymentHash::from_bytes([2; 32]), "{}")?;
            request::forget_of(tx, &ALICE, UnixSecs(1_000_000)).map_err(StoreError::from)
        })
        .unwrap();
    assert_eq!(remembered(&store), 0);
    let size = |store: &Store| store.read(past::size).unwrap().items;
    assert_eq!(size(&store), 2);
    let asked: Vec<AskedBy> = [1, 2]
        .map(|seed| store.read(|view| invoice::by_hash(view, preimage(seed).1)).unwrap().unwrap().asked_by)
        .into();
    assert_eq!(asked, [AskedBy::Payee, AskedBy::Key]);
    // What was finished then may go now, and nothing of it was over Lightning.
    let bounds = past::Bounds {
        items_per_key: 0,
        oldest: UnixSecs(0),
        bytes: 0,
        journal: 1,
        file_bytes: 2_000_000,
        forget_hashes: false,
    };
    while store.write(move |tx| past::step(tx, &bounds, NOW)).unwrap() {}
    assert_eq!((size(&store), balances(&store)), (0, [700, 300, 0]));
    assert!(!store.read(|view| past::is_past(view, preimage(1).1)).unwrap());
    store.audit().unwrap();
}

/// Steps of the release before it was noted which connections the house made, and whose history is a stranger's.
const BEFORE_SHARES: usize = 9;

#[test]
fn connections_that_the_house_made_before_are_its_own_after() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("wallet.db");
    let mut books = Connection::open(&path).unwrap();
    migrations().to_version(&mut books, BEFORE_SHARES).unwrap();
    // The house asks for what pays Bob, its container; Alice asks for herself.
    for (seed, payee, asked_by) in [(1, BOB, "house"), (2, ALICE, "payee")] {
        let (proof, hash) = preimage(seed);
        books
            .execute(
                "INSERT INTO invoice (payment_hash, preimage, payee, own, unfunded, bolt11, amount_msat, state,
                     created_at, expires_at, accept_until, asked_by)
                 VALUES (?1, ?2, ?3, 1, 0, 'lnbcrt1', 300, 'open', 4, 9, 9, ?4)",
                params![hash.as_bytes(), proof.as_bytes(), payee.as_bytes(), asked_by],
            )
            .unwrap();
    }
    for (service, owner) in [(1_u8, BOB), (2, BOB), (3, ALICE)] {
        books
            .execute(
                "INSERT INTO connection (service, secret, client, owner, name, methods, notifications, renewal,
                     created_at, notification_types)
                 VALUES (?1, ?1, ?1, ?2, '', 'get_balance', 0, 'never', 1, '')",
                params![[service; 32], owner.as_bytes()],
            )
            .unwrap();
    }
    drop(books);
    let store = Store::open(&path).unwrap();
    store.audit().unwrap();
    let counts = store.read(|view| connection::counts(view, &BOB)).unwrap();
    assert_eq!((counts.of_owner, counts.of_house, counts.of_others), (2, 2, 1));
    assert_eq!(store.read(|view| connection::owner(view, &BOB)).unwrap(), None);
    assert_eq!(store.read(|view| connection::owner(view, &ALICE)).unwrap().unwrap().items, 1);
    let pools = store.read(|view| {
        [AskedBy::Payee, AskedBy::House]
            .map(|asked_by| {
                let pool = open_invoice::Pool { asked_by, unfunded: false };
                open_invoice::in_pool(view, pool).map(|has| has.items)
            })
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
    });
    assert_eq!(pools.unwrap(), [1, 0]);
}
