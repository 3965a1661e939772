//! RPC over relays: NIP-44 of `{id, method, params}` in ephemeral events with one `p` tag.

mod client;
pub(crate) mod envelope;
mod handler;
mod rate;
mod replies;
mod server;

pub use client::{RpcClient, RpcError};
pub use envelope::{Envelope, OpenError, SealError};
pub use handler::{Caller, Effect, Handler, Method};
pub use rate::{RateLimit, RateLimiter};
pub use server::{RpcServer, ServerOptions};
