//! Platform configuration registers: what a Nitro enclave is measured by.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA384};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Registers of one NSM, with indices 0 to 31.
pub const PCR_COUNT: u8 = 32;

/// The value of one register: a SHA-384 digest, 48 bytes. Shown and read as 96 hex digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pcr([u8; Self::LEN]);

/// A text or a slice that is not a register's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a PCR is 48 bytes, written as 96 hex digits")]
pub struct PcrFormatError;

impl Pcr {
    /// Length of a value in bytes.
    pub const LEN: usize = 48;

    /// A register that nothing was measured into.
    pub const ZERO: Self = Self([0; Self::LEN]);

    /// The value with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// True if all bytes are zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// What the register holds after `data` was measured into it: SHA-384(old ‖ data).
    #[must_use]
    pub fn extended(&self, data: &[u8]) -> Self {
        let mut context = Context::new(&SHA384);
        context.update(&self.0);
        context.update(data);
        let mut value = Self::ZERO;
        value.0.copy_from_slice(context.finish().as_ref());
        value
    }
}

/// The value of a register into which only `data` was measured: SHA-384(0⁴⁸ ‖ data).
///
/// PCR4 is this of the instance id's text; PCR0, 1, 2 and 8 are this of the SHA-384 of what they
/// measure (AWS Nitro Enclaves user guide, "Where to get an enclave's measurements").
#[must_use]
pub fn pcr_digest(data: &[u8]) -> Pcr {
    Pcr::ZERO.extended(data)
}

impl fmt::Display for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pcr({self})")
    }
}

impl FromStr for Pcr {
    type Err = PcrFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut value = Self::ZERO;
        hex::decode_to_slice(text, &mut value.0).map_err(|_| PcrFormatError)?;
        Ok(value)
    }
}

impl TryFrom<&[u8]> for Pcr {
    type Error = PcrFormatError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self).map_err(|_| PcrFormatError)
    }
}

impl Serialize for Pcr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pcr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PCR4 and the instance id of a real document (mystenlabs/fastcrypto's fixture).
    #[test]
    fn digest_of_an_instance_id_is_pcr4() {
        assert_eq!(
            pcr_digest(b"i-06fb0bf4e70d5129f").to_string(),
            "fc4a2e95325943566b6344b99d998df9675cb30e32a1eaf7d74767d818e715f1e289d09b9e5dbceb8245607ffe661b46",
        );
    }

    #[test]
    fn extending_is_chained() {
        let once = Pcr::ZERO.extended(b"a");
        assert!(Pcr::ZERO.is_zero() && !once.is_zero());
        assert_eq!(once, pcr_digest(b"a"));
        assert_eq!(once.extended(b"b"), once.extended(b"b"));
        assert_ne!(once.extended(b"b"), pcr_digest(b"ab"));
    }

    #[test]
    fn text_that_is_no_pcr_is_refused() {
        let text = "ab".repeat(48);
        assert_eq!(text.parse::<Pcr>().map(|pcr| pcr.to_string()), Ok(text.clone()));
        assert_eq!(format!("{:?}", Pcr::ZERO), format!("Pcr({})", "0".repeat(96)));
        assert_eq!(serde_json::to_string(&Pcr::ZERO).unwrap(), format!("\"{}\"", "0".repeat(96)));
        for bad in ["", "ab", &text[1..], &text[2..], &format!("{text}ab"), &text.replace('a', "g")] {
            assert_eq!(bad.parse::<Pcr>(), Err(PcrFormatError), "{bad}");
            assert!(serde_json::from_str::<Pcr>(&format!("\"{bad}\"")).is_err(), "{bad}");
        }
        assert_eq!(Pcr::try_from(&[0; 32][..]), Err(PcrFormatError));
        assert!(Pcr::try_from(&[0; 48][..]).is_ok_and(|pcr| pcr.is_zero()));
    }
}
