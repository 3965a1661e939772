//! The key store: it keeps keys in memory for builds that prove themselves, and gives them to nobody
//! else; several of them, each at another launcher, outlive any minority of themselves.
//!
//! ```text
//! request ─► api ─► caller   is this a genuine, fresh document of the key that asks?
//!                 ─► policy   may this build have this record?            (a pure function)
//!                 ─► store    one writer: quorum::Replica, bounded, wiped
//! group: joins the others when it starts          announce: proves itself to all
//! ```

pub mod announce;
pub mod api;
pub mod caller;
pub mod config;
pub mod group;
pub mod policy;
pub mod server;
pub mod store;
