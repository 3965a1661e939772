//! A secret in parts, of which any `threshold` give it back and fewer tell nothing (A. Shamir, *How to
//! share a secret*, 1979), byte by byte over GF(2⁸) with the polynomial of AES (FIPS 197, 4.2).
//!
//! Nothing here depends on secret bytes for its timing: multiplication has neither tables nor branches.

use thiserror::Error;
use zeroize::Zeroizing;

/// One part of a secret.
#[derive(Clone, Eq, PartialEq)]
pub struct Part {
    /// Where the polynomials were evaluated: 1 to the number of parts.
    pub x: u8,
    /// Their values, as many as the secret has bytes.
    pub y: Zeroizing<Vec<u8>>,
}

/// Shows no values.
impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("x", &self.x).finish_non_exhaustive()
    }
}

/// Why a secret cannot be divided, or not be put together.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ShamirError {
    /// A threshold of nobody or of more than all.
    #[error("{threshold} of {parts} parts cannot be asked for")]
    Threshold {
        /// How many give the secret back.
        threshold: u8,
        /// How many there are.
        parts: u8,
    },
    /// Parts of different lengths, twice the same one, or one at 0, where the secret itself is.
    #[error("the parts do not belong together")]
    Parts,
    /// No randomness.
    #[error("there is no randomness to divide a secret with")]
    Random,
}

/// Divides a secret into `parts`, of which any `threshold` give it back. `random` fills a buffer with
/// random bytes, or says that it cannot.
///
/// # Errors
/// [`ShamirError`].
pub fn divide(
    secret: &[u8],
    threshold: u8,
    parts: u8,
    mut random: impl FnMut(&mut [u8]) -> bool,
) -> Result<Vec<Part>, ShamirError> {
    if threshold == 0 || threshold > parts {
        return Err(ShamirError::Threshold { threshold, parts });
    }
    // Coefficients of one byte's polynomial, highest first; the byte itself is the last.
    let mut coefficients = Zeroizing::new(vec![0; usize::from(threshold)]);
    let empty = |x| Part { x, y: Zeroizing::new(Vec::with_capacity(secret.len())) };
    let mut divided: Vec<Part> = (1..=parts).map(empty).collect();
    for byte in secret {
        let Some((last, others)) = coefficients.split_last_mut() else {
            return Err(ShamirError::Threshold { threshold, parts });
        };
        if !others.is_empty() && !random(others) {
            return Err(ShamirError::Random);
        }
        *last = *byte;
        for part in &mut divided {
            let y = coefficients.iter().fold(0, |y, coefficient| multiply(y, part.x) ^ coefficient);
            part.y.push(y);
        }
    }
    Ok(divided)
}

/// Puts a secret together from as many parts as its threshold was. With fewer, or with a part that was
/// altered, another secret comes out, and nothing tells.
///
/// # Errors
/// [`ShamirError::Parts`].
pub fn combine(parts: &[Part]) -> Result<Zeroizing<Vec<u8>>, ShamirError> {
    let length = parts.first().ok_or(ShamirError::Parts)?.y.len();
    let is_odd = |(i, part): (usize, &Part)| {
        part.x == 0 || part.y.len() != length || parts.iter().take(i).any(|other| other.x == part.x)
    };
    if parts.iter().enumerate().any(is_odd) {
        return Err(ShamirError::Parts);
    }
    let mut secret = Zeroizing::new(vec![0; length]);
    for part in parts {
        // Lagrange's factor at 0: the product of x / (x − own x) over all others; minus is plus here.
        let others = parts.iter().filter(|other| other.x != part.x);
        let factor =
            others.fold(1, |product, other| multiply(product, multiply(other.x, inverse(other.x ^ part.x))));
        secret.iter_mut().zip(part.y.iter()).for_each(|(byte, y)| *byte ^= multiply(*y, factor));
    }
    Ok(secret)
}

/// Multiplies in GF(2⁸), modulo x⁸ + x⁴ + x³ + x + 1.
const fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    let mut bit = 0;
    while bit < 8 {
        product ^= a & (b & 1).wrapping_neg();
        a = (a << 1) ^ (0x1b & (a >> 7).wrapping_neg());
        b >>= 1;
        bit += 1;
    }
    product
}

/// The inverse: a²⁵⁴. That of 0, which nobody asks for, is 0.
const fn inverse(a: u8) -> u8 {
    let mut power = a;
    let mut result = 1;
    // 254 = 2 + 4 + … + 128.
    let mut bit = 1;
    while bit < 8 {
        power = multiply(power, power);
        result = multiply(result, power);
        bit += 1;
    }
    result
}

#[cfg(test)]
mod tests;
