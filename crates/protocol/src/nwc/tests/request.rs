use proptest::prelude::*;
use serde_json::json;
use units::{Msat, UnixSecs};

use super::KEY;
use crate::nwc::*;

fn parse(text: &str) -> Result<Request, RefusedRequest> {
    Request::from_json(text)
}

/// What a client writes is the golden text, and the service reads back what the client meant.
#[track_caller]
fn check_golden<C: Call>(call: &C, expected: Request, golden: &str) {
    assert_eq!(call.request_json(), golden);
    assert_eq!(parse(golden), Ok(expected));
}

fn metadata() -> Metadata {
    Metadata::new(json!({"comment": "hi"}).as_object().unwrap().clone()).unwrap()
}

#[test]
fn requests_have_their_golden_form() {
    check_golden(&GetInfo {}, Request::GetInfo(GetInfo {}), r#"{"method":"get_info","params":{}}"#);
    check_golden(
        &GetBalance {},
        Request::GetBalance(GetBalance {}),
        r#"{"method":"get_balance","params":{}}"#,
    );
    let invoice = MakeInvoice {
        description: Some("tea".to_owned()),
        description_hash: Some(DescriptionHash::from_bytes([0xab; 32])),
        expiry_secs: Some(60),
        metadata: Some(metadata()),
        ..MakeInvoice::of(Msat::new(1_500))
    };
    let hash = "ab".repeat(32);
    check_golden(
        &invoice,
        Request::MakeInvoice(invoice.clone()),
        &format!(
            r#"{{"method":"make_invoice","params":{{"amount":1500,"description":"tea","description_hash":"{hash}","expiry":60,"metadata":{{"comment":"hi"}}}}}}"#
        ),
    );
    let make_for = MakeInvoiceFor {
        pubkey: nostr::key::PublicKey::from_hex(KEY).unwrap(),
        invoice: MakeInvoice::of(Msat::new(1)),
        zap_request: Some("{}".to_owned()),
    };
    check_golden(
        &make_for,
        Request::MakeInvoiceFor(make_for.clone()),
        &format!(
            r#"{{"method":"make_invoice_for","params":{{"pubkey":"{KEY}","amount":1,"zap_request":"{{}}"}}}}"#
        ),
    );
    let pay =
        PayInvoice { amount: Some(Msat::new(7)), metadata: Some(metadata()), ..PayInvoice::of("lnbcrt1x") };
    check_golden(
        &pay,
        Request::PayInvoice(pay.clone()),
        r#"{"method":"pay_invoice","params":{"invoice":"lnbcrt1x","amount":7,"metadata":{"comment":"hi"}}}"#,
    );
    let lookup = LookupInvoice {
        invoice: Some("lnbcrt1x".to_owned()),
        ..LookupInvoice::by_hash(PaymentHash::from_bytes([0xab; 32]))
    };
    check_golden(
        &lookup,
        Request::LookupInvoice(lookup.clone()),
        &format!(
            r#"{{"method":"lookup_invoice","params":{{"payment_hash":"{hash}","invoice":"lnbcrt1x"}}}}"#
        ),
    );
    let list = ListTransactions {
        from: Some(UnixSecs(1)),
        until: Some(UnixSecs(2)),
        limit: Some(3),
        offset: Some(4),
        unpaid: Some(true),
        direction: Some(TransactionType::Outgoing),
    };
    check_golden(
        &list,
        Request::ListTransactions(list.clone()),
        r#"{"method":"list_transactions","params":{"from":1,"until":2,"limit":3,"offset":4,"unpaid":true,"type":"outgoing"}}"#,
    );
    let add = AddPubkey { pubkey: nostr::key::PublicKey::from_hex(KEY).unwrap() };
    check_golden(
        &add,
        Request::AddPubkey(add),
        &format!(r#"{{"method":"add_pubkey","params":{{"pubkey":"{KEY}"}}}}"#),
    );
}

#[test]
fn absent_and_null_fields_are_the_same() {
    assert_eq!(parse(r#"{"method":"get_balance"}"#), Ok(Request::GetBalance(GetBalance {})));
    assert_eq!(parse(r#"{"method":"get_balance","params":null}"#), Ok(Request::GetBalance(GetBalance {})));
    assert_eq!(
        parse(r#"{"method":"pay_invoice","params":{"invoice":"x","amount":null,"metadata":null}}"#),
        Ok(Request::PayInvoice(PayInvoice::of("x")))
    );
}

#[test]
fn fields_of_later_versions_are_ignored() {
    let request = parse(r#"{"method":"pay_invoice","id":"7","params":{"invoice":"x","payer_note":"n"}}"#);
    assert_eq!(request, Ok(Request::PayInvoice(PayInvoice::of("x"))));
}

#[test]
fn an_unknown_method_is_read_so_that_it_can_be_answered() {
    for name in ["pay_keysend", "multi_pay_invoice", "", "GET_INFO", "get_info "] {
        let text = json!({"method": name, "params": {"anything": 1}}).to_string();
        assert_eq!(parse(&text), Ok(Request::Unknown(name.to_owned())));
    }
    let long = json!({"method": "x".repeat(65), "params": {}}).to_string();
    let refused = parse(&long).unwrap_err();
    assert_eq!((refused.result_type.as_str(), refused.error.code), ("", ErrorCode::NotImplemented));
}

/// The request is refused with OTHER, its method is echoed, and the sentence names the culprit.
#[track_caller]
fn check_refused(text: &str, result_type: &str, names: &str) {
    let refused = parse(text).expect_err(text);
    assert_eq!(
        (refused.result_type.as_str(), &refused.error.code),
        (result_type, &ErrorCode::Other),
        "{text}"
    );
    assert!(refused.error.message.contains(names), "{text}: {}", refused.error.message);
}

#[test]
fn amounts_that_are_not_positive_integers_are_refused() {
    for amount in [
        "0",
        "-1",
        "-0",
        "1.0",
        "1.5",
        "1e3",
        "\"1000\"",
        "true",
        "[]",
        "{}",
        "9223372036854775808",
        "18446744073709551616",
        "1e400",
    ] {
        let make = format!(r#"{{"method":"make_invoice","params":{{"amount":{amount}}}}}"#);
        let pay = format!(r#"{{"method":"pay_invoice","params":{{"invoice":"x","amount":{amount}}}}}"#);
        // A number beyond any double is no JSON to this reader at all; the method is then not known.
        let (echoed, names) = if amount == "1e400" { ("", "method") } else { ("make_invoice", "amount") };
        check_refused(&make, echoed, names);
        check_refused(&pay, if echoed.is_empty() { "" } else { "pay_invoice" }, names);
    }
    for amount in [1, 999, i64::MAX] {
        let text = format!(r#"{{"method":"make_invoice","params":{{"amount":{amount}}}}}"#);
        assert_eq!(parse(&text), Ok(Request::MakeInvoice(MakeInvoice::of(Msat::new(amount)))));
    }
}

#[test]
fn fields_of_the_wrong_kind_are_refused_by_name() {
    let long_invoice = format!(r#"{{"invoice":"{}"}}"#, "x".repeat(INVOICE_CHARS_MAX + 1));
    let long_text = format!(r#"{{"amount":1,"description":"{}"}}"#, "é".repeat(320));
    let off_curve = format!(r#"{{"amount":1,"pubkey":"{}"}}"#, "ff".repeat(32));
    let long_zap = format!(
        r#"{{"amount":1,"pubkey":"{KEY}","zap_request":"{}"}}"#,
        "z".repeat(ZAP_REQUEST_BYTES_MAX + 1)
    );
    for (method, params, names) in [
        ("make_invoice", r#"{}"#, "amount is missing"),
        ("make_invoice", r#"{"amount":1,"description":7}"#, "description"),
        ("make_invoice", &long_text, "639 bytes"),
        ("make_invoice", r#"{"amount":1,"description_hash":"abcd"}"#, "description_hash"),
        ("make_invoice", r#"{"amount":1,"expiry":0}"#, "expiry"),
        ("make_invoice", r#"{"amount":1,"expiry":-5}"#, "expiry"),
        ("make_invoice", r#"{"amount":1,"expiry":4294967296}"#, "expiry"),
        ("make_invoice", r#"{"amount":1,"metadata":"x"}"#, "metadata"),
        ("make_invoice_for", r#"{"amount":1}"#, "pubkey is missing"),
        ("make_invoice_for", &off_curve, "pubkey"),
        ("make_invoice_for", r#"{"amount":1,"pubkey":"npub1"}"#, "pubkey"),
        ("make_invoice_for", &long_zap, "zap_request"),
        ("pay_invoice", r#"{}"#, "invoice is missing"),
        ("pay_invoice", r#"{"invoice":["x"]}"#, "invoice"),
        ("pay_invoice", &long_invoice, "invoice"),
        ("lookup_invoice", r#"{}"#, "payment_hash or invoice"),
        ("lookup_invoice", r#"{"payment_hash":"00"}"#, "payment_hash"),
        ("list_transactions", r#"{"limit":0}"#, "limit"),
        ("list_transactions", r#"{"limit":1.5}"#, "limit"),
        ("list_transactions", r#"{"offset":-1}"#, "offset"),
        ("list_transactions", r#"{"from":-1}"#, "from"),
        ("list_transactions", r#"{"until":9223372036854775808}"#, "until"),
        ("list_transactions", r#"{"unpaid":"yes"}"#, "unpaid"),
        ("list_transactions", r#"{"type":"both"}"#, "incoming, outgoing"),
        ("add_pubkey", r#"{}"#, "pubkey is missing"),
        ("choose_name", r#"{}"#, "name is missing"),
        ("choose_name", r#"{"name":["a"]}"#, "name must be a text"),
    ] {
        check_refused(&format!(r#"{{"method":"{method}","params":{params}}}"#), method, names);
    }
}

#[test]
fn malformed_requests_are_refused_with_the_method_if_it_can_be_seen() {
    let deep = format!(r#"{{"method":"get_info","params":{}"#, "[".repeat(10_000));
    for (text, result_type) in [
        ("", ""),
        ("not json", ""),
        ("[]", ""),
        ("null", ""),
        (r#"{"params":{}}"#, ""),
        (r#"{"method":7,"params":{}}"#, ""),
        (r#"{"method":"get_info","params":[]}"#, "get_info"),
        (r#"{"method":"get_info","params":"x"}"#, "get_info"),
        (r#"{"method":"get_info","params":{}} trailing"#, ""),
        (r#"{"method":"get_info","method":"pay_invoice","params":{}}"#, "pay_invoice"),
        (r#"{"method":"make_invoice","params":{"amount":1,"amount":100000}}"#, "make_invoice"),
        (&deep, ""),
    ] {
        check_refused(text, result_type, "method");
    }
    check_refused(&" ".repeat(REQUEST_BYTES_MAX + 1), "", "longer");
}

#[test]
fn metadata_that_is_too_long_is_dropped() {
    let with = |chars: usize| {
        let text = "é".repeat(chars);
        parse(
            &json!({"method": "pay_invoice", "params": {"invoice": "x", "metadata": {"t": text}}})
                .to_string(),
        )
    };
    // The object itself takes eight bytes: {"t":""}; each letter takes two.
    let Ok(Request::PayInvoice(kept)) = with((METADATA_BYTES_MAX - 8) / 2) else { panic!("refused") };
    assert_eq!(kept.metadata.unwrap().to_json().len(), METADATA_BYTES_MAX);
    let Ok(Request::PayInvoice(dropped)) = with((METADATA_BYTES_MAX - 8) / 2 + 1) else { panic!("refused") };
    assert_eq!(dropped.metadata, None);
}

proptest! {
    /// No text from a stranger stops the reader, and what it answers can be sent.
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        if let Err(refused) = parse(&text) {
            prop_assert!(Response::from(refused).to_json().contains("\"result\":null"));
        }
    }

    #[test]
    fn any_json_is_read_or_refused(
        method in "(get_info|make_invoice|pay_invoice|list_transactions|lookup_invoice|add_pubkey|x)",
        name in "(amount|invoice|payment_hash|pubkey|limit|from|type|metadata)",
        value in "(-?[0-9]{1,25}|[0-9]\\.[0-9]e[0-9]{1,3}|\"[a-f0-9]{0,70}\"|null|true|\\{\\}|\\[1\\])",
    ) {
        let text = format!(r#"{{"method":"{method}","params":{{"{name}":{value}}}}}"#);
        match parse(&text) {
            Ok(Request::MakeInvoice(make)) => prop_assert!(make.amount.is_positive()),
            Ok(Request::PayInvoice(pay)) => prop_assert!(pay.amount.is_none_or(Msat::is_positive)),
            Ok(_) => {}
            Err(refused) => prop_assert!(!refused.error.message.is_empty()),
        }
    }
}
