//! The whole verifier: a valid document, changed in up to a few places. Whatever differs in what was signed
//! must be refused.
#![no_main]

use fuzz::{DOCUMENT, holds_payload, verdict};
use libfuzzer_sys::fuzz_target;

/// One change: two bytes of place, one of what to do, one of how much or with what.
const CHANGE_BYTES: usize = 4;
/// More changes in one input find nothing that fewer do not.
const CHANGES_MAX: usize = 8;

fuzz_target!(|input: &[u8]| {
    let mut document = DOCUMENT.to_vec();
    for change in input.chunks_exact(CHANGE_BYTES).take(CHANGES_MAX) {
        apply(&mut document, [change[0], change[1], change[2], change[3]]);
    }
    let verdict = verdict(&document);
    if document == DOCUMENT {
        assert!(verdict.is_ok());
    } else if let Ok(verified) = verdict {
        let original = fuzz::verdict(DOCUMENT).expect("it verifies");
        assert_eq!(verified, original, "a changed document says something else");
        // Longer or shorter spellings of the envelope's lengths and tag 18 are the only freedom.
        assert!(holds_payload(&document));
    }
});

fn apply(document: &mut Vec<u8>, [high, low, what, value]: [u8; CHANGE_BYTES]) {
    let place = usize::from(u16::from_be_bytes([high, low])) % (document.len() + 1);
    let end = (place + usize::from(value)).min(document.len());
    match what % 6 {
        0 => document.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= value),
        1 => document.insert(place, value),
        2 => drop(document.drain(place..end)),
        3 => document.truncate(place),
        // Copies bytes to where they do not belong: a second key, another length.
        4 => {
            let copied = document[place..end].to_vec();
            document.splice(end..end, copied);
        }
        _ => document.iter_mut().skip(place).take(1).for_each(|byte| *byte = value),
    }
}
