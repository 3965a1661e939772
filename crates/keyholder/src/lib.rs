//! The client of the key stores.
//!
//! - [`Trust`] says which key stores count: their code, whose maintainers sign it, and the launchers that
//!   have a vote. [`Directory`] finds their announcements on relays; only what passed becomes a
//!   [`Member`], and nothing is sent to anybody else.
//! - [`KeycruxClient`] calls one of them, method by method.
//! - [`Keyholder`] holds one record with all of them: it opens an epoch, waits until the holder before it
//!   has run out, keeps the lease, moves the head, and stops when it has lost the record. Whoever acts
//!   for the record's owner asks [`Keyholder::may_act`] before each act.

mod client;
mod directory;
mod holder;
mod proof;

pub use client::KeycruxClient;
pub use directory::{Directory, Known, Member, Trust, TrustError};
pub use holder::{AcquireError, Found, HoldError, HolderOptions, Keyholder, Loss, NewBody};
pub use proof::{Proof, ProofError};
