//! The program, as an operator sees it.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod program;
