//! Why a command came to nothing: a stable code for programs, a sentence for people that says what to
//! do next, and an exit code.

mod remedy;

use std::borrow::Cow;
use std::error::Error;

use attestation::VerifyError;
use protocol::nec::NecError;
use protocol::nwc::{ErrorCode, WalletError};
use protocol::rpc::Refusal;
use relay::PoolError;
use relay::nwc::NwcError;
use relay::rpc::RpcError;
use serde_json::Value;
use thiserror::Error;

use crate::output::safe;

/// Longest code of a server that is passed on.
const CODE_BYTES_MAX: usize = 64;

/// What to do about evidence that is refused.
const DO_NOT_RELY: &str = "do not rely on what it is to show; get it anew, or ask whoever runs it";

/// How a command ended that came to nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// It was refused, or failed.
    Refused,
    /// It cannot be understood as it was given.
    Usage,
    /// Nobody answered in time.
    NoAnswer,
}

impl Exit {
    /// The process's exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => service::EXIT_USAGE,
            // EX_UNAVAILABLE of sysexits.h.
            Self::NoAnswer => 69,
        }
    }
}

/// Why a command came to nothing.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{message}")]
pub(crate) struct Failure {
    code: Cow<'static, str>,
    message: String,
    exit: Exit,
    help: Option<String>,
    detail: Option<Value>,
    advice: Advice,
}

/// Where it is said what to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Advice {
    /// In the message.
    Own,
    /// It goes with the code.
    OfCode,
    /// Why evidence is refused is seldom for who looks at it to mend.
    OfEvidence,
}

impl Failure {
    /// Refused or failed.
    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, message, Exit::Refused)
    }

    /// Not understood: an option or a file that says how to work is wrong or missing.
    pub(crate) fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, message, Exit::Usage)
    }

    /// Nobody answered in time.
    pub(crate) fn no_answer(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, message, Exit::NoAnswer)
    }

    fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>, exit: Exit) -> Self {
        let message = safe::without_secrets(&message.into());
        Self { code: code.into(), message, exit, help: None, detail: None, advice: Advice::OfCode }
    }

    /// Of evidence that is refused.
    fn of_evidence(code: &'static str, message: String) -> Self {
        Self { advice: Advice::OfEvidence, ..Self::refused(code, message) }
    }

    /// The same with a sentence after it: what to do next.
    pub(crate) fn with_hint(mut self, hint: impl AsRef<str>) -> Self {
        self.message = safe::without_secrets(&format!("{}; {}", self.message, hint.as_ref()));
        self.advice = Advice::Own;
        self
    }

    /// The same as a fault of the command line.
    pub(crate) fn into_usage(self) -> Self {
        Self { exit: Exit::Usage, ..self }
    }

    /// The same with a page of help before it, for people.
    pub(crate) fn with_help(self, help: String) -> Self {
        Self { help: Some(help), ..self }
    }

    /// The same with an object beside it for programs: what the refusal is made of.
    pub(crate) fn with_detail(self, detail: Value) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// What stands beside the error for programs.
    pub(crate) fn detail(&self) -> Option<&Value> {
        self.detail.as_ref()
    }

    /// A rule that refuses, by its code.
    pub(crate) fn of_rule(code: &str, message: impl Into<String>) -> Self {
        Self::of_server(code, message)
    }

    /// The page of help.
    pub(crate) fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// For programs.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// For people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// For people, with what to do next: behind a semicolon the message says so itself.
    pub(crate) fn advice(&self) -> Cow<'_, str> {
        let remedy = match self.advice {
            Advice::Own => None,
            Advice::OfCode => remedy::of(&self.code),
            Advice::OfEvidence => Some(DO_NOT_RELY),
        };
        match remedy {
            Some(remedy) if !self.message.contains("; ") => Cow::Owned(format!("{}; {remedy}", self.message)),
            Some(_) | None => Cow::Borrowed(&self.message),
        }
    }

    /// For the shell.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// A code that a server chose, if it looks like one.
    fn of_server(code: &str, message: impl Into<String>) -> Self {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        let is_code = (1..=CODE_BYTES_MAX).contains(&code.len()) && code.bytes().all(plain);
        let code = if is_code { Cow::Owned(code.to_owned()) } else { Cow::Borrowed("refused") };
        Self { advice: Advice::Own, ..Self::new(code, message, Exit::Refused) }
    }
}

/// An error with everything that caused it.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        Self::of_evidence(error.code(), with_causes(&error))
    }
}

impl From<NecError> for Failure {
    fn from(error: NecError) -> Self {
        match error {
            NecError::Attestation(error) => Self::of_evidence(
                error.code(),
                format!("the attestation is refused: {}", with_causes(&error)),
            ),
            other @ (NecError::Event(_)
            | NecError::Expired { .. }
            | NecError::Ref { .. }
            | NecError::Builder(_)
            | NecError::Launcher(_)
            | NecError::Release(_)
            | NecError::ReleaseMissing { .. }
            | NecError::Statement(_)
            | NecError::Receipt(_)
            | NecError::Key(_)) => Self::of_evidence(other.code(), other.to_string()),
        }
    }
}

impl From<protocol::rpc::Failure> for Failure {
    fn from(failure: protocol::rpc::Failure) -> Self {
        Self::of_server(failure.code.as_str(), failure.message)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Url { .. } | PoolError::NoRelay | PoolError::Header(_) => {
                Self::usage("relay_invalid", error.to_string())
            }
            PoolError::Library(_) => Self::no_answer("relays_unreachable", with_causes(&error)),
        }
    }
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        match error {
            RpcError::NoAnswer(_) => Self::no_answer("no_answer", error.to_string()),
            RpcError::Refused(Refusal { code, message }) => {
                Self::of_server(&code, format!("the instance refuses: {message}"))
            }
            RpcError::Malformed(_) => Self::refused("bad_reply", error.to_string()),
            RpcError::Pool(error) => error.into(),
            RpcError::Seal(error) => Self::refused("request_unsealed", error.to_string()),
        }
    }
}

impl From<NwcError> for Failure {
    fn from(error: NwcError) -> Self {
        match error {
            NwcError::Wallet(WalletError { code, message }) => {
                let is_known = ErrorCode::ALL.contains(&code);
                let code =
                    if is_known { code.as_str().to_ascii_lowercase() } else { "wallet_refused".to_owned() };
                Self::of_server(&code, format!("the wallet refuses: {message}"))
            }
            NwcError::NoAnswer(_) => Self::no_answer("wallet_no_answer", error.to_string()),
            NwcError::Malformed(_) => Self::refused("bad_reply", with_causes(&error)),
            NwcError::Encrypt(_) | NwcError::Sign(_) => Self::refused("request_unsealed", error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
