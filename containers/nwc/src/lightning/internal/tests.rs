use protocol::nwc::{DescriptionHash, PaymentHash};
use units::{Msat, UnixSecs};

use super::*;

fn backend(byte: u8) -> InternalBackend {
    InternalBackend::new(&Zeroizing::new([byte; 32]), Network::Regtest).unwrap()
}

fn terms() -> InvoiceTerms {
    InvoiceTerms {
        payment_hash: PaymentHash::from_bytes([7; 32]),
        amount: Msat::new(21_001),
        purpose: Purpose::Description("tea & cake".to_owned()),
        created_at: UnixSecs(1_700_000_000),
        expiry_secs: 600,
        min_cltv_delta: None,
    }
}

#[test]
fn an_invoice_says_what_it_was_asked_to() {
    let backend = backend(1);
    let text = backend.create_invoice(&terms()).unwrap();
    assert!(text.starts_with("lnbcrt"), "{text}");
    let invoice = Bolt11::parse(&text).unwrap();
    assert_eq!(invoice.payment_hash(), terms().payment_hash);
    assert_eq!(invoice.amount(), Some(Msat::new(21_001)));
    assert_eq!((invoice.payee(), invoice.network()), (backend.node_id(), Network::Regtest));
    assert_eq!(invoice.expires_at(), UnixSecs(1_700_000_600));
    assert_eq!((invoice.description(), invoice.description_hash()), (Some("tea & cake"), None));
    assert_eq!(invoice.text(), text);
}

#[test]
fn an_invoice_carries_a_hash_instead_of_a_description() {
    let hash = DescriptionHash::from_bytes([9; 32]);
    let text = backend(1).create_invoice(&InvoiceTerms { purpose: Purpose::Hash(hash), ..terms() }).unwrap();
    let invoice = Bolt11::parse(&text).unwrap();
    assert_eq!((invoice.description(), invoice.description_hash()), (None, Some(hash)));
}

#[test]
fn amounts_at_the_ends_of_the_range_survive() {
    for msat in [1, 999, 1_000, 100_000_000_000_000_000] {
        let text = backend(1).create_invoice(&InvoiceTerms { amount: Msat::new(msat), ..terms() }).unwrap();
        assert_eq!(Bolt11::parse(&text).unwrap().amount(), Some(Msat::new(msat)));
    }
    for msat in [-1, i64::MAX] {
        let refused = backend(1).create_invoice(&InvoiceTerms { amount: Msat::new(msat), ..terms() });
        assert!(refused.is_err(), "{msat}");
    }
}

#[test]
fn descriptions_beyond_bolt11_are_refused() {
    let long = |bytes: usize| InvoiceTerms { purpose: Purpose::Description("x".repeat(bytes)), ..terms() };
    assert!(backend(1).create_invoice(&long(639)).is_ok());
    assert!(backend(1).create_invoice(&long(640)).is_err());
}

#[test]
fn foreign_invoices_are_refused_before_and_at_the_hand_over() {
    let foreign = Bolt11::parse(&backend(2).create_invoice(&terms()).unwrap()).unwrap();
    let ours = backend(1);
    let reason = ours.check_payable(&foreign).unwrap_err();
    assert!(reason.to_string().contains("own accounts"), "{reason}");
    let attempt = AttemptId::new(1, 1);
    let payment = OutgoingPayment { attempt, invoice: foreign, amount: Msat::new(1), max_fee: Msat::ZERO };
    assert_eq!(ours.fate(payment.invoice.payment_hash(), attempt), Fate::NeverSent);
    assert_eq!(ours.pay(&payment), Dispatch::Refused(reason));
}

#[test]
fn the_node_key_does_not_print() {
    let shown = format!("{:?}", backend(1));
    assert!(!shown.contains(&"01".repeat(32)) && !shown.contains("1, 1, 1"), "{shown}");
}
