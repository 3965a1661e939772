//! All of it together: what the rest of the daemon calls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::Docker;
use tokio::sync::Semaphore;

use super::digest::Digest;
use super::error::{EnsureError, FetchError, LoadError, ResolveError};
use super::fetch::fetch;
use super::labels::labels;
use super::limits::{ImageLimits, Platform};
use super::load::{LoadedImage, Removal, all_loaded, find_loaded, load, remove_unused};
use super::reference::Reference;
use super::registry::RegistryClient;
use super::resolve::{PinnedImage, resolve};

/// Anybody may ask for a quote, and each makes us ask a registry of their choice. So many are served at
/// once; one holds up to 5 MiB in memory.
const RESOLVES_MAX: usize = 32;

/// How long a stranger waits for a turn. With the deadline of the lookup itself it stays below the
/// patience of a client.
const RESOLVE_TURN: Duration = Duration::from_secs(5);

/// Each fetch takes up to three times its image's unpacked size on disk for a moment.
const FETCHES_MAX: usize = 4;

/// Images and places that are remembered to go together: several times what an engine holds. Beyond that all
/// are forgotten, which costs fetching them once more.
const SERVED_MAX: usize = 4096;

/// Resolves images, and sees to it that the engine has them.
///
/// An image in the engine is not everybody's: whoever knows the configuration of a private one could have a
/// registry of their own name it, and be given the layers that another's account was asked for. So who
/// launches gets it from the engine only if the very repository that they name has served it whole.
#[derive(Debug)]
pub struct ImageStore {
    registry: RegistryClient,
    docker: Docker,
    platform: Platform,
    temp_dir: PathBuf,
    resolves: Semaphore,
    fetches: Semaphore,
    /// Which repositories have served which images whole, since the server started or to a container that it has.
    served: Mutex<BTreeSet<(Digest, String)>>,
}

impl ImageStore {
    /// A store over the given engine. `temp_dir` holds one nameless file per running fetch.
    #[must_use]
    pub const fn new(
        registry: RegistryClient,
        docker: Docker,
        platform: Platform,
        temp_dir: PathBuf,
    ) -> Self {
        Self {
            registry,
            docker,
            platform,
            temp_dir,
            resolves: Semaphore::const_new(RESOLVES_MAX),
            fetches: Semaphore::const_new(FETCHES_MAX),
            served: Mutex::new(BTreeSet::new()),
        }
    }

    /// Finds out which image `reference` means now. See [`resolve`].
    ///
    /// # Errors
    /// [`ResolveError`]; each has a code.
    pub async fn resolve(
        &self,
        reference: &Reference,
        limits: &ImageLimits,
    ) -> Result<PinnedImage, ResolveError> {
        let turn = tokio::time::timeout(RESOLVE_TURN, self.resolves.acquire()).await;
        let Ok(Ok(_permit)) = turn else { return Err(ResolveError::Busy) };
        resolve(&self.registry, reference, &self.platform, limits).await
    }

    /// Makes sure that the engine has the image, fetching it only if it has not, or has it from elsewhere.
    ///
    /// An image that is there already was checked when it was loaded, but perhaps under wider limits;
    /// its size is compared with these.
    ///
    /// # Errors
    /// [`EnsureError`]; each has a code.
    pub async fn ensure_loaded(
        &self,
        image: &PinnedImage,
        limits: &ImageLimits,
    ) -> Result<LoadedImage, EnsureError> {
        // The semaphore is never closed, and every fetch ends, so there is a permit in the end.
        let _permit = self.fetches.acquire().await;
        if let Some(loaded) = self.find_served(image.reference(), image.config_digest()).await? {
            if loaded.size_bytes() > limits.unpacked_bytes {
                return Err(FetchError::UnpacksTooLarge { limit_bytes: limits.unpacked_bytes }.into());
            }
            return Ok(loaded);
        }
        let archive = fetch(&self.registry, image, limits, &self.temp_dir).await?;
        let loaded = load(&self.docker, archive).await?;
        self.was_served(image.reference(), image.config_digest());
        Ok(loaded)
    }

    /// Takes it that the repository of `reference` has served an image whole: a container that got it from there
    /// says so after a restart.
    pub fn was_served(&self, reference: &Reference, config_digest: Digest) {
        let mut served = self.served();
        if served.len() >= SERVED_MAX {
            served.clear();
        }
        served.insert((config_digest, place(reference)));
    }

    /// Asks the engine for an image that it has from the repository of `reference`.
    ///
    /// # Errors
    /// [`LoadError::Engine`] if the engine does not answer.
    pub async fn find_served(
        &self,
        reference: &Reference,
        config_digest: Digest,
    ) -> Result<Option<LoadedImage>, LoadError> {
        if !self.served().contains(&(config_digest, place(reference))) {
            return Ok(None);
        }
        self.find_loaded(config_digest).await
    }

    /// Asks the engine for an image by the digest of its configuration, wherever it is from: for a container
    /// that was given it before.
    ///
    /// # Errors
    /// [`LoadError::Engine`] if the engine does not answer.
    pub async fn find_loaded(&self, config_digest: Digest) -> Result<Option<LoadedImage>, LoadError> {
        find_loaded(&self.docker, config_digest).await
    }

    /// Asks the engine for the labels of an image by the digest of its configuration; none if it does not
    /// have it.
    ///
    /// # Errors
    /// [`LoadError::Engine`] if the engine does not answer.
    pub async fn labels(&self, config_digest: Digest) -> Result<Option<BTreeMap<String, String>>, LoadError> {
        labels(&self.docker, config_digest).await
    }

    /// The images that were loaded here, by the digests of their configurations.
    ///
    /// # Errors
    /// [`LoadError::Engine`] if the engine does not answer.
    pub async fn all_loaded(&self) -> Result<Vec<Digest>, LoadError> {
        all_loaded(&self.docker).await
    }

    /// Removes an image unless a container needs it.
    ///
    /// # Errors
    /// [`LoadError::Engine`] if the engine does not answer, or fails.
    pub async fn remove_unused(&self, config_digest: Digest) -> Result<Removal, LoadError> {
        let removal = remove_unused(&self.docker, config_digest).await?;
        if removal != Removal::InUse {
            self.served().retain(|(served, _)| *served != config_digest);
        }
        Ok(removal)
    }

    fn served(&self) -> MutexGuard<'_, BTreeSet<(Digest, String)>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an image lies, without which one it is.
fn place(reference: &Reference) -> String {
    format!("{}/{}", reference.registry(), reference.repository())
}
