//! The wallet on real relays, with clients that speak NIP-47 event by event.

mod attacks;
mod auth;
mod house;
mod kills;
mod races;
mod silence;
mod wire;
mod world;
