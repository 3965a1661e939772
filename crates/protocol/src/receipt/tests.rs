use super::*;

struct Books {
    service: Keys,
    container: PublicKey,
    events: Vec<CheckedEvent>,
}

fn first(container: PublicKey) -> Receipt {
    Receipt {
        version: RECEIPT_VERSION,
        container,
        number: 0,
        previous: None,
        image: format!("registry.example/echo@sha256:{}", "ab".repeat(32)),
        manifest_sha256: Some("cd".repeat(32)),
        units: ComputeUnits::new(2).unwrap(),
        period: 0,
        from: UnixSecs(1_000),
        until: UnixSecs(4_600),
        amount_msat: Msat::new(10_000),
        payment_hash: Some("ef".repeat(32)),
    }
}

impl Books {
    fn new() -> Self {
        Self { service: Keys::generate(), container: Keys::generate().public_key(), events: Vec::new() }
    }

    fn add(&mut self, change: impl FnOnce(&mut Receipt)) {
        let number = self.events.len() as u64;
        let from = UnixSecs(1_000 + 3_600 * number);
        let previous = self.events.last().map(|event| event.id);
        let mut receipt = Receipt {
            number,
            previous,
            period: number,
            from,
            until: from.plus_secs(3_600),
            payment_hash: Some(format!("{number:064x}")),
            ..first(self.container)
        };
        change(&mut receipt);
        self.events.push(receipt.sign(&self.service, receipt.from).unwrap());
    }

    fn of(count: usize) -> Self {
        let mut books = Self::new();
        (0..count).for_each(|_| books.add(|_| {}));
        books
    }

    fn check(&self) -> Result<(Vec<Receipt>, Option<EventId>), String> {
        check_chain(&self.events, &self.service.public_key(), &self.container)
    }
}

#[test]
fn content_is_pinned() {
    let keys = Keys::parse("0000000000000000000000000000000000000000000000000000000000000001").unwrap();
    let event = first(keys.public_key()).sign(&keys, UnixSecs(5)).unwrap();
    let expected = format!(
        r#"{{"amount_msat":10000,"container":"{}","from":1000,"image":"registry.example/echo@sha256:{}","manifest_sha256":"{}","number":0,"payment_hash":"{}","period":0,"units":2,"until":4600,"version":1}}"#,
        keys.public_key().to_hex(),
        "ab".repeat(32),
        "cd".repeat(32),
        "ef".repeat(32),
    );
    assert_eq!((event.content.as_str(), event.kind.as_u16()), (expected.as_str(), 23_799));
}

#[test]
fn whole_chain_is_accepted() {
    assert_eq!(Books::of(0).check().unwrap(), (vec![], None));
    let books = Books::of(5);
    let (receipts, head) = books.check().unwrap();
    assert_eq!((receipts.len(), head), (5, Some(books.events[4].id)));
}

#[test]
fn missing_swapped_and_foreign_receipts_are_refused() {
    let books = Books::of(5);
    for missing in 0..4 {
        let mut fewer = Books {
            events: books.events.clone(),
            ..Books { service: books.service.clone(), ..Books::new() }
        };
        fewer.container = books.container;
        fewer.events.remove(missing);
        assert!(fewer.check().unwrap_err().contains("does not follow"), "{missing}");
    }
    let mut swapped = Books::of(5);
    swapped.events.swap(1, 2);
    assert!(swapped.check().is_err());
    let mut foreign = Books::of(2);
    foreign.events[1] = books.events[1].clone();
    assert!(foreign.check().unwrap_err().contains("not signed by the service"));
    let other = Keys::generate().public_key();
    let wrong = check_chain(&books.events, &books.service.public_key(), &other).unwrap_err();
    assert!(wrong.contains("another container"), "{wrong}");
}

#[test]
fn time_is_paid_once() {
    let refused = |change: fn(&mut Receipt)| {
        let mut books = Books::of(2);
        books.add(change);
        books.check().unwrap_err()
    };
    assert!(refused(|r| r.period = 1).contains("paid before"));
    assert!(refused(|r| r.from = UnixSecs(8_199)).contains("paid before"));
    assert!(refused(|r| r.until = UnixSecs(1)).contains("less than nothing"));
    assert!(refused(|r| r.amount_msat = Msat::new(-1)).contains("less than nothing"));
    assert!(refused(|r| r.number = 7).contains("does not follow"));
    assert!(refused(|r| r.version = 2).contains("version 2"));
    // Time that was given back lies between two receipts.
    let mut books = Books::of(2);
    books.add(|r| (r.from, r.until) = (UnixSecs(9_000), UnixSecs(12_600)));
    assert!(books.check().is_ok());
}

#[test]
fn each_period_was_paid_by_a_payment_of_its_own() {
    let check = |change: fn(&mut Receipt), expected: Option<&str>| {
        let mut books = Books::of(2);
        books.add(change);
        let wrong = books.check().err();
        assert_eq!(wrong.is_some(), expected.is_some(), "{wrong:?}");
        assert!(wrong.unwrap_or_default().contains(expected.unwrap_or_default()));
    };
    check(|_| {}, None);
    check(|receipt| receipt.payment_hash = None, Some("does not name the payment"));
    check(|receipt| receipt.payment_hash = Some("settled".into()), Some("64 hex digits"));
    check(|receipt| receipt.payment_hash = Some(format!("{:064x}", 1)), Some("paid for another period"));
    // What is free was paid by nothing.
    check(|receipt| (receipt.payment_hash, receipt.amount_msat) = (None, Msat::ZERO), None);
}
