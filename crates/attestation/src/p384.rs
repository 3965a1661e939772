//! ECDSA over P-384 with SHA-384 (FIPS 186-5): the one signature scheme of Nitro attestation.

use aws_lc_rs::digest::Digest;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

/// An uncompressed point (SEC 1 §2.3.3): 0x04 ‖ x ‖ y.
const POINT_BYTES: usize = 97;
const UNCOMPRESSED: u8 = 0x04;

/// A public key, borrowed from the certificate that holds it. Whether the point lies on the curve is
/// checked by each verification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublicKey<'a>(&'a [u8]);

impl<'a> PublicKey<'a> {
    /// The key with this uncompressed point, or `None` for any other encoding.
    pub(crate) fn from_point(point: &'a [u8]) -> Option<Self> {
        (point.len() == POINT_BYTES && point.first() == Some(&UNCOMPRESSED)).then_some(Self(point))
    }

    /// True if `signature`, an ASN.1 Ecdsa-Sig-Value (X.509's form), signs `message`.
    pub(crate) fn verifies_asn1(self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, self.0).verify(message, signature).is_ok()
    }

    /// True if `signature`, r ‖ s (COSE's form), signs the message with this `digest`.
    pub(crate) fn verifies_fixed(self, digest: &Digest, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, self.0).verify_digest(digest, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uncompressed_points_are_keys() {
        let point = |first: u8, length: usize| {
            let mut bytes = vec![7; length];
            bytes[0] = first;
            PublicKey::from_point(&bytes).is_some()
        };
        assert!(point(UNCOMPRESSED, POINT_BYTES));
        for (first, length) in [(4, 96), (4, 98), (4, 65), (2, 49), (2, 97), (6, 97), (0, 97), (4, 1)] {
            assert!(!point(first, length), "{first} of {length}");
        }
        assert!(PublicKey::from_point(&[]).is_none());
    }
}
