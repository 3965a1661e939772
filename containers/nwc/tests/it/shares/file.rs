//! Which part of the file is for whom.

use super::*;

/// The smallest file there is.
const BOUND: i64 = 2_000_000;

/// A wallet with a stranger, a holder and a container, each with its own door.
fn small() -> Busy {
    let busy = Busy::new(|limits| limits.books_bytes_max = u32::try_from(BOUND).unwrap());
    busy.world.give(person(CUSTOMER), 1_000_000);
    busy.world.give(person(CONTAINER), 1_000_000);
    busy
}

/// Fills the file up to so many hundredths with what nobody can give up.
fn fill(busy: &Busy, hundredths: i64) {
    let used = busy.count(
        "SELECT (page_count - freelist_count) * page_size
         FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    );
    let raw = rusqlite::Connection::open(busy.world.dir.path().join("wallet.db")).unwrap();
    raw.execute_batch("CREATE TABLE IF NOT EXISTS filler (bytes BLOB NOT NULL)").unwrap();
    let missing = BOUND / 100 * hundredths - used;
    assert!(missing > 0, "{used} bytes are used");
    raw.execute("INSERT INTO filler VALUES (zeroblob(?1))", [missing]).unwrap();
}

fn items_of(busy: &Busy, who: u32) -> i64 {
    let pubkey = person(who).to_hex().to_uppercase();
    busy.count(&format!("SELECT items FROM history_of WHERE hex(pubkey) = '{pubkey}'"))
}

#[test]
fn attack_25_the_fuller_the_file_the_fewer_may_write_and_what_ends_something_always() {
    let busy = small();
    let make = |who, door| busy.make(who, door, SAT, NOW);
    let Ok(ResultBody::CreateConnection(made)) = busy.ask(CUSTOMER, connect(), NOW) else { panic!() };
    fill(&busy, 70);
    make(STRANGER, Door::Public).unwrap();
    fill(&busy, 80);
    assert_refused(make(STRANGER, Door::Public), ErrorCode::RateLimited, "no room");
    make(CUSTOMER, Door::Public).unwrap();
    fill(&busy, 92);
    for who in [STRANGER, CUSTOMER] {
        assert_refused(make(who, Door::Public), ErrorCode::RateLimited, "no room");
    }
    make(CONTAINER, Door::House).unwrap();
    let revoke = RevokeConnection { wallet_pubkey: made.wallet_pubkey };
    busy.ask(CUSTOMER, Request::RevokeConnection(revoke), NOW).unwrap();
    busy.world.audit();
}

#[test]
fn attack_25_what_must_go_on_gives_up_the_oldest_of_its_own_history_in_a_full_file() {
    let busy = small();
    for n in 0..100 {
        let invoice = busy.make(CONTAINER, Door::House, SAT, NOW.plus_secs(n)).unwrap();
        busy.pay(0, &invoice, NOW.plus_secs(n)).unwrap();
    }
    assert_eq!(items_of(&busy, CONTAINER), 101);
    fill(&busy, 95);
    let later = NOW.plus_secs(200);
    for left in [85, 69, 64, 64] {
        busy.make(CONTAINER, Door::House, SAT, later).unwrap();
        assert_eq!(items_of(&busy, CONTAINER), left);
    }
    busy.world.audit();
}
