//! `encli attestation`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::{self, HexBytes, Moment};

/// Verbs of `attestation`.
#[derive(Debug, Subcommand)]
pub(crate) enum AttestationCommand {
    /// Verifies a document of a Nitro Enclave's NSM.
    #[command(after_help = "Examples:\n  \
        encli attestation verify document.cbor --pcr 0=9fc1… --nonce 00112233\n  \
        encli attestation verify - --at 1743516970 --json < document.b64")]
    Verify(Box<AttestationVerify>),
}

/// `encli attestation verify`.
#[derive(Args, Debug)]
pub(crate) struct AttestationVerify {
    /// The document: raw COSE_Sign1, base64 or hex; `-` for standard input.
    #[arg(value_name = "FILE", value_parser = values::path)]
    pub(crate) file: PathBuf,
    /// The moment at which it must be valid.
    #[arg(long, value_name = "UNIX|now", value_parser = values::moment, default_value = "now")]
    pub(crate) at: Moment,
    /// The public key that it must be for.
    #[arg(long, value_name = "HEX", value_parser = values::bytes)]
    pub(crate) public_key: Option<HexBytes>,
    /// The nonce that it must answer.
    #[arg(long, value_name = "HEX", value_parser = values::bytes)]
    pub(crate) nonce: Option<HexBytes>,
    /// The user data that it must carry.
    #[arg(long, value_name = "HEX", value_parser = values::bytes)]
    pub(crate) user_data: Option<HexBytes>,
}
