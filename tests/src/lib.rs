//! End-to-end tests over the real binaries, and the rules of the house. All of them are in `tests/`; here is
//! what two of their programs share.

pub mod page;
