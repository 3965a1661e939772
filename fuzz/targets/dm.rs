//! What people write in direct messages and public notes.
#![no_main]

use fuzz::keys;
use libfuzzer_sys::fuzz_target;
use protocol::dm::{Command, MentionKeys, ParseError, TEXT_BYTES_MAX, after_mention, parse};
use protocol::rpc::enclaved::LaunchParams;

/// Longest answer to a message that is none, in bytes: a stranger's words are cut before they are repeated.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    read(text);
    let server = MentionKeys { pubkey: &keys(0).public_key(), name: "enclaved" };
    if let Some(rest) = after_mention(text, &server) {
        assert!(text.contains(rest), "what was not written was read");
        read(rest);
    }
});

fn read(text: &str) {
    match parse(text) {
        Ok(Command::Deploy(params)) => {
            // A message asks for nothing that a request may not.
            let written = serde_json::to_value(&params).expect("it is JSON");
            assert!(LaunchParams::parse(&written).is_ok(), "{written}");
        }
        Ok(command) => assert!(text.len() <= TEXT_BYTES_MAX && !command.name().is_empty()),
        Err(ParseError::NotACommand(word)) => assert!(word.chars().count() <= 32),
        Err(ParseError::Wrong(failure)) => assert!(failure.message.len() <= ANSWER_BYTES_MAX),
    }
}
