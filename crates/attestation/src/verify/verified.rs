//! The proof that a document was verified.

use std::fmt;

use units::UnixSecs;

use super::time;
use crate::chain::Certificate;
use crate::document::Payload;
use crate::pcr::Pcr;
use crate::root::TrustRoot;

/// An attestation document that [`super::verify`] accepted. Nothing else makes one, so whoever takes this
/// type takes a document whose chain, signature, time and expectations were checked.
#[derive(Clone, Eq, PartialEq)]
pub struct VerifiedDocument {
    module_id: String,
    timestamp_ms: u64,
    is_debug: bool,
    pcrs: Vec<(u8, Vec<u8>)>,
    public_key: Option<Vec<u8>>,
    user_data: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    leaf_not_before: UnixSecs,
    leaf_not_after: UnixSecs,
    is_under_aws_root: bool,
}

impl VerifiedDocument {
    pub(super) fn new(payload: &Payload<'_>, leaf: &Certificate<'_>, root: &TrustRoot) -> Self {
        let present = (0_u8..).zip(payload.pcrs.iter());
        Self {
            module_id: payload.module_id.to_owned(),
            timestamp_ms: payload.timestamp_ms,
            is_debug: payload.is_debug(),
            pcrs: present.filter_map(|(index, value)| Some((index, (*value)?.to_vec()))).collect(),
            public_key: payload.public_key.map(<[u8]>::to_vec),
            user_data: payload.user_data.map(<[u8]>::to_vec),
            nonce: payload.nonce.map(<[u8]>::to_vec),
            leaf_not_before: time::unix(leaf.not_before_secs),
            leaf_not_after: time::unix(leaf.not_after_secs),
            is_under_aws_root: root.is_aws(),
        }
    }

    /// The NSM that made the document: the instance's id, `-enc`, and the enclave's id.
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// When it was made, in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// True if the enclave runs in debug mode, which only an expectation that allows it lets pass.
    #[must_use]
    pub const fn is_debug(&self) -> bool {
        self.is_debug
    }

    /// The locked registers, by rising index. Values have 48 bytes in every document seen; AWS also
    /// allows 32 and 64.
    pub fn pcrs(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.pcrs.iter().map(|(index, value)| (*index, value.as_slice()))
    }

    /// One register, if the document has it with 48 bytes.
    #[must_use]
    pub fn pcr(&self, index: u8) -> Option<Pcr> {
        let (_, value) = self.pcrs.iter().find(|(present, _)| *present == index)?;
        Pcr::try_from(value.as_slice()).ok()
    }

    /// The key that the enclave put into the document; may be empty.
    #[must_use]
    pub fn public_key(&self) -> Option<&[u8]> {
        self.public_key.as_deref()
    }

    /// The data that the enclave put into the document; may be empty.
    #[must_use]
    pub fn user_data(&self) -> Option<&[u8]> {
        self.user_data.as_deref()
    }

    /// The nonce that the enclave put into the document; may be empty.
    #[must_use]
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// The first second of the leaf certificate's validity.
    #[must_use]
    pub const fn leaf_not_before(&self) -> UnixSecs {
        self.leaf_not_before
    }

    /// The last second of the leaf certificate's validity, after which the document verifies no more.
    #[must_use]
    pub const fn leaf_not_after(&self) -> UnixSecs {
        self.leaf_not_after
    }

    /// True if the chain led to AWS's root, false if to a named development root.
    #[must_use]
    pub const fn is_under_aws_root(&self) -> bool {
        self.is_under_aws_root
    }
}

/// Names the document without its data.
impl fmt::Debug for VerifiedDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedDocument")
            .field("module_id", &self.module_id)
            .field("timestamp_ms", &self.timestamp_ms)
            .field("is_debug", &self.is_debug)
            .field("is_under_aws_root", &self.is_under_aws_root)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Role;
    use crate::pcr::PCR_COUNT;

    /// Only here can a document be made without being verified: to see what it says of its root.
    #[test]
    fn a_document_says_which_root_it_is_under() {
        let root = TrustRoot::aws();
        let payload = Payload {
            module_id: "i-1-enc2",
            timestamp_ms: 3,
            pcrs: [Some(&[1; 48]); PCR_COUNT as usize],
            certificate: root.der(),
            cabundle: vec![],
            public_key: Some(b"secret enough not to be printed"),
            user_data: None,
            nonce: None,
        };
        let leaf = Certificate::parse(root.der(), Role::Authority { below: 0 }).unwrap();
        let document = VerifiedDocument::new(&payload, &leaf, &root);
        assert!(document.is_under_aws_root());
        let printed = "VerifiedDocument { module_id: \"i-1-enc2\", timestamp_ms: 3, is_debug: false, \
                       is_under_aws_root: true, .. }";
        assert_eq!(format!("{document:?}"), printed);
    }
}
