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

/// Every code is named: a new one has no status before somebody has chosen it.
const fn status(code: Code) -> StatusCode {
    match code {
        Code::BadRequest
        | Code::ParamsInvalid
        | Code::UnitsInvalid
        | Code::EnvInvalid
        | Code::ImageReferenceInvalid
        | Code::EgressUnsupported
        | Code::UpgradeUnsupported
        | Code::AmountInvalid
        | Code::InvoiceInvalid
        | Code::AddressRefused => StatusCode::BAD_REQUEST,
        Code::AuthInvalid | Code::AuthUsed | Code::StaleRequest => StatusCode::UNAUTHORIZED,
        Code::InsufficientBalance | Code::PaymentFailed => StatusCode::PAYMENT_REQUIRED,
        Code::NotOwner | Code::LogsDisabled | Code::ExecDisabled | Code::PayoutsDisabled | Code::Closed => {
            StatusCode::FORBIDDEN
        }
        Code::NotFound | Code::MethodUnknown => StatusCode::NOT_FOUND,
        Code::IdReused
        | Code::StateRefused
        | Code::LaunchOpen
        | Code::NotRunning
        | Code::ContainerAmbiguous => StatusCode::CONFLICT,
        Code::RequestTooLarge | Code::DataTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::RateLimited | Code::QuotaUsed | Code::LaunchesTooMany => StatusCode::TOO_MANY_REQUESTS,
        Code::ServerFull
        | Code::ServerBusy
        | Code::WalletUnavailable
        | Code::NotHolding
        | Code::RegistryUnreachable
        | Code::PaymentPending
        | Code::Draining => StatusCode::SERVICE_UNAVAILABLE,
        Code::ExecTimeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        // Understood, and cannot be done.
        Code::SecretsInvalid
        | Code::ImageNotFound
        | Code::ImageUnauthorized
        | Code::ImageMalformed
        | Code::DigestMismatch
        | Code::ImagePlatform
        | Code::ImageTooLarge
        | Code::ImageUnpacksTooLarge
        | Code::ImageUnsupported
        | Code::BodyMissing
        | Code::LineageInvalid
        | Code::AttestationInvalid
        | Code::TooOld
        | Code::DebugMode
        | Code::KeyMismatch
        | Code::PcrMismatch
        | Code::PolicyInvalid
        | Code::PolicyWeaker
        | Code::ReleaseMissing
        | Code::RefMismatch
        | Code::ReleaseInvalid
        | Code::VersionTooOld
        | Code::Revoked
        | Code::DelayPending
        | Code::RecordAmbiguous
        | Code::RecordNewer
        | Code::Full
        | Code::InstanceFull
        | Code::NotJoined
        | Code::NotMember
        | Code::UpgradeForbidden
        | Code::UpgradeOpen
        | Code::Pinned
        | Code::LabelsInvalid => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_say_whose_turn_it_is() {
        let check = |code, expected| assert_eq!(status(code), expected, "{code}");
        check(Code::ParamsInvalid, StatusCode::BAD_REQUEST);
        check(Code::NotOwner, StatusCode::FORBIDDEN);
        check(Code::LaunchOpen, StatusCode::CONFLICT);
        check(Code::ImageTooLarge, StatusCode::UNPROCESSABLE_ENTITY);
        check(Code::QuotaUsed, StatusCode::TOO_MANY_REQUESTS);
        check(Code::Draining, StatusCode::SERVICE_UNAVAILABLE);
        check(Code::Internal, StatusCode::INTERNAL_SERVER_ERROR);
    }
}
