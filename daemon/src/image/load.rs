//! Images in the container engine.
//!
//! The engine never pulls: it is handed archives that were checked, and is asked afterwards whether it
//! has the image under the digest of its configuration. That digest is the engine's own name for the
//! image; containers are created from it and from nothing else, so tags do not matter.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::query_parameters::{ImportImageOptionsBuilder, ListImagesOptions, RemoveImageOptionsBuilder};
use futures_util::TryStreamExt;
use tokio_util::io::ReaderStream;

use super::digest::Digest;
use super::error::LoadError;
use super::fetch::ImageArchive;
use super::fetch::{digest_of_tag, engine_tag};

/// What loading any image may take.
const LOAD_BASE: Duration = Duration::from_secs(60);

/// The slowest unpacking that is put up with, beyond [`LOAD_BASE`].
const LOAD_BYTES_PER_SEC_MIN: u64 = 4 << 20;

/// How much of the archive is handed over at a time.
const PIECE_BYTES: usize = 256 << 10;

/// An image that the engine has. Only this module makes one, after it asked the engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LoadedImage {
    config_digest: Digest,
    size_bytes: u64,
}

impl LoadedImage {
    /// The engine's id of the image, `sha256:…`: what containers are created from.
    #[must_use]
    pub fn id(&self) -> String {
        self.config_digest.to_string()
    }

    /// Digest of the image's configuration.
    #[must_use]
    pub const fn config_digest(&self) -> Digest {
        self.config_digest
    }

    /// Sum of the sizes of all files in the image's layers, in bytes, as the engine counts.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// What became of an image that nobody wants any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// A container, running or not, still needs it.
    InUse,
    /// The engine did not have it.
    NotThere,
}

/// Asks the engine for the image whose configuration has `config_digest`.
///
/// # Errors
/// [`LoadError::Engine`] if the engine does not answer.
pub async fn find_loaded(docker: &Docker, config_digest: Digest) -> Result<Option<LoadedImage>, LoadError> {
    let found = match docker.inspect_image(&config_digest.to_string()).await {
        Ok(found) => found,
        Err(error) if has_status(&error, 404) => return Ok(None),
        Err(error) => return Err(LoadError::Engine(error)),
    };
    let size_bytes = found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(u64::MAX);
    let same = found.id.is_some_and(|id| id == config_digest.to_string());
    Ok(same.then_some(LoadedImage { config_digest, size_bytes }))
}

/// Hands a checked archive to the engine and waits until it has the image.
///
/// Dropping the future makes the engine give up, unless it has read the whole archive already.
///
/// # Errors
/// [`LoadError`]; each has a code.
pub async fn load(docker: &Docker, archive: ImageArchive) -> Result<LoadedImage, LoadError> {
    let expected = archive.config_digest();
    // The engine answers when it is done, so the answer is waited for as long as loading may take.
    let patient = docker.clone().with_timeout(load_timeout(archive.size_bytes()));
    let file = tokio::fs::File::from_std(archive.into_file());
    let pieces = ReaderStream::with_capacity(file, PIECE_BYTES);
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    patient
        .import_image(options, bollard::body_try_stream(pieces), None)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await
        .map_err(load_failed)?;
    find_loaded(docker, expected).await?.ok_or(LoadError::NotThere { expected })
}

/// The images that were loaded here, by the digests of their configurations.
///
/// # Errors
/// [`LoadError::Engine`] if the engine does not answer.
pub async fn all_loaded(docker: &Docker) -> Result<Vec<Digest>, LoadError> {
    let images = docker.list_images(None::<ListImagesOptions>).await.map_err(LoadError::Engine)?;
    let tags = images.iter().flat_map(|image| &image.repo_tags);
    Ok(tags.filter_map(|tag| digest_of_tag(tag)).collect())
}

/// Removes an image unless a container needs it.
///
/// # Errors
/// [`LoadError::Engine`] if the engine does not answer, or fails.
pub async fn remove_unused(docker: &Docker, config_digest: Digest) -> Result<Removal, LoadError> {
    let options = RemoveImageOptionsBuilder::default().force(false).build();
    // By our tag: by its id the engine would not remove an image that somebody gave a second tag.
    match docker.remove_image(&engine_tag(&config_digest), Some(options), None).await {
        Ok(_) => Ok(Removal::Removed),
        Err(error) if has_status(&error, 404) => Ok(Removal::NotThere),
        Err(error) if has_status(&error, 409) => Ok(Removal::InUse),
        Err(error) => Err(LoadError::Engine(error)),
    }
}

fn load_timeout(bytes: u64) -> Duration {
    LOAD_BASE + Duration::from_secs(bytes / LOAD_BYTES_PER_SEC_MIN)
}

/// Tells an image that the engine does not like from an engine that has trouble. While it reads an
/// archive, it reports either by a sentence in its answer.
fn load_failed(error: EngineError) -> LoadError {
    let EngineError::DockerStreamError { error: sentence } = &error else { return LoadError::Engine(error) };
    if sentence.contains("no space left") { LoadError::Engine(error) } else { LoadError::Refused(error) }
}

pub(super) fn has_status(error: &EngineError, wanted: u16) -> bool {
    matches!(error, EngineError::DockerResponseServerError { status_code, .. } if *status_code == wanted)
}
