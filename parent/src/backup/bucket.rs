//! An S3-compatible bucket. A put is durable when it is answered.

use std::fmt;
use std::io;
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig};
use service::SecretRef;

use super::config::BucketConfig;
use super::shelf::{Entry, ShelfError};

/// How long a request is tried again: the enclave waits a minute.
const RETRY_WAIT: Duration = Duration::from_secs(40);

/// A bucket.
pub(crate) struct Bucket {
    store: AmazonS3,
    prefix: String,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Connects, and finds out whether the keys are good.
    pub(crate) async fn open(config: &BucketConfig) -> Result<Self, ShelfError> {
        let secret =
            |text: &str| text.parse::<SecretRef>().and_then(|at| at.read()).map_err(ShelfError::Keys);
        let retry = RetryConfig { retry_timeout: RETRY_WAIT, ..RetryConfig::default() };
        let store = AmazonS3Builder::new()
            .with_endpoint(config.endpoint.as_str().trim_end_matches('/'))
            .with_bucket_name(&config.name)
            .with_region(&config.region)
            .with_access_key_id(secret(&config.access_key_id)?.expose())
            .with_secret_access_key(secret(&config.secret_access_key)?.expose())
            // The configuration admits plain HTTP for this machine alone.
            .with_allow_http(config.endpoint.scheme() == "http")
            .with_retry(retry)
            .build()
            .map_err(|source| ShelfError::Bucket { path: config.name.clone(), source })?;
        let bucket = Self { store, prefix: config.prefix.clone() };
        bucket.folders().await?;
        Ok(bucket)
    }

    fn at(&self, path: &str) -> Path {
        if path.is_empty() {
            Path::from(self.prefix.as_str())
        } else {
            Path::from(format!("{}/{path}", self.prefix))
        }
    }

    pub(crate) async fn write(&self, path: String, bytes: Vec<u8>) -> Result<(), ShelfError> {
        let put = self.store.put(&self.at(&path), PutPayload::from(bytes)).await;
        put.map(drop).map_err(|source| ShelfError::Bucket { path, source })
    }

    /// Nothing is replaced. A put that was tried again finds its own bytes, and has succeeded.
    pub(crate) async fn write_new(&self, path: String, bytes: Vec<u8>) -> Result<(), ShelfError> {
        let (at, options) = (self.at(&path), PutOptions::from(PutMode::Create));
        match self.store.put_opts(&at, PutPayload::from(bytes.clone()), options).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                match self.read(path, len).await {
                    Ok(Some(there)) if there == bytes => Ok(()),
                    Ok(_) | Err(ShelfError::TooLong { .. }) => Err(ShelfError::Taken),
                    Err(e) => Err(e),
                }
            }
            Err(source) => Err(ShelfError::Bucket { path, source }),
        }
    }

    pub(crate) async fn read(&self, path: String, bytes_max: u64) -> Result<Option<Vec<u8>>, ShelfError> {
        let found = match self.store.get(&self.at(&path)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(ShelfError::Bucket { path, source }),
        };
        if found.meta.size > bytes_max {
            return Err(ShelfError::TooLong { path });
        }
        // The length is the server's word: the stream is counted, too.
        let mut pieces = found.into_stream();
        let mut content = Vec::new();
        let error = |source, path: &str| ShelfError::Bucket { path: path.to_owned(), source };
        while let Some(piece) = pieces.try_next().await.map_err(|e| error(e, &path))? {
            content.extend_from_slice(&piece);
            if u64::try_from(content.len()).unwrap_or(u64::MAX) > bytes_max {
                return Err(ShelfError::TooLong { path });
            }
        }
        Ok(Some(content))
    }

    pub(crate) async fn remove(&self, path: String) -> Result<(), ShelfError> {
        match self.store.delete(&self.at(&path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(ShelfError::Bucket { path, source }),
        }
    }

    pub(crate) async fn list(&self, folder: String) -> Result<Vec<Entry>, ShelfError> {
        let at = self.at(&folder);
        let listed: Result<Vec<_>, _> = self.store.list(Some(&at)).try_collect().await;
        let listed = listed.map_err(|source| ShelfError::Bucket { path: folder.clone(), source })?;
        let entries = listed.into_iter().map(|meta| {
            let name = meta.location.filename().map(str::to_owned).ok_or_else(|| ShelfError::Io {
                path: meta.location.to_string(),
                source: io::ErrorKind::InvalidData.into(),
            })?;
            Ok(Entry { name, written_at: u64::try_from(meta.last_modified.timestamp()).unwrap_or(0) })
        });
        entries.collect()
    }

    pub(crate) async fn folders(&self) -> Result<Vec<String>, ShelfError> {
        let at = self.at("");
        let listed = self.store.list_with_delimiter(Some(&at)).await;
        let listed = listed.map_err(|source| ShelfError::Bucket { path: self.prefix.clone(), source })?;
        Ok(listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect())
    }
}
