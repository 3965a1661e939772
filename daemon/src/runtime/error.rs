//! What can go wrong with the engine.

use bollard::errors::Error as EngineError;
use protocol::rpc::Failure;
use thiserror::Error;

use super::{FirewallError, VolumeError};

/// A container could not be brought into the state that is wanted.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The engine does not answer, or refuses.
    #[error("the container engine: {0}")]
    Engine(#[from] EngineError),
    /// The process could not be started.
    #[error("the container could not be started: {0}")]
    Start(#[source] EngineError),
    /// The engine does not isolate containers as is promised.
    #[error("the container engine {0}")]
    Unsafe(&'static str),
    /// Limits that were sold would not hold.
    #[error(
        "this kernel or engine does not enforce the limits on: {0}; a production server needs all of them"
    )]
    NotEnforced(String),
    /// The engine took a request and never ended it.
    #[error("the container engine hangs")]
    Hangs,
    /// This server cannot show that it alone has its state.
    #[error("this server may not act now")]
    NotHolding,
    /// The container is not there.
    #[error("the container is not prepared")]
    NotPrepared,
    /// The container has no network any more.
    #[error("the container is over")]
    NoNetwork,
    /// The image declares volumes that cannot be given.
    #[error("the image's volumes cannot be mounted: {0}")]
    ImageVolumes(String),
    /// The container's secrets on record cannot be opened.
    #[error("the container's secrets cannot be opened: {0}")]
    Secrets(#[source] Failure),
    /// The server is ending.
    #[error("the server is ending")]
    Ending,
    /// The volume failed.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The firewall failed.
    #[error(transparent)]
    Firewall(#[from] FirewallError),
}

impl RuntimeError {
    /// True if there is no room left on the disk for what a container needs.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let Self::Volume(VolumeError::Io { source, .. }) = self else { return false };
        source.kind() == std::io::ErrorKind::StorageFull
    }

    /// True for a start that failed and of which the engine does not say that what was asked for cannot be run:
    /// then it answers with a status of 400 to 499.
    pub(crate) const fn is_engines_fault(&self) -> bool {
        matches!(self, Self::Start(EngineError::DockerResponseServerError { status_code: 500..=599, .. }))
    }
}

pub(super) fn is_status(error: &EngineError, status: u16) -> bool {
    matches!(error, EngineError::DockerResponseServerError { status_code, .. } if *status_code == status)
}

pub(super) const fn is_answer(error: &EngineError) -> bool {
    matches!(error, EngineError::DockerResponseServerError { .. })
}

/// Turns "there is no such thing" into `None`.
pub(super) fn missing<T>(result: Result<T, EngineError>) -> Result<Option<T>, RuntimeError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if is_status(&e, 404) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
