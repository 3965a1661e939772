use super::*;

const ALICE: Account = Account::User([1; 32]);
const BOB: Account = Account::User([2; 32]);

fn transfer() -> NewTransaction {
    NewTransaction::new("k", "transfer", "lunch", UnixSecs(1))
        .posting(ALICE, Msat::new(-5))
        .posting(BOB, Msat::new(5))
}

fn check(change: impl FnOnce(&mut NewTransaction), expected: Result<(), InvalidTransaction>) {
    let mut transaction = transfer();
    change(&mut transaction);
    assert_eq!(transaction.check(), expected, "{transaction:?}");
}

#[test]
fn content_out_of_bounds_is_refused() {
    check(|_| (), Ok(()));
    check(|t| t.key = String::new(), Err(InvalidTransaction::Key));
    check(|t| t.key = "k".repeat(KEY_CHARS_MAX + 1), Err(InvalidTransaction::Key));
    check(|t| t.kind = "", Err(InvalidTransaction::Kind));
    check(|t| t.kind = "Transfer", Err(InvalidTransaction::Kind));
    check(|t| t.memo = "two\nlines".to_owned(), Err(InvalidTransaction::Memo));
    check(|t| t.memo = "é".repeat(MEMO_CHARS_MAX), Ok(()));
    check(|t| t.memo = "é".repeat(MEMO_CHARS_MAX + 1), Err(InvalidTransaction::Memo));
    check(|t| t.at = UnixSecs(u64::MAX), Err(InvalidTransaction::Time));
}

#[test]
fn postings_that_do_not_balance_are_refused() {
    let amounts = |a: i64, b: i64| {
        move |t: &mut NewTransaction| {
            t.postings[0].amount = Msat::new(a);
            t.postings[1].amount = Msat::new(b);
        }
    };
    check(amounts(-5, 6), Err(InvalidTransaction::Unbalanced { sum: Msat::new(1) }));
    check(amounts(5, 5), Err(InvalidTransaction::Unbalanced { sum: Msat::new(10) }));
    check(amounts(0, 0), Err(InvalidTransaction::Zero(ALICE)));
    check(amounts(i64::MAX, i64::MAX), Err(InvalidTransaction::Overflow));
    check(amounts(-i64::MAX, i64::MAX), Ok(()));
    check(|t| t.postings[1].account = ALICE, Err(InvalidTransaction::Repeated(ALICE)));
    check(|t| t.postings.truncate(1), Err(InvalidTransaction::Postings));
    check(|t| t.postings = vec![t.postings[0]; POSTINGS_MAX + 1], Err(InvalidTransaction::Postings));
}
