//! Events as relays send them, and everything that is asked of one before it is believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::event::{CheckedEvent, expiration, marked_value, tag_value};

fuzz_target!(|input: &str| {
    let Ok(event) = CheckedEvent::parse(input) else { return };
    // Believed means that it can be passed on and is believed again.
    assert_eq!(CheckedEvent::parse(&event.as_json()).as_ref().ok(), Some(&event));
    let _ = (expiration(&event), tag_value(&event, "r"), marked_value(&event, "x", "PCR0"));
});
