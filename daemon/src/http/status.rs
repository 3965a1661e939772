//! Refusals as HTTP has them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::rpc::{Code, Failure};
use serde::Serialize;
use utoipa::ToSchema;

/// The body of every refusal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Refused {
    error: RefusedError,
}

/// Why.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefusedError {
    /// For programs; never changes.
    code: String,
    /// For people, with what to do.
    message: String,
}

pub(super) fn refuse(failure: Failure) -> Response {
    let status = status(failure.code);
    let error = RefusedError { code: failure.code.as_str().to_owned(), message: failure.message };
    (status, Json(Refused { error })).into_response()
}

/// The codes of each status but 422, which is what is left: requests that are understood and cannot be done.
const STATUSES: &[(StatusCode, &[Code])] = &[
    (
        StatusCode::BAD_REQUEST,
        &[
            Code::BadRequest,
            Code::ParamsInvalid,
            Code::UnitsInvalid,
            Code::EnvInvalid,
            Code::ImageReferenceInvalid,
            Code::EgressUnsupported,
            Code::UpgradeUnsupported,
            Code::AmountInvalid,
            Code::InvoiceInvalid,
            Code::AddressRefused,
        ],
    ),
    (StatusCode::UNAUTHORIZED, &[Code::AuthInvalid, Code::AuthUsed, Code::StaleRequest]),
    (StatusCode::PAYMENT_REQUIRED, &[Code::InsufficientBalance, Code::PaymentFailed]),
    (
        StatusCode::FORBIDDEN,
        &[Code::NotOwner, Code::LogsDisabled, Code::ExecDisabled, Code::PayoutsDisabled, Code::Closed],
    ),
    (StatusCode::NOT_FOUND, &[Code::NotFound, Code::MethodUnknown]),
    (
        StatusCode::CONFLICT,
        &[Code::IdReused, Code::StateRefused, Code::LaunchOpen, Code::NotRunning, Code::ContainerAmbiguous],
    ),
    (StatusCode::PAYLOAD_TOO_LARGE, &[Code::RequestTooLarge, Code::DataTooLarge]),
    (StatusCode::TOO_MANY_REQUESTS, &[Code::RateLimited, Code::QuotaUsed, Code::LaunchesTooMany]),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        &[
            Code::ServerFull,
            Code::ServerBusy,
            Code::WalletUnavailable,
            Code::NotHolding,
            Code::RegistryUnreachable,
            Code::PaymentPending,
            Code::Draining,
        ],
    ),
    (StatusCode::GATEWAY_TIMEOUT, &[Code::ExecTimeout]),
    (StatusCode::INTERNAL_SERVER_ERROR, &[Code::Internal]),
];

fn status(code: Code) -> StatusCode {
    let found = STATUSES.iter().find(|(_, codes)| codes.contains(&code));
    found.map_or(StatusCode::UNPROCESSABLE_ENTITY, |(status, _)| *status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_one_status() {
        let all: Vec<_> = STATUSES.iter().flat_map(|(_, codes)| codes.iter()).collect();
        for (i, code) in all.iter().enumerate() {
            assert!(!all[..i].contains(code), "{code}");
        }
        assert_eq!(status(Code::NotOwner), StatusCode::FORBIDDEN);
        assert_eq!(status(Code::ImageTooLarge), StatusCode::UNPROCESSABLE_ENTITY);
    }
}
