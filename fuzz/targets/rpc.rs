//! Requests and replies after decryption, connection strings, and the frames between processes of a host.
#![no_main]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use protocol::nwc;
use protocol::rpc::enclaved::{ContainerParams, LaunchParams};
use protocol::rpc::{Reply, Request};
use serde_json::Value;
use transport::read_frame;

/// A frame's limit, small enough that inputs reach it.
const FRAME_BYTES_MAX: usize = 1_024;

fuzz_target!(|input: &[u8]| {
    frames(input);
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(request) = Request::parse(text) {
        // A retry is the same text. (Written anew it may differ: a number with more digits than a float has
        // is not read back as it was written.)
        let again = Request::parse(text).map(|again| again.body_sha256());
        assert_eq!(again.ok(), Some(request.body_sha256()));
        let written = serde_json::to_string(&request).expect("it is JSON");
        assert!(Request::parse(&written).is_ok());
        let _ = serde_json::from_value::<LaunchParams>(request.params.clone());
        let _ = serde_json::from_value::<ContainerParams>(request.params);
    }
    if let Ok(reply) = serde_json::from_str::<Reply>(text) {
        let _ = reply.outcome();
    }
    let _ = nwc::Request::from_json(text);
    let _ = nwc::Notification::from_json(text);
    let _ = text.parse::<nwc::ConnectionUri>();
});

/// Reads frames until one is wrong or none is left: all bytes are there, so that nothing ever waits.
fn frames(mut stream: &[u8]) {
    loop {
        let mut context = Context::from_waker(Waker::noop());
        let read = pin!(read_frame::<Value>(&mut stream, FRAME_BYTES_MAX)).poll(&mut context);
        assert!(read.is_ready());
        if !matches!(read, Poll::Ready(Ok(_))) {
            return;
        }
    }
}
