//! Ending a container's process, whatever holds it still at that moment.
//!
//! The engine lets a process that is held still go on in order to stop it. So nothing is stopped while its
//! volume is copied: it would write into the copy. And nothing that is held because this server may not act
//! is asked to end: it would act.

use std::time::Duration;

use bollard::query_parameters::{KillContainerOptionsBuilder, StopContainerOptionsBuilder};

use super::error::{is_status, missing};
use super::{Runtime, RuntimeError, plan};
use crate::store::Container;

/// How long a process may take to end by itself when it is told to; then it is killed.
const STOP_SECS: i32 = 5;
/// The engine kills after [`STOP_SECS`]; beyond that it is the engine that hangs.
const STOP_WAIT: Duration = Duration::from_secs(30);

impl Runtime {
    /// Makes sure that the container's process does not run. Its data stays.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn stop(&self, container: &Container) -> Result<(), RuntimeError> {
        let _no_copy = self.freezer.turn(&container.pubkey()).await;
        let is_held = !self.freezer.reasons(&container.pubkey()).lock().await.is_empty();
        self.stop_now(container, is_held).await
    }

    /// The same for who keeps copies out already, and knows whether the process is held still.
    pub(super) async fn stop_now(&self, container: &Container, is_held: bool) -> Result<(), RuntimeError> {
        let name = plan::container_name(&container.pubkey());
        let stopping = async {
            if is_held {
                let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
                return self.docker.kill_container(&name, Some(options)).await;
            }
            let options = StopContainerOptionsBuilder::default().t(STOP_SECS).build();
            self.docker.stop_container(&name, Some(options)).await
        };
        let stopped = tokio::time::timeout(STOP_WAIT, stopping).await.map_err(|_| RuntimeError::Hangs)?;
        match stopped {
            // It does not run.
            Err(e) if is_status(&e, 304) || (is_held && is_status(&e, 409)) => Ok(()),
            other => missing(other).map(drop),
        }
    }
}
