//! New keys and random numbers.

use nostr::key::{Keys, SecretKey};
use zeroize::Zeroizing;

use crate::error::Failure;

/// A new key.
///
/// # Errors
/// `no_randomness`.
pub(crate) fn generate() -> Result<Keys, Failure> {
    let secret = Zeroizing::new(random::<32>()?);
    let secret = SecretKey::from_slice(secret.as_ref())
        .map_err(|_| Failure::refused("no_randomness", "the random numbers make no key; try again"))?;
    Ok(Keys::new(secret))
}

/// Random bytes.
///
/// # Errors
/// `no_randomness`.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| {
        Failure::refused("no_randomness", format!("this machine gives no random numbers: {e}"))
    })?;
    Ok(bytes)
}
