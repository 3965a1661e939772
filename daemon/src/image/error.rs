//! What can go wrong with an image, one enum per operation.
//!
//! The sentences are meant for the stranger who named the image: they say which part is at fault and
//! what to do, and hold nothing of this server. What a library or the engine said stands in the
//! source, for the log.

use std::sync::Arc;

use guard::GuardError;

use super::digest::Digest;
use super::limits::Platform;

/// A registry did not hand out what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A host that the reference, a token realm or a redirect names may not or cannot be reached.
    #[error(transparent)]
    Host(#[from] Arc<GuardError>),
    /// No connection, or it broke.
    #[error("`{host}` did not answer: check the name of the registry, or try again later")]
    Unreachable {
        /// The host, as the URL names it.
        host: String,
        /// What the HTTP client said.
        source: reqwest::Error,
    },
    /// The connection stalled, or the whole transfer took longer than its size allows.
    #[error("`{host}` is too slow: try again later, or use another registry")]
    TimedOut {
        /// The host, as the URL names it.
        host: String,
    },
    /// An answer that means "not now" or that makes no sense.
    #[error("`{host}` answered with status {status}: try again later, or use another registry")]
    Status {
        /// The host, as the URL names it.
        host: String,
        /// The HTTP status code.
        status: u16,
    },
    /// An answer that breaks the protocol.
    #[error("`{host}` does not speak the registry protocol: {problem}")]
    Protocol {
        /// The host, as the URL names it.
        host: String,
        /// What is wrong with the answer.
        problem: &'static str,
    },
    /// The manifest or blob does not exist (any more).
    #[error("the registry has no {part} `{name}`: check the reference, or push the image again")]
    NotFound {
        /// What was asked for: `image`, `layer`, ….
        part: &'static str,
        /// Its tag or digest.
        name: String,
    },
    /// The registry wants to know who asks.
    #[error("`{host}` does not show this image to everybody: make the repository public, or check its name")]
    Unauthorized {
        /// The host, as the URL names it.
        host: String,
    },
    /// More bytes than this kind of answer may have.
    #[error("the image's {part} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// Which part of the image.
        part: &'static str,
        /// The limit.
        limit_bytes: u64,
    },
    /// Other bytes, or another number of bytes, than the digest or descriptor promises.
    #[error("the registry's {part} is not the one that {expected} names: push the image again")]
    DigestMismatch {
        /// Which part of the image.
        part: &'static str,
        /// The digest that was promised.
        expected: Digest,
    },
}

impl RegistryError {
    /// The stable code for replies.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Host(error) => match **error {
                GuardError::Refused { .. } | GuardError::OddAddress { .. } => "address_refused",
                GuardError::NotAName { .. }
                | GuardError::NotResolved { .. }
                | GuardError::TimedOut { .. } => "registry_unreachable",
            },
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Status { .. }
            | Self::Protocol { .. } => "registry_unreachable",
            Self::NotFound { .. } => "image_not_found",
            Self::Unauthorized { .. } => "image_unauthorized",
            Self::TooLarge { .. } => "image_too_large",
            Self::DigestMismatch { .. } => "digest_mismatch",
        }
    }
}

/// A reference could not be turned into a pinned image.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The registry did not hand out the manifest or configuration.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A document is not the JSON that its type promises.
    #[error("the image's {part} cannot be read: build and push the image with a current tool")]
    Json {
        /// Which document.
        part: &'static str,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// A document contradicts itself, the specification, or another document.
    #[error("the image's {part} is not valid: {problem}; build and push the image with a current tool")]
    Malformed {
        /// Which document.
        part: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The image is of a kind that does not run here.
    #[error("{what} is not supported: {remedy}")]
    Unsupported {
        /// What is not supported.
        what: String,
        /// What to do instead.
        remedy: &'static str,
    },
    /// The image is made for other machines.
    #[error("the image is not made for {wanted} (it has: {found}): build it for {wanted}")]
    Platform {
        /// The platform of this server.
        wanted: Platform,
        /// The platforms of the image.
        found: String,
    },
    /// Too many strangers ask at the same time.
    #[error("the server looks up too many images at the moment: try again in a minute")]
    Busy,
    /// A declared size is above the limit.
    #[error(
        "the image's {part} has {actual} {unit}, and {limit} are allowed: make it smaller or ask for more units"
    )]
    TooLarge {
        /// Which part of the image.
        part: &'static str,
        /// What is counted.
        unit: &'static str,
        /// How much the image declares.
        actual: u64,
        /// How much is allowed.
        limit: u64,
    },
}

impl ResolveError {
    /// The stable code for replies.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.code(),
            Self::Json { .. } | Self::Malformed { .. } => "image_malformed",
            Self::Unsupported { .. } => "image_unsupported",
            Self::Platform { .. } => "image_platform",
            Self::Busy => "server_busy",
            Self::TooLarge { .. } => "image_too_large",
        }
    }
}

/// The layers of a pinned image could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The registry did not hand out a layer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The pinned image was resolved under wider limits.
    #[error("the image has {actual} compressed bytes, and {limit} are allowed: ask for more units")]
    TooLarge {
        /// Sum of the layers' compressed sizes.
        actual: u64,
        /// The limit.
        limit: u64,
    },
    /// The layers unpack to more than the limit.
    #[error("the image unpacks to more than {limit_bytes} bytes: make it smaller or ask for more units")]
    UnpacksTooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The layers hold more files than the limit.
    #[error("the image has more than {limit} files: make it smaller")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// A layer is not a valid archive.
    #[error("layer {number} of the image is not valid ({problem}): build and push the image again")]
    Layer {
        /// The layer's number, from 1.
        number: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// An unpacked layer is not the one that the image's configuration names.
    #[error("layer {number} of the image unpacks to {actual}, not to {expected}: push the image again")]
    DiffId {
        /// The layer's number, from 1.
        number: usize,
        /// The digest in `rootfs.diff_ids`.
        expected: Digest,
        /// The digest of what came out.
        actual: Digest,
    },
    /// This server could not store the image for a moment.
    #[error("the server has no room to unpack the image: try again later")]
    Storage(#[source] std::io::Error),
}

impl FetchError {
    /// The stable code for replies.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.code(),
            Self::TooLarge { .. } => "image_too_large",
            Self::UnpacksTooLarge { .. } | Self::TooManyEntries { .. } => "image_unpacks_too_large",
            Self::Layer { .. } => "image_malformed",
            Self::DiffId { .. } => "digest_mismatch",
            Self::Storage(_) => "internal",
        }
    }
}

/// The engine did not take a checked image, or could not say whether it has it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The engine read the archive and refused it.
    #[error("the container engine does not accept the image: build and push it with a current tool")]
    Refused(#[source] bollard::errors::Error),
    /// The engine did not answer, or failed.
    #[error("the container engine failed: try again later")]
    Engine(#[source] bollard::errors::Error),
    /// The engine took the archive, and has no image under the digest of the configuration.
    #[error("the container engine has no image {expected} after loading it: try again later")]
    NotThere {
        /// The digest of the image's configuration, which is the engine's image id.
        expected: Digest,
    },
}

impl LoadError {
    /// The stable code for replies.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "image_malformed",
            Self::Engine(_) | Self::NotThere { .. } => "internal",
        }
    }
}

/// A pinned image could not be brought into the engine.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl EnsureError {
    /// The stable code for replies.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.code(),
            Self::Load(error) => error.code(),
        }
    }
}

/// At most this much of a text that somebody else wrote goes into a sentence.
const SHOWN_CHARS_MAX: usize = 80;

/// A stranger's text, made safe to show.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_default).collect()
}
