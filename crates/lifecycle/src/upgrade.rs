//! Upgrades of a container's image: which release is taken, and how one image takes the place of another.
//!
//! ```text
//!   fetching ──► stopping ──► trying ──► done          the volume is copied while nothing runs, and
//!      │            │            │ not healthy         the copy is kept until the end
//!      ▼            ▼            ▼
//!   refused     cancelled    rolling_back ──► rolled_back or cancelled
//! ```
//!
//! Each stage is on record before what it stands for is done, so that a crash finds out where it was:
//!
//! | stage | which image is on record as the container's | after a crash |
//! |---|---|---|
//! | fetching | the old one, which runs | fetches again |
//! | stopping | the old one | stops it and copies the volume again |
//! | trying | the new one: what is certified is what runs | tries it again, [`TRIES_MAX`] times in all |
//! | rolling back | the new one, until the copy is back in its place | goes on rolling back |

mod choose;
mod stages;

pub use choose::{Candidate, Choice, choose};
pub use stages::{Act, End, Stage, TRIES_MAX, Told, next};
