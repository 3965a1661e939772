//! Why a guest's call came to nothing.

use std::fmt;

use protocol::rpc::Failure;

use crate::hold::not_holding;
use crate::statements::StatementError;

/// A stable code, and a sentence that is safe to send and says what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: RefusalCode,
    pub(super) message: String,
}

macro_rules! codes {
    ($($variant:ident = $text:literal, $status:literal;)+) => {
        /// For programs. The texts never change; the numbers are the HTTP statuses.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum RefusalCode { $($variant,)+ }

        impl RefusalCode {
            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            pub(super) const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }
        }
    };
}

codes! {
    BadRequest = "bad_request", 400;
    ParamsInvalid = "params_invalid", 400;
    NotFound = "not_found", 404;
    MethodUnknown = "method_unknown", 404;
    HttpMethod = "http_method", 405;
    RequestTooLarge = "request_too_large", 413;
    RateLimited = "rate_limited", 429;
    ContainerOver = "container_over", 410;
    Unavailable = "unavailable", 409;
    EgressRefused = "egress_refused", 403;
    AddressRefused = "address_refused", 403;
    NameNotResolved = "name_not_resolved", 502;
    ConnectFailed = "connect_failed", 502;
    TlsFailed = "tls_failed", 502;
    ResponseInvalid = "response_invalid", 502;
    ResponseTooLarge = "response_too_large", 502;
    TimedOut = "timed_out", 504;
    ServerBusy = "server_busy", 503;
    NotHolding = "not_holding", 503;
    Internal = "internal", 500;
}

impl Refusal {
    pub(super) fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A fault of ours: the log says what, the guest does not learn it.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!("guest API: {error}");
        Self::new(RefusalCode::Internal, "a fault of the server; try again")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Of parameters.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::new(RefusalCode::ParamsInvalid, failure.message)
    }
}

impl From<StatementError> for Refusal {
    fn from(error: StatementError) -> Self {
        match error {
            StatementError::Busy => {
                Self::new(RefusalCode::ServerBusy, "the server is busy; ask again in a second")
            }
            StatementError::NotHolding => Self::new(RefusalCode::NotHolding, not_holding().message),
            StatementError::Ending => Self::new(RefusalCode::ServerBusy, "the server is ending; ask again"),
            StatementError::Sign(_) | StatementError::Evidence(_) => Self::internal(&error),
        }
    }
}
