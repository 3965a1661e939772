//! A register that several keepers hold in memory, and that survives any minority of them: the heads,
//! keys and leases of a group of key stores, as a protocol without I/O.
//!
//! ```text
//!  holder ── Prepare ──► replicas     opens an epoch; older ones can no longer write
//!         ◄── promises ──             the newest value among a quorum is the value
//!         ── Write ────►              writes it back under the new epoch: now it is settled
//!            (waits one lease)        the holder before us has run out of its own
//!         ── Write ────►              renews the lease, and moves the head
//! ```
//!
//! It differs from the textbook in what a replica may forget. Replicas live in enclaves and keep nothing
//! when they restart, and whoever runs them may restart them, cut them off, or keep an old one aside.
//! So:
//!
//! - A replica that starts asks [`Size::join`] others for what they know, and answers nobody before
//!   (`Replica::is_serving`). Those it asks remember that it started anew: its [`Incarnation`].
//! - Each reply carries what its sender knows of all incarnations ([`View`]). A reply of an incarnation
//!   that another reply calls superseded does not count: the acknowledgement that a dead replica gave
//!   before it died may be one that nobody remembers. (Michael, Ports, Sharma, Szekeres: *Recovering
//!   shared objects without stable storage*, 2017.)
//! - A group is founded only when all members start together, and has a name of its own ([`GroupId`]).
//!   Replies of different groups are never counted together, so an old replica kept aside through the
//!   loss of all others cannot lend its state to the next group.
//!
//! [`shamir`] is for owners who let no member hold their secret alone.
//!
//! Time enters as an argument, in milliseconds of a clock that never steps back. Only durations are
//! compared, each on one machine.

mod call;
mod ids;
mod join;
mod replica;
pub mod shamir;
mod tenure;

pub use call::{Call, Outcome};
pub use ids::{Boot, Epoch, GroupId, Head, Incarnation, MemberId, RecordId, Size, SizeError, Stamp, View};
pub use join::{Hello, Joining, PeerReply, PeerRequest, Status};
pub use replica::{Answer, Entry, Origin, Replica, Reply, Request, Stamped};
pub use tenure::{Lost, Stage, Tenure, TenureRules};
