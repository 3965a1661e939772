use protocol::nwc::{Metadata, PaymentHash, TransactionState};
use units::Msat;

use super::*;

/// The longest list that is configured by default.
const LIST_BYTES_MAX: usize = 40_000;

fn transaction(index: u8, description: &str, metadata_chars: usize) -> Transaction {
    let note = serde_json::json!({"note": "x".repeat(metadata_chars)});
    Transaction {
        direction: TransactionType::Incoming,
        state: Some(TransactionState::Settled),
        invoice: Some("lnbcrt1".to_owned()),
        description: Some(description.to_owned()),
        description_hash: None,
        preimage: None,
        payment_hash: PaymentHash::from_bytes([index; 32]),
        amount: Msat::new(1),
        fees_paid: Msat::ZERO,
        created_at: UnixSecs(1),
        expires_at: None,
        settle_deadline: None,
        settled_at: None,
        metadata: note.as_object().cloned().and_then(Metadata::new).filter(|_| metadata_chars > 0),
    }
}

#[test]
fn a_page_that_fits_is_complete() {
    let all: Vec<Transaction> = (0..20).map(|index| transaction(index, "tea", 100)).collect();
    assert_eq!(fit(all.clone().into_iter(), LIST_BYTES_MAX).transactions, all);
}

#[test]
fn notes_are_dropped_before_transactions() {
    let page = fit((0..20).map(|index| transaction(index, "tea", 4_000)), LIST_BYTES_MAX);
    assert_eq!(page.transactions.len(), 20);
    let kept = page.transactions.iter().filter(|transaction| transaction.metadata.is_some()).count();
    assert!((1..20).contains(&kept), "{kept}");
}

#[test]
fn a_page_never_exceeds_its_room() {
    // Control characters become six bytes each in JSON.
    let hostile = "\u{1}".repeat(639);
    let page = fit((0..20).map(|index| transaction(index, &hostile, 4_000)), LIST_BYTES_MAX);
    assert!(!page.transactions.is_empty());
    let bytes = serde_json::to_string(&page).unwrap().len();
    assert!(bytes <= LIST_BYTES_MAX + r#"{"transactions":[]}"#.len(), "{bytes}");
}
