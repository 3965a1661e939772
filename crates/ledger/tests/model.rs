//! Random operations against an independent model: a map of balances and a map of keys.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;
use std::path::Path;

use ledger::{Account, Ledger, NewTransaction, PostError, Posted};
use proptest::prelude::*;
use tempfile::TempDir;
use units::{Msat, UnixSecs};

/// Accounts of the walk: users and hold are liabilities, the others may go below zero.
const ACCOUNTS: [Account; 6] = [
    Account::User([1; 32]),
    Account::User([2; 32]),
    Account::User([3; 32]),
    Account::Hold,
    Account::Faucet,
    Account::NodeLightning,
];

#[derive(Clone, Debug)]
enum Step {
    /// Post postings under one of a few keys, so that keys repeat.
    Post { key: u8, postings: Vec<(usize, i64)> },
    /// Post several; the whole group fails if one does.
    Group(Vec<(u8, Vec<(usize, i64)>)>),
    /// Drop every handle and open the file again.
    Reopen,
}

/// The books as a child would keep them.
#[derive(Clone, Default)]
struct Model {
    balances: BTreeMap<usize, i64>,
    posted: BTreeMap<u8, BTreeMap<usize, i64>>,
}

#[derive(Debug, PartialEq)]
enum Outcome {
    New,
    Already,
    Reused,
    Insufficient,
    Invalid,
}

impl Model {
    fn post(&mut self, key: u8, postings: &[(usize, i64)]) -> Outcome {
        let content: BTreeMap<usize, i64> = postings.iter().copied().collect();
        let total: i64 = postings.iter().map(|(_, amount)| amount).sum();
        let zero = postings.iter().any(|(_, amount)| *amount == 0);
        if content.len() != postings.len() || postings.len() < 2 || total != 0 || zero {
            return Outcome::Invalid;
        }
        if let Some(before) = self.posted.get(&key) {
            return if *before == content { Outcome::Already } else { Outcome::Reused };
        }
        let mut after = self.balances.clone();
        for (account, amount) in postings {
            let balance = after.entry(*account).or_default();
            *balance += amount;
            if *account < 4 && *balance < 0 {
                return Outcome::Insufficient;
            }
        }
        self.balances = after;
        self.posted.insert(key, content);
        Outcome::New
    }
}

fn transaction(key: u8, postings: &[(usize, i64)]) -> NewTransaction {
    let new = NewTransaction::new(format!("key/{key}"), "walk", "", UnixSecs(1));
    postings.iter().fold(new, |new, (account, msat)| new.posting(ACCOUNTS[*account], Msat::new(*msat)))
}

fn outcome(result: &Result<Posted, PostError>) -> Outcome {
    match result {
        Ok(Posted::New(_)) => Outcome::New,
        Ok(Posted::Already(_)) => Outcome::Already,
        Err(PostError::KeyReused { .. }) => Outcome::Reused,
        Err(PostError::Insufficient { .. }) => Outcome::Insufficient,
        Err(PostError::Invalid(_)) => Outcome::Invalid,
        Err(error) => panic!("{error:?}"),
    }
}

fn postings() -> impl Strategy<Value = Vec<(usize, i64)>> {
    let transfer =
        (0..6usize, 0..6usize, -50..200i64).prop_map(|(from, to, msat)| vec![(from, -msat), (to, msat)]);
    let fee = (0..6usize, 0..6usize, 0..6usize, 1..200i64, 0..20i64)
        .prop_map(|(from, to, fee, msat, cut)| vec![(from, -msat), (to, msat - cut), (fee, cut)]);
    let anything = prop::collection::vec((0..6usize, -9..9i64), 0..4);
    prop_oneof![4 => transfer, 2 => fee, 1 => anything]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u8>(), postings()).prop_map(|(key, postings)| Step::Post { key, postings }),
        2 => prop::collection::vec((any::<u8>(), postings()), 1..4).prop_map(Step::Group),
        1 => Just(Step::Reopen),
    ]
}

fn invariant_books_match(ledger: &Ledger, model: &Model) {
    let view = ledger.view();
    view.check_books().unwrap();
    assert_eq!(view.sum().unwrap(), Msat::ZERO);
    for (index, account) in ACCOUNTS.into_iter().enumerate() {
        let balance = view.balance(account).unwrap().msat();
        assert_eq!(balance, model.balances.get(&index).copied().unwrap_or(0), "{account}");
        assert!(index >= 4 || balance >= 0, "{account} is negative");
        let newest = view.statement(account, None, 1).unwrap();
        assert_eq!(newest.first().map_or(0, |entry| entry.balance_after.msat()), balance, "{account}");
    }
}

fn run_group(ledger: &mut Ledger, model: &mut Model, group: &[(u8, Vec<(usize, i64)>)]) {
    let mut after = model.clone();
    let expected: Vec<Outcome> = group.iter().map(|(key, postings)| after.post(*key, postings)).collect();
    let fails = expected.iter().any(|o| !matches!(o, Outcome::New | Outcome::Already));
    let result: Result<(), PostError> = ledger.transaction(|tx| {
        group.iter().try_for_each(|(key, postings)| tx.post(&transaction(*key, postings)).map(drop))
    });
    assert_eq!(result.is_err(), fails, "{expected:?} {result:?}");
    if !fails {
        *model = after;
    }
}

fn walk(path: &Path, steps: &[Step]) {
    let mut ledger = Ledger::open(path).unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Post { key, postings } => {
                let expected = model.post(*key, postings);
                assert_eq!(outcome(&ledger.post(&transaction(*key, postings))), expected, "{step:?}");
            }
            Step::Group(group) => run_group(&mut ledger, &mut model, group),
            Step::Reopen => {
                drop(ledger);
                ledger = Ledger::open(path).unwrap();
            }
        }
        invariant_books_match(&ledger, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_walks_agree_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let dir = TempDir::new().unwrap();
        walk(&dir.path().join("books.db"), &steps);
    }
}
