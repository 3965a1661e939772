use protocol::nwc::PaymentHash;

use super::*;

fn transaction(direction: TransactionType, amount: i64, fees: i64, settled_at: Option<u64>) -> Transaction {
    Transaction {
        direction,
        state: Some(if settled_at.is_some() { TransactionState::Settled } else { TransactionState::Pending }),
        amount: Msat::new(amount),
        fees_paid: Msat::new(fees),
        settled_at: settled_at.map(UnixSecs),
        ..serde_json::from_value(serde_json::json!({
            "type": "incoming",
            "payment_hash": PaymentHash::from_bytes([7; 32]),
            "amount": 1,
            "created_at": 1,
        }))
        .unwrap()
    }
}

#[track_caller]
fn check(transactions: Vec<Transaction>, balance: Option<i64>, expected: &[Option<i64>]) {
    let entries = run_down(transactions, balance.map(Msat::new));
    let balances: Vec<_> = entries.iter().map(|entry| entry.balance_msat.map(Msat::msat)).collect();
    assert_eq!(balances, expected);
}

#[test]
fn balance_runs_down_from_what_is_there() {
    use TransactionType::{Incoming, Outgoing};
    let day = || {
        vec![
            transaction(Outgoing, 300, 2, Some(9)),
            transaction(Incoming, 50, 0, None),
            transaction(Incoming, 1_000, 0, Some(5)),
            transaction(Incoming, 7, 0, Some(4)),
        ]
    };
    check(day(), Some(705), &[Some(705), None, Some(1_007), Some(7)]);
    check(day(), None, &[None; 4]);
    // More went in than was ever there: something is missing from the list, and nothing is made up.
    check(day(), Some(600), &[Some(600), None, Some(902), None]);
    check(vec![], Some(5), &[]);
}

#[test]
fn a_payment_on_its_way_takes_what_no_list_shows() {
    use TransactionType::Outgoing;
    assert!(is_on_its_way(&[transaction(Outgoing, 300, 0, None)]));
    assert!(!is_on_its_way(&[transaction(Outgoing, 300, 2, Some(9))]));
    assert!(!is_on_its_way(&[]));
}
