//! What an upgrade changes of what it takes to run a container: the image, and nothing else.

use protocol::canonical::CanonicalError;
use serde::{Deserialize, Serialize};

use super::record::Spec;

/// The image of a container.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePart {
    /// `registry/repository@sha256:…` of the platform's manifest.
    pub image: String,
    /// `sha256:…` of the image's configuration: the engine's name for the image.
    pub config_digest: String,
    /// Paths that images of this container declare as volumes, in the order in which they came: the place
    /// of a path in this list is where its data lies.
    pub image_volumes: Vec<String>,
}

impl ImagePart {
    /// Another image for the same container. What the images before it declared as volumes stays where it
    /// is, mounted where it was, and what this one declares besides comes behind.
    #[must_use]
    pub fn after(
        &self,
        image: String,
        config_digest: String,
        declared: impl IntoIterator<Item = String>,
    ) -> Self {
        let plain = |path: &str| path.trim_end_matches('/').to_owned();
        let mut image_volumes = self.image_volumes.clone();
        for path in declared {
            if !image_volumes.iter().any(|known| plain(known) == plain(&path)) {
                image_volumes.push(path);
            }
        }
        Self { image, config_digest, image_volumes }
    }
}

impl Spec {
    /// The image.
    #[must_use]
    pub fn image_part(&self) -> ImagePart {
        ImagePart {
            image: self.image.clone(),
            config_digest: self.config_digest.clone(),
            image_volumes: self.image_volumes.clone(),
        }
    }

    /// The same with another image; the manifest and its hash change with it.
    ///
    /// # Errors
    /// [`CanonicalError`] as [`protocol::manifest::LaunchManifest::sha256`].
    pub fn with_image(&self, part: &ImagePart) -> Result<Self, CanonicalError> {
        let mut spec = self.clone();
        let ImagePart { image, config_digest, image_volumes } = part.clone();
        if let Some(manifest) = &mut spec.manifest {
            manifest.image.clone_from(&image);
            spec.manifest_sha256 = Some(manifest.sha256()?);
        }
        Ok(Self { image, config_digest, image_volumes, ..spec })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_stays_where_it_lies_whatever_the_next_image_declares() {
        let part = |volumes: &[&str]| ImagePart {
            image: "r/a@sha256:1".into(),
            config_digest: "sha256:1".into(),
            image_volumes: volumes.iter().map(ToString::to_string).collect(),
        };
        let check = |before: &[&str], declared: &[&str], after: &[&str]| {
            let declared = declared.iter().map(ToString::to_string);
            let next = part(before).after("r/a@sha256:2".into(), "sha256:2".into(), declared);
            assert_eq!((next.image.as_str(), next.config_digest.as_str()), ("r/a@sha256:2", "sha256:2"));
            assert_eq!(next.image_volumes, after);
        };
        check(&["/db"], &["/data", "/db"], &["/db", "/data"]);
        check(&["/db", "/log"], &["/log"], &["/db", "/log"]);
        check(&["/db"], &["/db/"], &["/db"]);
        check(&[], &["/b", "/a"], &["/b", "/a"]);
        check(&["/db"], &[], &["/db"]);
    }
}
