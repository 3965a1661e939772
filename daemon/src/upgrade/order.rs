//! An image that is to take the place of the one that runs.

use std::str::FromStr;

use nostr::key::PublicKey;
use protocol::manifest::Upgrade;

use crate::image::{ImageSpec, PinnedImage, PortProtocol};
use crate::store::{ImagePart, Probe, ReleaseRef, Spec};

/// Label of an image that names its page of health, `[PORT]/path`.
const HEALTH_LABEL: &str = "health";
/// Longest such label, in bytes.
const HEALTH_BYTES_MAX: usize = 256;

/// A release that was verified, and whose image was found to be what it says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SignedRelease {
    pub(super) release: ReleaseRef,
    /// The configuration of the image that ran then: it names who signs, and which versions are lower.
    pub(super) judged_by: String,
}

/// An image that is to take the place of the one that runs. Made of images that the registry was asked
/// for, and whose manifest and configuration match their digests.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    image: PinnedImage,
    page: Option<(Option<u16>, String)>,
    cause: Cause,
}

/// Why it is to take its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// The owner's command.
    Owner {
        /// The key of the command.
        request: String,
        /// Who was the owner then.
        by: PublicKey,
    },
    /// All signers released it.
    Release(SignedRelease),
}

/// The image cannot be put on trial.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the image's label `health` must be [PORT]/path, with the port where none is published")]
pub(crate) struct HealthLabelError;

impl Order {
    /// An order for this image.
    pub(super) fn new(image: PinnedImage, cause: Cause) -> Result<Self, HealthLabelError> {
        let page = page(image.spec())?;
        Ok(Self { image, page, cause })
    }

    /// The release, unless the owner asked.
    pub(crate) const fn release(&self) -> Option<&ReleaseRef> {
        match &self.cause {
            Cause::Owner { .. } => None,
            Cause::Release(signed) => Some(&signed.release),
        }
    }

    /// The key of the owner's command, if it was that.
    pub(crate) fn request_key(&self) -> Option<&str> {
        match &self.cause {
            Cause::Owner { request, .. } => Some(request),
            Cause::Release(_) => None,
        }
    }

    /// Who asked, if it was an owner.
    pub(crate) const fn by(&self) -> Option<&PublicKey> {
        match &self.cause {
            Cause::Owner { by, .. } => Some(by),
            Cause::Release(_) => None,
        }
    }

    /// The policy under which this is allowed.
    pub(crate) const fn policy(&self) -> Upgrade {
        match &self.cause {
            Cause::Owner { .. } => Upgrade::Owner,
            Cause::Release(_) => Upgrade::Signed,
        }
    }

    /// True for a release that was judged by another image than the one that runs by now.
    pub(crate) fn is_stale(&self, spec: &Spec) -> bool {
        match &self.cause {
            Cause::Owner { .. } => false,
            Cause::Release(signed) => signed.judged_by != spec.config_digest,
        }
    }

    /// The image as `registry/repository@sha256:…`.
    pub(crate) fn image(&self) -> String {
        self.image.reference().to_string()
    }

    /// What changes of `spec`.
    pub(crate) fn part(&self, spec: &Spec) -> ImagePart {
        let declared = self.image.spec().volumes.iter().cloned();
        spec.image_part().after(self.image(), self.image.config_digest().to_string(), declared)
    }

    /// The page of health of this image in a container of `spec`; none if the image names none.
    pub(crate) fn probe(&self, spec: &Spec) -> Result<Option<Probe>, HealthLabelError> {
        let Some((port, path)) = &self.page else { return Ok(None) };
        let published = || spec.ports.first().map(|mapping| mapping.container_port);
        let port = port.or_else(published).or_else(|| exposed(self.image.spec())).ok_or(HealthLabelError)?;
        Ok(Some(Probe::Page { port, path: path.clone() }))
    }
}

/// The lowest TCP port that the image says it listens on.
fn exposed(spec: &ImageSpec) -> Option<u16> {
    spec.exposed_ports.iter().find(|port| port.protocol == PortProtocol::Tcp).map(|port| port.port)
}

fn page(spec: &ImageSpec) -> Result<Option<(Option<u16>, String)>, HealthLabelError> {
    match spec.labels.get(HEALTH_LABEL).map(String::as_str) {
        None | Some("") => Ok(None),
        Some(label) => read_page(label).map(Some),
    }
}

fn read_page(label: &str) -> Result<(Option<u16>, String), HealthLabelError> {
    let plain = label.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\'));
    if label.len() > HEALTH_BYTES_MAX || !plain {
        return Err(HealthLabelError);
    }
    let slash = label.find('/').ok_or(HealthLabelError)?;
    let (port, path) = label.split_at(slash);
    let port = match port {
        "" => None,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(u16::from_str(digits).ok().filter(|port| *port > 0).ok_or(HealthLabelError)?)
        }
        _ => return Err(HealthLabelError),
    };
    Ok((port, path.to_owned()))
}

#[cfg(test)]
impl Order {
    /// A release of this image that was judged by the image with the configuration `judged_by`.
    pub(crate) fn example(image: PinnedImage, judged_by: &str) -> Self {
        let (version, id, digest) = ("1.5.0".to_owned(), "id".to_owned(), "d".to_owned());
        let release = ReleaseRef { version, id, digest };
        let signed = SignedRelease { release, judged_by: judged_by.to_owned() };
        Self::new(image, Cause::Release(signed)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_of_health_is_a_port_and_a_path() {
        let check = |label: &str, port: Option<u16>, path: &str| {
            assert_eq!(read_page(label), Ok((port, path.to_owned())), "{label}");
        };
        check("/healthz", None, "/healthz");
        check("8080/", Some(8_080), "/");
        check("65535/a/b?c=d", Some(65_535), "/a/b?c=d");
        let long = format!("/{}", "a".repeat(256));
        for bad in [
            "healthz",
            "8080",
            "0/x",
            "65536/x",
            "+80/x",
            "http://x/",
            "80 /x",
            "/a b",
            "/a#b",
            "//\\x",
            "/\u{e9}",
            &long,
        ] {
            assert_eq!(read_page(bad), Err(HealthLabelError), "{bad}");
        }
    }
}
