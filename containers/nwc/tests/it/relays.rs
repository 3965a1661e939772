//! The wallet on real relays, with clients that speak NIP-47 event by event.

mod attacks;
mod wire;
mod world;
