//! The life of a container as a pure state machine: `step(state, event, now) -> (state, effects)`.
//!
//! ```text
//!            launch             paid               could not pay
//!  (none) ───────────► waiting ─────► launching ─┐     ┌────────► paused ──┐ topped up:
//!                         │ invoice      │       ▼     │            │      │ charged,
//!                         │ expired      │    deployed ┘            │      │ started
//!                         ▼              │ failed  ▲ ◄──────────────┼──────┘
//!                      expired           ▼                          │ unpaid for RETENTION
//!                                      failed                       ▼
//!                                               terminated (data wiped; also by the owner)
//! ```
//!
//! | phase | its process | holds units | after a restart of the server |
//! |---|---|---|---|
//! | waiting | none | yes, until the invoice expires | asks the wallet about the invoice |
//! | expired | none | no | cleans up |
//! | launching | about to start | yes | launches again |
//! | failed | none | no | cleans up |
//! | deployed | runs, unless its owner paused it | yes | starts it, or keeps it stopped |
//! | deployed, `upgrading` | is replaced by that of another image | yes | goes on with the upgrade |
//! | paused | stopped, unpaid; its data is kept | no | keeps it stopped |
//! | terminated | none, data wiped | no | cleans up |
//!
//! No I/O, no clock, no randomness: the daemon's driver persists the new state, then carries out the
//! effects, each of which may be carried out twice, and feeds their outcomes back as events.
//!
//! What an upgrade does step by step, and which release is chosen for one, is in [`upgrade`].

mod event;
mod policy;
mod state;
mod step;
#[cfg(test)]
mod tests;
pub mod upgrade;

pub use event::{Effect, Event, Refused};
pub use policy::Policy;
pub use state::{Phase, State};
pub use step::{next_wakeup, step};
