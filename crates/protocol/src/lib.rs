//! What is said: Nostr events of the NEC conventions, RPC envelopes and methods, NIP-47 messages, the
//! guest API and the parent API. Types, their exact bytes, and the checks that make them trusted; no
//! I/O.

pub mod canonical;
pub mod dm;
pub mod event;
pub mod guest;
pub mod kinds;
pub mod manifest;
pub mod nec;
pub mod nwc;
pub mod parent;
pub mod receipt;
pub mod rpc;
pub mod secrets;
pub mod statement;
