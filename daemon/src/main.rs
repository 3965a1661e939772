//! The application server that runs inside the enclave.

fn main() {}
