//! How messages travel over Nostr relays: a pool of connections, subscriptions whose events were all
//! checked by us, publishing with an account of which relay took what, durable deduplication, and RPC
//! in both directions.
//!
//! This is the only crate that knows `nostr-sdk`.

mod accept;
mod acks;
mod dialer;
pub mod dm;
mod local;
pub mod nwc;
mod pool;
mod publish;
pub mod queue;
mod reopen;
pub mod request_log;
pub mod rpc;
mod subscription;
pub mod work;

pub use accept::{Acceptor, Listens};
pub use local::{LocalRelayLimits, LocalRelayServer};
pub use pool::{Pool, PoolBuilder, PoolError, RelayStatus};
pub use publish::{PublishReport, next_announcement_secs};
pub use subscription::Subscription;
