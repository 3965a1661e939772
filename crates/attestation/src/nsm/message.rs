//! Requests and responses (aws-nitro-enclaves-nsm-api, `src/api/mod.rs`).

use std::collections::BTreeSet;
use std::fmt;

/// What an NSM can be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NsmRequest {
    /// Read a register.
    DescribePcr {
        /// Which.
        index: u16,
    },
    /// Measure data into a register that is not locked.
    ExtendPcr {
        /// Which.
        index: u16,
        /// What to measure.
        data: Vec<u8>,
    },
    /// Lock one register until the enclave ends.
    LockPcr {
        /// Which.
        index: u16,
    },
    /// Lock the registers below an index.
    LockPcrs {
        /// The first that is not locked.
        range: u16,
    },
    /// Say what the module is.
    DescribeNsm,
    /// Sign an attestation document.
    Attestation {
        /// At most 1024 bytes.
        user_data: Option<Vec<u8>>,
        /// At most 1024 bytes.
        nonce: Option<Vec<u8>>,
        /// At most 1024 bytes.
        public_key: Option<Vec<u8>>,
    },
    /// Give random bytes.
    GetRandom,
}

/// What an NSM answers.
#[derive(Clone, Eq, PartialEq)]
pub enum NsmResponse {
    /// A register.
    DescribePcr {
        /// True if it can no longer be extended.
        lock: bool,
        /// Its value.
        data: Vec<u8>,
    },
    /// A register was extended.
    ExtendPcr {
        /// Its new value.
        data: Vec<u8>,
    },
    /// A register was locked.
    LockPcr,
    /// Registers were locked.
    LockPcrs,
    /// What the module is.
    DescribeNsm {
        /// Changes that break callers.
        version_major: u16,
        /// Changes that do not.
        version_minor: u16,
        /// Fixes.
        version_patch: u16,
        /// The instance's id, `-enc`, and the enclave's id.
        module_id: String,
        /// How many registers there are.
        max_pcrs: u16,
        /// Which of them are locked.
        locked_pcrs: BTreeSet<u16>,
        /// What registers are digests of.
        digest: NsmDigest,
    },
    /// A signed document.
    Attestation {
        /// The COSE_Sign1.
        document: Vec<u8>,
    },
    /// Random bytes.
    GetRandom {
        /// As many as the module likes to give; never printed.
        random: Vec<u8>,
    },
    /// The module refuses.
    Error(NsmErrorCode),
}

/// Why an NSM refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NsmErrorCode {
    /// No error; part of AWS's list.
    Success,
    /// An argument is invalid.
    InvalidArgument,
    /// There is no such register.
    InvalidIndex,
    /// The response does not belong to the request.
    InvalidResponse,
    /// The register is locked.
    ReadOnlyIndex,
    /// The request is not understood, or not possible.
    InvalidOperation,
    /// The response does not fit the caller's buffer.
    BufferTooSmall,
    /// The request, or a field of it, is too large.
    InputTooLarge,
    /// The module failed.
    InternalError,
}

/// A digest that registers can be made with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NsmDigest {
    /// 32 bytes.
    Sha256,
    /// 48 bytes; what every enclave has.
    Sha384,
    /// 64 bytes.
    Sha512,
}

impl NsmRequest {
    /// The operation's name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DescribePcr { .. } => "DescribePCR",
            Self::ExtendPcr { .. } => "ExtendPCR",
            Self::LockPcr { .. } => "LockPCR",
            Self::LockPcrs { .. } => "LockPCRs",
            Self::DescribeNsm => "DescribeNSM",
            Self::Attestation { .. } => "Attestation",
            Self::GetRandom => "GetRandom",
        }
    }
}

impl NsmResponse {
    /// The response's name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::DescribePcr { .. } => "DescribePCR",
            Self::ExtendPcr { .. } => "ExtendPCR",
            Self::LockPcr => "LockPCR",
            Self::LockPcrs => "LockPCRs",
            Self::DescribeNsm { .. } => "DescribeNSM",
            Self::Attestation { .. } => "Attestation",
            Self::GetRandom { .. } => "GetRandom",
            Self::Error(_) => "Error",
        }
    }
}

/// Names the response without its content: random bytes become keys.
impl fmt::Debug for NsmResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NsmResponse::{}", self.name())?;
        if let Self::Error(code) = self { write!(f, "({code})") } else { Ok(()) }
    }
}

impl NsmErrorCode {
    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::InvalidArgument,
        Self::InvalidIndex,
        Self::InvalidResponse,
        Self::ReadOnlyIndex,
        Self::InvalidOperation,
        Self::BufferTooSmall,
        Self::InputTooLarge,
        Self::InternalError,
    ];

    /// The code on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::InvalidArgument => "InvalidArgument",
            Self::InvalidIndex => "InvalidIndex",
            Self::InvalidResponse => "InvalidResponse",
            Self::ReadOnlyIndex => "ReadOnlyIndex",
            Self::InvalidOperation => "InvalidOperation",
            Self::BufferTooSmall => "BufferTooSmall",
            Self::InputTooLarge => "InputTooLarge",
            Self::InternalError => "InternalError",
        }
    }
}

impl fmt::Display for NsmErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl NsmDigest {
    /// Every digest.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The digest on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        }
    }
}
