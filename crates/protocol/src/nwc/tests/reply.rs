use units::{Msat, UnixSecs};

use crate::nwc::*;

fn paid_invoice() -> Transaction {
    Transaction {
        direction: TransactionType::Incoming,
        state: Some(TransactionState::Settled),
        invoice: Some("lnbcrt1x".to_owned()),
        description: Some("tea".to_owned()),
        description_hash: None,
        preimage: Some(Preimage::from_bytes([1; 32])),
        payment_hash: PaymentHash::from_bytes([2; 32]),
        amount: Msat::new(1_500),
        fees_paid: Msat::ZERO,
        created_at: UnixSecs(10),
        expires_at: Some(UnixSecs(610)),
        settled_at: Some(UnixSecs(20)),
        settle_deadline: None,
        metadata: None,
    }
}

fn paid_invoice_json() -> String {
    let (one, two) = ("01".repeat(32), "02".repeat(32));
    format!(
        r#"{{"type":"incoming","state":"settled","invoice":"lnbcrt1x","description":"tea","preimage":"{one}","payment_hash":"{two}","amount":1500,"fees_paid":0,"created_at":10,"expires_at":610,"settled_at":20}}"#
    )
}

/// What the service writes is the golden text, and the client reads the result back.
#[track_caller]
fn check_golden<C: Call<Reply: PartialEq + std::fmt::Debug>>(
    body: ResultBody,
    reply: &C::Reply,
    golden_result: &str,
) {
    let golden =
        format!(r#"{{"result_type":"{}","error":null,"result":{golden_result}}}"#, C::METHOD.as_str());
    assert_eq!(Response::done(body).to_json(), golden);
    assert_eq!(&C::parse_reply(&golden).unwrap(), reply);
}

#[test]
fn results_have_their_golden_form() {
    let info = Info {
        alias: Some("w".to_owned()),
        color: None,
        pubkey: Some("02".repeat(33)),
        network: Some("regtest".to_owned()),
        block_height: None,
        block_hash: None,
        lud16: None,
        methods: Method::NIP.to_vec(),
        notifications: Notification::TYPES.map(str::to_owned).to_vec(),
    };
    let node = "02".repeat(33);
    check_golden::<GetInfo>(
        ResultBody::GetInfo(info.clone()),
        &info,
        &format!(
            r#"{{"alias":"w","pubkey":"{node}","network":"regtest","methods":["get_info","get_balance","make_invoice","lookup_invoice","list_transactions","pay_invoice","make_hold_invoice","settle_hold_invoice","cancel_hold_invoice"],"notifications":["payment_received","payment_sent","hold_invoice_accepted"]}}"#
        ),
    );
    let balance = Balance { balance: Msat::new(10_000) };
    check_golden::<GetBalance>(ResultBody::GetBalance(balance), &balance, r#"{"balance":10000}"#);
    let paid = Paid { preimage: Preimage::from_bytes([1; 32]), fees_paid: Msat::ZERO };
    let one = "01".repeat(32);
    check_golden::<PayInvoice>(
        ResultBody::PayInvoice(paid.clone()),
        &paid,
        &format!(r#"{{"preimage":"{one}","fees_paid":0}}"#),
    );
    let budget = Budget {
        used_budget: Some(Msat::new(5)),
        total_budget: Some(Msat::new(7)),
        renews_at: Some(UnixSecs(9)),
        renewal_period: Some(BudgetRenewal::Monthly),
    };
    check_golden::<GetBudget>(
        ResultBody::GetBudget(budget),
        &budget,
        r#"{"used_budget":5,"total_budget":7,"renews_at":9,"renewal_period":"monthly"}"#,
    );
    // Alby's SDK reads an empty object as "no budget", and `{}` as done.
    let none = Budget::default();
    check_golden::<GetBudget>(ResultBody::GetBudget(none), &none, "{}");
    check_golden::<SettleHoldInvoice>(ResultBody::SettleHoldInvoice(Done {}), &Done {}, "{}");
    check_golden::<CancelHoldInvoice>(ResultBody::CancelHoldInvoice(Done {}), &Done {}, "{}");
    let transaction = paid_invoice();
    let json = paid_invoice_json();
    check_golden::<LookupInvoice>(ResultBody::LookupInvoice(transaction.clone()), &transaction, &json);
    check_golden::<MakeInvoice>(ResultBody::MakeInvoice(transaction.clone()), &transaction, &json);
    check_golden::<MakeInvoiceFor>(ResultBody::MakeInvoiceFor(transaction.clone()), &transaction, &json);
    let list = Transactions { transactions: vec![transaction], ..Transactions::default() };
    check_golden::<ListTransactions>(
        ResultBody::ListTransactions(list.clone()),
        &list,
        &format!(r#"{{"transactions":[{json}]}}"#),
    );
    check_golden::<AddPubkey>(ResultBody::AddPubkey(Registered {}), &Registered {}, "{}");
    let named = Named { lud16: "alice@wallet.example".to_owned() };
    check_golden::<ChooseName>(
        ResultBody::ChooseName(named.clone()),
        &named,
        r#"{"lud16":"alice@wallet.example"}"#,
    );
}

#[test]
fn errors_echo_the_method_and_have_no_result() {
    for code in ErrorCode::ALL {
        let response = Response::refused(&Method::PayInvoice, WalletError::new(code.clone(), "why"));
        let golden = format!(
            r#"{{"result_type":"pay_invoice","error":{{"code":"{}","message":"why"}},"result":null}}"#,
            code.as_str()
        );
        assert_eq!(response.to_json(), golden);
        match PayInvoice::parse_reply(&golden) {
            Err(CallError::Wallet(error)) => assert_eq!(error, WalletError::new(code, "why")),
            other => panic!("{other:?}"),
        }
    }
    let unknown = Response::not_implemented(&Method::from_name("pay_keysend")).to_json();
    assert!(
        unknown.starts_with(r#"{"result_type":"pay_keysend","error":{"code":"NOT_IMPLEMENTED""#),
        "{unknown}"
    );
}

#[test]
fn replies_that_make_no_sense_are_refused() {
    type Check = fn(&CallError) -> bool;
    let cases: [(&str, Check); 8] = [
        ("", |e| matches!(e, CallError::Json(_))),
        (r#"{"result_type":"get_balance","error":null,"result":null}"#, |e| {
            matches!(e, CallError::Ambiguous)
        }),
        (
            r#"{"result_type":"get_balance","error":{"code":"OTHER","message":""},"result":{"balance":1}}"#,
            |e| matches!(e, CallError::Ambiguous),
        ),
        (r#"{"result_type":"get_info","result":{"balance":1}}"#, |e| {
            matches!(e, CallError::OtherMethod { .. })
        }),
        (r#"{"result_type":"get_balance","result":{"balance":-1}}"#, |e| matches!(e, CallError::Result(_))),
        (r#"{"result_type":"get_balance","result":{"balance":1.5}}"#, |e| matches!(e, CallError::Result(_))),
        (r#"{"result_type":"get_balance","result":{"balance":"1"}}"#, |e| matches!(e, CallError::Result(_))),
        (r#"{"result_type":"get_balance","result":{}}"#, |e| matches!(e, CallError::Result(_))),
    ];
    for (text, expected) in cases {
        let error = GetBalance::parse_reply(text).unwrap_err();
        assert!(expected(&error), "{text}: {error:?}");
    }
}

#[test]
fn replies_of_other_wallets_are_read() {
    // Absent members, empty texts, nulls, an unknown error code.
    let hash = "02".repeat(32);
    let text = format!(
        r#"{{"result_type":"lookup_invoice","result":{{"type":"outgoing","invoice":"","description":"","description_hash":"","preimage":"","payment_hash":"{hash}","amount":5,"fees_paid":null,"created_at":1,"expires_at":null,"metadata":null,"extra":[]}}}}"#
    );
    let transaction = LookupInvoice::parse_reply(&text).unwrap();
    assert_eq!((transaction.invoice, transaction.preimage, transaction.fees_paid), (None, None, Msat::ZERO));
    let text = r#"{"result_type":"","error":{"code":"BAD_REQUEST"}}"#;
    match LookupInvoice::parse_reply(text) {
        Err(CallError::Wallet(error)) => assert_eq!(error.code, ErrorCode::Unknown("BAD_REQUEST".to_owned())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hash_or_preimage_that_is_no_hex_is_refused() {
    for (field, value) in [("payment_hash", "zz"), ("preimage", "0102")] {
        let good = paid_invoice_json();
        let mut value_json: serde_json::Value = serde_json::from_str(&good).unwrap();
        value_json[field] = value.into();
        let text = serde_json::json!({"result_type": "lookup_invoice", "result": value_json}).to_string();
        assert!(matches!(LookupInvoice::parse_reply(&text), Err(CallError::Result(_))), "{field}");
    }
}

#[test]
fn notifications_have_their_golden_form() {
    let json = paid_invoice_json();
    for (notification, name) in [
        (Notification::PaymentReceived(paid_invoice()), "payment_received"),
        (Notification::PaymentSent(paid_invoice()), "payment_sent"),
    ] {
        let golden = format!(r#"{{"notification_type":"{name}","notification":{json}}}"#);
        assert_eq!(notification.to_json(), golden);
        assert_eq!(Notification::from_json(&golden).unwrap(), notification);
        assert_eq!(notification.transaction(), &paid_invoice());
    }
    assert!(
        Notification::from_json(r#"{"notification_type":"hold_invoice_accepted","notification":{}}"#)
            .is_err()
    );
}

#[test]
fn a_preimage_does_not_print() {
    let shown = format!("{:?} {:?}", paid_invoice(), Preimage::from_bytes([1; 32]));
    assert!(!shown.contains(&"01".repeat(8)) && !shown.contains("1, 1, 1"), "{shown}");
}

#[test]
fn the_nips_own_client_types_read_our_replies() {
    use nostr::nips::nip47;
    for body in [
        ResultBody::GetInfo(Info { methods: Method::NIP.to_vec(), ..Info::default() }),
        ResultBody::GetBalance(Balance { balance: Msat::new(1) }),
        ResultBody::MakeInvoice(paid_invoice()),
        ResultBody::LookupInvoice(paid_invoice()),
        ResultBody::ListTransactions(Transactions {
            transactions: vec![paid_invoice()],
            forgotten_until: None,
        }),
        ResultBody::PayInvoice(Paid { preimage: Preimage::from_bytes([1; 32]), fees_paid: Msat::ZERO }),
    ] {
        let text = Response::done(body).to_json();
        let read = nip47::Response::from_json(&text).expect(&text);
        assert!(read.error.is_none() && read.result.is_some(), "{text}");
    }
    for code in ErrorCode::ALL.into_iter().filter(|code| *code != ErrorCode::UnsupportedEncryption) {
        let text = Response::refused(&Method::GetInfo, WalletError::new(code, "why")).to_json();
        let read = nip47::Response::from_json(&text).expect(&text);
        assert!(read.error.is_some() && read.result.is_none(), "{text}");
    }
}
