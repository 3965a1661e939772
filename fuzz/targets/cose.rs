//! COSE_Sign1: documents of any bytes, raw and as text, and any headers around a payload.
#![no_main]

use attestation::decode_input;
use fuzz::{holds_payload, verdict};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(document) = decode_input(input) {
        assert!(verdict(&document).is_err() || holds_payload(&document));
    }
    if verdict(input).is_ok() {
        assert!(holds_payload(input));
        // Whatever verifies is recognised as raw bytes.
        assert_eq!(decode_input(input).as_deref().ok(), Some(input));
    }
});
