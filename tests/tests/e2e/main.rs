//! The real binaries in a whole world, from a stranger's point of view.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod life;
mod stranger;
