//! What a wallet answers when it does not do what was asked.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An error code of NIP-47.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ErrorCode {
    /// Too many requests, or too much open at once; try again later.
    RateLimited,
    /// The method is not known or not offered.
    NotImplemented,
    /// The balance does not cover the amount and the fee reserve.
    InsufficientBalance,
    /// The connection's budget does not allow it.
    QuotaExceeded,
    /// This key may not do this.
    Restricted,
    /// This key has no wallet here.
    Unauthorized,
    /// The wallet's own fault.
    Internal,
    /// Anything else, such as parameters that are not valid.
    Other,
    /// The payment failed or cannot be made.
    PaymentFailed,
    /// There is no such invoice or payment among the caller's.
    NotFound,
    /// The request's encryption is not supported.
    UnsupportedEncryption,
    /// A code that NIP-47 does not define, as some wallets send it. We never do: clients could not read it.
    Unknown(String),
}

impl ErrorCode {
    /// The codes that NIP-47 defines.
    pub const ALL: [Self; 11] = [
        Self::RateLimited,
        Self::NotImplemented,
        Self::InsufficientBalance,
        Self::QuotaExceeded,
        Self::Restricted,
        Self::Unauthorized,
        Self::Internal,
        Self::Other,
        Self::PaymentFailed,
        Self::NotFound,
        Self::UnsupportedEncryption,
    ];

    /// The code as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::RateLimited => "RATE_LIMITED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InsufficientBalance => "INSUFFICIENT_BALANCE",
            Self::QuotaExceeded => "QUOTA_EXCEEDED",
            Self::Restricted => "RESTRICTED",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Internal => "INTERNAL",
            Self::Other => "OTHER",
            Self::PaymentFailed => "PAYMENT_FAILED",
            Self::NotFound => "NOT_FOUND",
            Self::UnsupportedEncryption => "UNSUPPORTED_ENCRYPTION",
            Self::Unknown(code) => code,
        }
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        let known = Self::ALL.into_iter().find(|known| known.as_str() == code);
        Ok(known.unwrap_or(Self::Unknown(code)))
    }
}

/// An error of a reply: a code for programs and a sentence for people that says what to do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[error("{message} ({})", .code.as_str())]
pub struct WalletError {
    /// What kind of error.
    pub code: ErrorCode,
    /// What happened and what to do, safe to show.
    #[serde(default)]
    pub message: String,
}

impl WalletError {
    /// An error with this code and sentence.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Parameters that are not valid. NIP-47 has no code of its own for them.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Other, message)
    }
}
