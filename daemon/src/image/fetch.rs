//! From a pinned image to a checked archive that the engine loads.
//!
//! Every layer passes once, in pieces, and is judged on the way; nothing is kept that fails:
//!
//! ```text
//! registry ──chunks──► exact length ──► SHA-256 = descriptor ──► decompress ──► budget ──► SHA-256 = diff_id
//!          (async)     (BlobStream)     (blocking thread) …                       │
//!                                                            tar structure ◄──────┴──────► archive on disk
//! ```
//!
//! On disk there is one file without a name, so it is gone when it is closed, whatever closes it: an
//! error, a dropped future, the death of the process. It takes as much room as the unpacked layers.
//! The engine copies it before it unpacks it, so that loading an image of N bytes takes up to 3 N for
//! a moment.

mod archive;
mod budget;
mod chunks;
mod layer;
mod tar_header;
mod tar_records;
mod tar_scan;
mod zstd;

use std::path::Path;
use std::time::Duration;

use self::archive::ArchiveWriter;
pub use self::archive::ImageArchive;
pub(super) use self::archive::{digest_of_tag, engine_tag};
use self::budget::Budget;
use self::chunks::Feeder;
use self::layer::{LayerError, LayerJob};
use super::error::{FetchError, RegistryError};
use super::limits::ImageLimits;
use super::registry::{BlobStream, RegistryClient, Wanted, transfer_timeout};
use super::resolve::PinnedImage;

/// What fetching any image may take, beyond what its size allows.
const FETCH_BASE: Duration = Duration::from_secs(60);

/// Fetches the layers of `image` and makes an archive of them in `temp_dir`.
///
/// Dropping the future stops the transfer and frees the disk space.
///
/// # Errors
/// [`FetchError`]; each has a code.
pub async fn fetch(
    client: &RegistryClient,
    image: &PinnedImage,
    limits: &ImageLimits,
    temp_dir: &Path,
) -> Result<ImageArchive, FetchError> {
    if image.compressed_bytes() > limits.compressed_bytes {
        return Err(FetchError::TooLarge {
            actual: image.compressed_bytes(),
            limit: limits.compressed_bytes,
        });
    }
    // Each request has its own timeout; this one keeps a hundred tiny, slow layers from adding up.
    let deadline = FETCH_BASE + transfer_timeout(image.compressed_bytes());
    let fetched = tokio::time::timeout(deadline, fetch_all(client, image, limits, temp_dir)).await;
    fetched.unwrap_or_else(|_elapsed| {
        Err(RegistryError::TimedOut { host: image.reference().registry().to_owned() }.into())
    })
}

async fn fetch_all(
    client: &RegistryClient,
    image: &PinnedImage,
    limits: &ImageLimits,
    temp_dir: &Path,
) -> Result<ImageArchive, FetchError> {
    let mut work = begin(image, limits, temp_dir).await?;
    let mut session = client.session(image.reference());
    for (index, (layer, diff_id)) in image.layers().enumerate() {
        let wanted = Wanted { part: "layer", digest: layer.blob.digest, size_bytes: layer.blob.size_bytes };
        let stream = session.blob(wanted).await?;
        let job = LayerJob { number: index + 1, blob: layer.blob, compression: layer.compression, diff_id };
        work = take_layer(work, job, stream).await?;
    }
    let archive = blocking(move || work.archive.finish().map_err(FetchError::Storage)).await?;
    tracing::debug!(image = %image.reference(), bytes = archive.size_bytes(), "image fetched");
    Ok(archive)
}

/// What goes from layer to layer.
struct Work {
    archive: ArchiveWriter,
    budget: Budget,
}

async fn begin(image: &PinnedImage, limits: &ImageLimits, temp_dir: &Path) -> Result<Work, FetchError> {
    let budget = Budget::new(limits);
    let (image, temp_dir) = (image.clone(), temp_dir.to_owned());
    blocking(move || {
        let archive = ArchiveWriter::create(&image, &temp_dir).map_err(FetchError::Storage)?;
        Ok(Work { archive, budget })
    })
    .await
}

/// Moves one layer from the network to a thread that unpacks it. Whichever side fails stops the other,
/// and the failure that came first is the one that is told.
async fn take_layer(mut work: Work, job: LayerJob, mut stream: BlobStream) -> Result<Work, FetchError> {
    let number = job.number;
    let (feeder, chunks) = chunks::channel();
    let unpacking = tokio::task::spawn_blocking(move || {
        layer::unpack(&job, chunks, &mut work.archive, &mut work.budget).map(|()| work)
    });
    let fed = feed(&mut stream, feeder).await;
    let unpacked = match unpacking.await {
        Ok(unpacked) => unpacked,
        // A decoder that panics over a stranger's bytes has refused them.
        Err(_panicked) => {
            return Err(FetchError::Layer { number, problem: "it cannot be unpacked".to_owned() });
        }
    };
    match unpacked {
        Err(LayerError::Stopped) => Err(fed.err().map_or_else(
            || FetchError::Layer { number, problem: "it ends early".to_owned() },
            FetchError::Registry,
        )),
        Err(LayerError::Failed(error)) => Err(error),
        Ok(work) => fed.map(|()| work).map_err(FetchError::Registry),
    }
}

/// Hands chunks over until the blob or its reader ends.
async fn feed(stream: &mut BlobStream, feeder: Feeder) -> Result<(), RegistryError> {
    loop {
        let chunk = tokio::select! {
            chunk = stream.next() => chunk?,
            // A reader that has seen enough does not wait for a registry that says no more.
            () = feeder.reader_gone() => return Ok(()),
        };
        match chunk {
            Some(chunk) => feeder.send(chunk).await,
            None => {
                feeder.end().await;
                return Ok(());
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|stopped| Err(FetchError::Storage(std::io::Error::other(stopped))))
}
