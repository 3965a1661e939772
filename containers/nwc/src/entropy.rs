//! Randomness, as something that is handed in.

use std::fmt;

use zeroize::Zeroizing;

/// A source of unpredictable bytes for keys and preimages.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// 32 fresh bytes.
    ///
    /// # Errors
    /// [`NoEntropy`]; whatever needed the bytes must not happen.
    fn bytes32(&self) -> Result<Zeroizing<[u8; 32]>, NoEntropy>;
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoEntropy(#[source] getrandom::Error);

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn bytes32(&self) -> Result<Zeroizing<[u8; 32]>, NoEntropy> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).map_err(NoEntropy)?;
        Ok(bytes)
    }
}
