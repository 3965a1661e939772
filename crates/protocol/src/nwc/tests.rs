mod reply;
mod request;
mod uri;

/// A public key on the curve.
const KEY: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
