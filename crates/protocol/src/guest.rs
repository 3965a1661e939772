//! The guest API: what a container may ask of the daemon.
//!
//! The reference's methods over a WebSocket at `ENCLAVED_ENDPOINT`, with the header
//! `token: $ENCLAVED_TOKEN`: requests `{"id", "method", "params"}`, replies `{"id", "result"}` or
//! `{"id", "error", "code"}`. The same methods and ours over HTTP on the Unix socket that
//! `ENCLAVED_SOCKET` names: `POST /v1/METHOD` with the parameters as JSON, answered by the result, or by
//! `{"error": {"code", "message"}}`.

mod methods;

use nostr::event::Event;
use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};
use units::{ComputeUnits, Msat};

pub use methods::{
    Attest, AttestedFetch, DeriveKey, DerivedKey, Fetched, GuestInfo, ManifestReply, WalletReply,
};

/// Environment variable with the address of the guest API's WebSocket.
pub const ENDPOINT_VARIABLE: &str = "ENCLAVED_ENDPOINT";
/// Environment variable with the container's token.
pub const TOKEN_VARIABLE: &str = "ENCLAVED_TOKEN";
/// Environment variable with the path of the guest API's socket.
pub const SOCKET_VARIABLE: &str = "ENCLAVED_SOCKET";
/// Environment variable that a built-in gets besides: the daemon's internal relay.
pub const INTERNAL_RELAY_VARIABLE: &str = "ENCLAVED_INTERNAL_RELAY";
/// Where the daemon's folder is mounted in a container. The folder, not what is in it, so that a daemon
/// that restarts finds its containers again.
pub const DIR: &str = "/run/enclaved";
/// The socket in that folder.
pub const SOCKET_NAME: &str = "guest.sock";
/// The folder of the launch's secrets in that folder.
pub const SECRETS_NAME: &str = "secrets";
/// Ends the name of the variable that says in which file a secret variable is.
pub const SECRET_FILE_SUFFIX: &str = "_FILE";
/// Header of the WebSocket request that carries the token.
pub const TOKEN_HEADER: &str = "token";
/// Longest message in either direction of the WebSocket, and longest request of the socket, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Longest line that `log` takes, in bytes; more is cut.
pub const LOG_BYTES_MAX: usize = 4 * 1024;

/// Parameters of `create_certificate`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CreateCertificate {
    /// The app's key.
    pub pubkey: PublicKey,
}

/// Answer to `create_certificate`: the chain from AWS to the app's key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CertificateChain {
    /// The attestation of the service key, kind 23793.
    pub root: Event,
    /// Certificates, kind 23797: service → container, container → app.
    pub certs: Vec<Event>,
}

/// Parameters of `set_info`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SetInfo {
    /// What the app says of itself.
    pub info: AppInfo,
}

/// What an app says of itself. Fields that we do not know are ignored, as the reference does.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AppInfo {
    /// The app's key.
    pub pubkey: PublicKey,
}

/// Answer to `set_info`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Done {
    /// Always true.
    pub ok: bool,
}

/// Parameters of `log`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// One line.
    pub message: String,
}

/// Answer to `get_container_info`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ContainerInfoReply {
    /// Always true.
    pub ok: bool,
    /// The container.
    pub container: GuestContainer,
}

/// A container as it sees itself, in the reference's names.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestContainer {
    /// The container's key.
    pub pubkey: PublicKey,
    /// What it has to pay with, in millisatoshi.
    pub balance: Msat,
    /// Seconds since its first start.
    pub uptime_count: u64,
    /// Seconds of them that are paid.
    pub uptime_paid: u64,
    /// Compute units.
    pub units: ComputeUnits,
    /// Price of a period, in millisatoshi.
    pub price: Msat,
    /// Length of a period, in seconds.
    pub interval: u64,
    /// The wallet service's key, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet_pubkey: Option<PublicKey>,
}
