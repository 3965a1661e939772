//! End-to-end tests over the real binaries, and the rules of the house. Everything is in `tests/`.
