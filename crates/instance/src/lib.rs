//! What every program in an enclave does to prove itself: its evidence from the NSM, the people who
//! vouch for it, and the parent that brings their signatures.

mod evidence;
mod parent;
mod vouchers;

pub use evidence::{Attestor, Evidence, EvidenceError};
pub use parent::{ParentError, connect_parent};
pub use vouchers::Vouchers;
