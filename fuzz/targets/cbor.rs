//! The CBOR reader, and the messages of the NSM that are read with it.
#![no_main]

use attestation::cbor::Reader;
use attestation::nsm::{NsmRequest, NsmResponse, frame};
use libfuzzer_sys::fuzz_target;

/// Longest message of an NSM, and more than a frame of it may have.
const FRAME_BYTES_MAX: usize = 12_288;

fuzz_target!(|input: &[u8]| {
    let mut reader = Reader::new(input);
    while reader.skip().is_ok() {
        assert!(reader.position() <= input.len());
    }
    // Whatever single item is well-formed is taken whole, and reading it by type agrees with passing over it.
    let skipped = one(input, |reader| reader.skip());
    for typed in [
        one(input, |reader| reader.uint().map(drop)),
        one(input, |reader| reader.int().map(drop)),
        one(input, |reader| reader.bytes().map(drop)),
        one(input, |reader| reader.text().map(drop)),
        one(input, |reader| reader.bool().map(drop)),
    ] {
        assert!(typed.is_none() || typed == skipped);
    }
    // What is decoded is encoded to what decodes to the same.
    if let Ok(request) = NsmRequest::decode(input) {
        assert_eq!(NsmRequest::decode(&request.encode()).ok(), Some(request));
    }
    if let Ok(response) = NsmResponse::decode(input) {
        assert_eq!(NsmResponse::decode(&response.encode()).ok(), Some(response));
    }
    let mut stream = input;
    while let Ok(Some(message)) = frame::read(&mut stream, FRAME_BYTES_MAX) {
        assert!(message.len() <= FRAME_BYTES_MAX);
    }
});

/// Where reading one item ended, if it could be read.
fn one<E>(input: &[u8], read: impl Fn(&mut Reader<'_>) -> Result<(), E>) -> Option<usize> {
    let mut reader = Reader::new(input);
    read(&mut reader).ok().map(|()| reader.position())
}
