//! Wallet clients of others against the real `nwc` and a real relay: Alby's SDK and lightning-tools from
//! npm, rust-nostr's types, and the reference's messages.

mod alby;
mod encli;
mod hold;
mod lnurl;
mod reference;
mod relays;
mod rust_nostr;
mod sdk;
mod stage;
