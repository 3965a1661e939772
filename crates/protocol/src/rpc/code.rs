//! The stable codes of refused commands.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+) => {
        /// Why a command was refused, for programs. The texts never change.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Code { $($(#[doc = $doc])+ $variant,)+ }

        impl Code {
            /// The text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The code with this text.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

codes! {
    /// The message is not a request.
    BadRequest = "bad_request",
    /// The message is too long.
    RequestTooLarge = "request_too_large",
    /// The request is too old, or was made before the last recovery.
    StaleRequest = "stale_request",
    /// The id was used for another command.
    IdReused = "id_reused",
    /// No such method.
    MethodUnknown = "method_unknown",
    /// A parameter is missing, unknown or of the wrong form.
    ParamsInvalid = "params_invalid",
    /// Units are not a whole number in range.
    UnitsInvalid = "units_invalid",
    /// A name or value of the environment is not allowed.
    EnvInvalid = "env_invalid",
    /// Secrets cannot be opened, or one has a name or size that is not allowed.
    SecretsInvalid = "secrets_invalid",
    /// The image reference cannot be read.
    ImageReferenceInvalid = "image_reference_invalid",
    /// The registry does not have the image.
    ImageNotFound = "image_not_found",
    /// The registry does not give the image to us.
    ImageUnauthorized = "image_unauthorized",
    /// The registry does not answer.
    RegistryUnreachable = "registry_unreachable",
    /// The registry's address is not a public one.
    AddressRefused = "address_refused",
    /// What the registry served is not an image.
    ImageMalformed = "image_malformed",
    /// What the registry served is not what its digest names.
    DigestMismatch = "digest_mismatch",
    /// The image is not for this platform.
    ImagePlatform = "image_platform",
    /// The image is too large for its units.
    ImageTooLarge = "image_too_large",
    /// The image unpacks to more than its units allow.
    ImageUnpacksTooLarge = "image_unpacks_too_large",
    /// The image uses something that is not supported.
    ImageUnsupported = "image_unsupported",
    /// The egress policy is not supported.
    EgressUnsupported = "egress_unsupported",
    /// The upgrade policy is not supported.
    UpgradeUnsupported = "upgrade_unsupported",
    /// Not enough units are free.
    ServerFull = "server_full",
    /// The owner has an unpaid launch already.
    LaunchOpen = "launch_open",
    /// Too many unpaid launches are open on the server.
    LaunchesTooMany = "launches_too_many",
    /// The server takes no new containers.
    Closed = "closed",
    /// The server is starting, or its wallet does not answer.
    WalletUnavailable = "wallet_unavailable",
    /// A head was offered to a key store that lacks what it belongs to.
    BodyMissing = "body_missing",
    /// Who had a record before, as a body names it, does not follow from what the key store knows.
    LineageInvalid = "lineage_invalid",
    /// No such container.
    NotFound = "not_found",
    /// The container belongs to another key.
    NotOwner = "not_owner",
    /// The container's state does not allow it.
    StateRefused = "state_refused",
    /// The amount is out of range.
    AmountInvalid = "amount_invalid",
    /// The invoice cannot be read or paid.
    InvoiceInvalid = "invoice_invalid",
    /// The balance is too small.
    InsufficientBalance = "insufficient_balance",
    /// The payment failed; nothing was taken.
    PaymentFailed = "payment_failed",
    /// The payment's outcome is not known yet; ask again with the same id.
    PaymentPending = "payment_pending",
    /// Payments out of the server are switched off.
    PayoutsDisabled = "payouts_disabled",
    /// The server cannot show that it alone has its state; it does nothing until it can.
    NotHolding = "not_holding",
    /// The server is looking up too many images at once.
    ServerBusy = "server_busy",
    /// Too many requests.
    RateLimited = "rate_limited",
    /// The attestation document is malformed, altered, not an enclave's, or not under the trusted root.
    AttestationInvalid = "attestation_invalid",
    /// The attestation document is older than is taken, or its certificates ended.
    TooOld = "too_old",
    /// The enclave runs in debug mode.
    DebugMode = "debug_mode",
    /// The attestation document was made for another key than the request's.
    KeyMismatch = "key_mismatch",
    /// The build, or its machine, is not the one that the record belongs to.
    PcrMismatch = "pcr_mismatch",
    /// The policy cannot be used, or its own author does not meet it.
    PolicyInvalid = "policy_invalid",
    /// The policy is weaker than the one that it would replace, and too few of its maintainers approve.
    PolicyWeaker = "policy_weaker",
    /// Too few of the record's maintainers signed this build.
    ReleaseMissing = "release_missing",
    /// The signatures are for another repository.
    RefMismatch = "ref_mismatch",
    /// The signatures are for another use (`t`), or do not say the same version.
    ReleaseInvalid = "release_invalid",
    /// The release is older than the one that the record belongs to, or than its policy allows.
    VersionTooOld = "version_too_old",
    /// The release was revoked.
    Revoked = "revoked",
    /// The release must wait until it has been known for long enough.
    DelayPending = "delay_pending",
    /// Several records would fit; name one.
    RecordAmbiguous = "record_ambiguous",
    /// A newer write of this record is there.
    RecordNewer = "record_newer",
    /// The data is too large.
    DataTooLarge = "data_too_large",
    /// The store takes no new records.
    Full = "full",
    /// The machine has as many records as one may have.
    InstanceFull = "instance_full",
    /// The key store has not joined its group yet.
    NotJoined = "not_joined",
    /// The caller is not a member of the group.
    NotMember = "not_member",
    /// The launch does not let its owner read the container's output.
    LogsDisabled = "logs_disabled",
    /// The launch does not let its owner run commands in the container.
    ExecDisabled = "exec_disabled",
    /// The command did not end in time, and was killed.
    ExecTimeout = "exec_timeout",
    /// The container's process does not run.
    NotRunning = "not_running",
    /// The free quotes of the day are used up.
    QuotaUsed = "quota_used",
    /// Several containers would fit; name one.
    ContainerAmbiguous = "container_ambiguous",
    /// The HTTP request does not carry a NIP-98 event that stands for it.
    AuthInvalid = "auth_invalid",
    /// The NIP-98 event was used before.
    AuthUsed = "auth_used",
    /// The server is about to end for an upgrade, and takes no new containers.
    Draining = "draining",
    /// The container's policy does not let this caller change its image.
    UpgradeForbidden = "upgrade_forbidden",
    /// The container is being upgraded already.
    UpgradeOpen = "upgrade_open",
    /// The image is held by its owner; `unpin` lets it go.
    Pinned = "pinned",
    /// The image does not say who may release the next one.
    LabelsInvalid = "labels_invalid",
    /// A fault of the server.
    Internal = "internal",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
