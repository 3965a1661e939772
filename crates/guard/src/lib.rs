//! Which network addresses a stranger may name.
//!
//! An image registry, the realm of its tokens, a redirect, a relay, an LNURL server: each is a host
//! that somebody else chose and that this server then connects to. Every one of them passes
//! [`AddressGuard`], which resolves the name once, refuses the whole name if any of its addresses is
//! not public, and hands back the very addresses that were checked, so that the caller connects to
//! those and to nothing else. (A name that is looked up a second time can answer differently.)
//!
//! Exceptions are configuration, for development and tests; a production instance has none, which
//! [`AddressGuard::has_exceptions`] lets it check.

mod error;
mod guard;
mod lookup;
mod special;

pub use error::{AddressRefused, GuardError};
pub use guard::AddressGuard;
pub use lookup::{Hold, Lookup, LookupFuture, SystemLookup};
