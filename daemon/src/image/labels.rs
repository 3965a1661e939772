//! The labels of an image that the engine has: what the running image says of itself.

use std::collections::BTreeMap;

use bollard::Docker;

use super::digest::Digest;
use super::error::LoadError;
use super::load::has_status;

/// Asks the engine for the labels of the image whose configuration has `config_digest`; none if it does
/// not have it. The engine names an image by the digest of the configuration in which they stand.
///
/// # Errors
/// [`LoadError::Engine`] if the engine does not answer.
pub async fn labels(
    docker: &Docker,
    config_digest: Digest,
) -> Result<Option<BTreeMap<String, String>>, LoadError> {
    let found = match docker.inspect_image(&config_digest.to_string()).await {
        Ok(found) => found,
        Err(error) if has_status(&error, 404) => return Ok(None),
        Err(error) => return Err(LoadError::Engine(error)),
    };
    if found.id != Some(config_digest.to_string()) {
        return Ok(None);
    }
    Ok(Some(found.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect()))
}
