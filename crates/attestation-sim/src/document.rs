//! Attestation documents: the payload in the NSM's CBOR, and the signature around it.

use attestation::cbor::Writer;

use crate::{IssueError, SimKey};

/// {1: −35}: ES384, and nothing else.
const PROTECTED_HEADER: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

/// What a payload will say, apart from its certificates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PayloadSpec {
    /// The instance's id, `-enc`, and the enclave's id.
    pub module_id: String,
    /// When the document is made, in Unix milliseconds.
    pub timestamp_ms: u64,
    /// Registers, in the order in which they are written.
    pub pcrs: Vec<(u64, Vec<u8>)>,
    /// The enclave's key.
    pub public_key: Option<Vec<u8>>,
    /// The enclave's data.
    pub user_data: Option<Vec<u8>>,
    /// The caller's nonce.
    pub nonce: Option<Vec<u8>>,
    /// True for a map that states its length, as NSMs wrote it until 2025; false for one of indefinite
    /// length, as they write it since.
    pub is_definite: bool,
}

impl PayloadSpec {
    /// The payload's bytes, with these certificates: fields in the order of real documents, null for
    /// what was not given.
    #[must_use]
    pub fn encode(&self, certificate: &[u8], cabundle: &[Vec<u8>]) -> Vec<u8> {
        const FIELDS: usize = 9;
        // A document has some 4500 bytes.
        let mut writer = Writer::with_capacity(6_000);
        if self.is_definite {
            writer.map(FIELDS);
        } else {
            writer.map_indefinite();
        }
        writer.text("module_id").text(&self.module_id);
        writer.text("digest").text("SHA384");
        writer.text("timestamp").uint(self.timestamp_ms);
        writer.text("pcrs").map(self.pcrs.len());
        for (index, value) in &self.pcrs {
            writer.uint(*index).bytes(value);
        }
        writer.text("certificate").bytes(certificate);
        writer.text("cabundle").array(cabundle.len());
        for authority in cabundle {
            writer.bytes(authority);
        }
        writer.text("public_key").optional_bytes(self.public_key.as_deref());
        writer.text("user_data").optional_bytes(self.user_data.as_deref());
        writer.text("nonce").optional_bytes(self.nonce.as_deref());
        if !self.is_definite {
            writer.end();
        }
        writer.into_bytes()
    }
}

/// Signs a payload: a COSE_Sign1 (RFC 9052 §4.4) without a tag, as NSMs make it.
///
/// # Errors
/// [`IssueError::Signature`] if the cryptographic library cannot.
pub fn sign(payload: &[u8], key: &SimKey) -> Result<Vec<u8>, IssueError> {
    let mut signed = Writer::with_capacity(payload.len() + 32);
    signed.array(4).text("Signature1").bytes(&PROTECTED_HEADER).bytes(&[]).bytes(payload);
    let signature = key.sign_document(&signed.into_bytes())?;
    let mut document = Writer::with_capacity(payload.len() + 128);
    document.array(4).bytes(&PROTECTED_HEADER).map(0).bytes(payload).bytes(&signature);
    Ok(document.into_bytes())
}
