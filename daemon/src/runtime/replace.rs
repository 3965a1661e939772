//! What an upgrade needs of the engine and the volumes: one process out of the way of another.

use std::net::SocketAddr;
use std::time::Duration;

use nostr::key::PublicKey;
use tokio::net::TcpStream;

use super::{Runtime, RuntimeError, plan};
use crate::store::{Container, Spec};

/// How long a container may take to accept a connection; it is on this machine.
const CONNECT_WAIT: Duration = Duration::from_secs(1);

impl Runtime {
    /// Checks that there is room for a copy of a container's volume, before anything is stopped for it.
    ///
    /// # Errors
    /// [`RuntimeError::Volume`]; it [is full](RuntimeError::is_full) if there is none.
    pub fn check_room_for_copy(&self, container: &Container) -> Result<(), RuntimeError> {
        Ok(self.volumes.check_room(&container.pubkey())?)
    }

    /// Removes copies of volumes that no upgrade under way is named by. To be called before any container
    /// is started: a copy that was cancelled can outlive its upgrade, and its container.
    ///
    /// # Errors
    /// [`RuntimeError::Volume`].
    pub fn forget_stray_copies(&self, under_way: &[(PublicKey, i64)]) -> Result<(), RuntimeError> {
        Ok(self.volumes.forget_strays(under_way)?)
    }

    /// Copies the volume of a container whose process does not run; false if it has none.
    ///
    /// # Errors
    /// [`RuntimeError::Volume`].
    pub async fn save_volume(&self, container: &Container, upgrade: i64) -> Result<bool, RuntimeError> {
        let _no_copy = self.freezer.turn(&container.pubkey()).await;
        Ok(self.volumes.save(&container.pubkey(), upgrade).await?)
    }

    /// Removes a container but not its network, and puts the copy of its volume back.
    ///
    /// # Errors
    /// [`RuntimeError`]; may be done again.
    pub async fn restore_volume(
        &self,
        container: &Container,
        upgrade: i64,
        had_volume: bool,
    ) -> Result<(), RuntimeError> {
        let _no_copy = self.freezer.turn(&container.pubkey()).await;
        self.remove_container(&plan::container_name(&container.pubkey())).await?;
        Ok(self.volumes.restore(&container.pubkey(), upgrade, had_volume).await?)
    }

    /// Removes the copies of a container's volume.
    ///
    /// # Errors
    /// [`RuntimeError::Volume`].
    pub fn forget_saved_volumes(&self, container: &Container) -> Result<(), RuntimeError> {
        Ok(self.volumes.forget_saved(&container.pubkey())?)
    }

    /// Checks what an image declares as volumes before anything is stopped for it.
    ///
    /// # Errors
    /// [`RuntimeError::ImageVolumes`].
    pub fn check_volumes(spec: &Spec) -> Result<(), RuntimeError> {
        plan::volume_paths(spec).map(drop)
    }

    /// Where a port of a container is reached from here, whether or not it is published.
    #[must_use]
    pub fn inner_address(&self, container: &Container, port: u16) -> Option<SocketAddr> {
        self.addresses(container).map(|addresses| SocketAddr::from((addresses.container, port)))
    }

    /// True if the container accepts connections on a port. Asked of the container itself: before a
    /// published port stands the engine, which accepts for a container that does not.
    pub async fn accepts(&self, container: &Container, port: u16) -> bool {
        let Some(address) = self.inner_address(container, port) else { return false };
        let connected = tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(address)).await;
        matches!(connected, Ok(Ok(_)))
    }
}
