//! Image references, as a stranger writes them.
//!
//! ```text
//! [docker://] [registry[:port]/] repository [:tag] [@sha256:digest]
//! ```
//!
//! The grammar is that of the distribution project's `reference` package, and so are the defaults: no
//! registry means `docker.io`, a single name there is in `library/`, and neither tag nor digest means
//! the tag `latest`. Where both are given the digest counts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use protocol::secrets::RegistryLogin;

use super::digest::Digest;

/// Longest reference that is read at all: the longest name, tag and digest with their separators.
pub const REFERENCE_CHARS_MAX: usize = 480;

/// Longest name, registry included (`reference.NameTotalLengthMax` of the distribution project).
const NAME_CHARS_MAX: usize = 255;

/// Longest tag (same source).
const TAG_CHARS_MAX: usize = 128;

/// What Docker calls its own registry, and what answers for it.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// A checked image reference. Shown, it is complete: registry, repository, and tag or digest or both.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
    /// Whose account the registry is asked with; neither shown nor on record with the rest.
    login: Option<Arc<RegistryLogin>>,
}

/// A text that is not an image reference.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the image reference is not valid: {problem}; write it like `registry.example/name:tag`")]
pub struct ReferenceError {
    problem: &'static str,
}

impl ReferenceError {
    /// The stable code for replies: `image_reference_invalid`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "image_reference_invalid"
    }
}

/// Which manifest of a repository is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Selector<'a> {
    Tag(&'a str),
    Digest(Digest),
}

impl Reference {
    /// The registry, `host` or `host:port`, in lower case.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; none if the reference has only a digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the reference has one.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same repository, at `digest`.
    pub(crate) fn at(&self, digest: Digest) -> Self {
        Self {
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            tag: None,
            digest: Some(digest),
            login: self.login.clone(),
        }
    }

    /// The same image, asked for with an account if that is at its registry: at any other it is not shown.
    #[must_use]
    pub fn with_login(mut self, login: Option<RegistryLogin>) -> Self {
        self.login = login.filter(|login| login.is_at(&self.registry)).map(Arc::new);
        self
    }

    pub(crate) fn login(&self) -> Option<&RegistryLogin> {
        self.login.as_deref()
    }

    /// The host (and port) that answers the distribution API for this registry.
    pub(crate) fn api_authority(&self) -> &str {
        if self.registry == DOCKER_HUB { DOCKER_HUB_API } else { &self.registry }
    }

    pub(crate) fn selector(&self) -> Selector<'_> {
        match (self.digest, &self.tag) {
            (Some(digest), _) => Selector::Digest(digest),
            (None, Some(tag)) => Selector::Tag(tag),
            (None, None) => Selector::Tag("latest"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.len() > REFERENCE_CHARS_MAX {
            return refuse("it is too long");
        }
        let text = text.strip_prefix("docker://").unwrap_or(text);
        if text.contains("://") {
            return refuse("it is a URL");
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
            None => (text, None),
        };
        // A colon after the last slash begins a tag; one before it belongs to the registry's port.
        let name_end = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_end..].split_once(':') {
            Some((last, tag)) => (&rest[..name_end + last.len()], Some(parse_tag(tag)?)),
            None => (rest, None),
        };
        let (registry, repository) = parse_name(name)?;
        let tag = if tag.is_none() && digest.is_none() { Some("latest".to_owned()) } else { tag };
        Ok(Self { registry, repository, tag, digest, login: None })
    }
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    text.parse().or_else(|_| refuse("its digest must be `sha256:` and 64 lower-case hexadecimal digits"))
}

fn parse_tag(tag: &str) -> Result<String, ReferenceError> {
    let starts_well = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let all_well = tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if !starts_well || !all_well || tag.len() > TAG_CHARS_MAX {
        return refuse(
            "its tag must be 1 to 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`",
        );
    }
    Ok(tag.to_owned())
}

/// Splits registry from repository. The first part is a registry only if it looks like a host.
fn parse_name(name: &str) -> Result<(String, String), ReferenceError> {
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if looks_like_host(first) => (parse_registry(first)?, path),
        _ => (DOCKER_HUB.to_owned(), name),
    };
    let components = path.split('/').count();
    if !path.split('/').all(is_path_component) {
        return refuse(
            "each part of its repository must be lower-case letters and digits, joined by `.`, `_`, `__` or `-`",
        );
    }
    // Docker reads 64 hexadecimal digits as an image id, never as a name.
    if components == 1 && path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit()) {
        return refuse("64 hexadecimal digits are an image id, not a repository");
    }
    let repository =
        if registry == DOCKER_HUB && components == 1 { format!("library/{path}") } else { path.to_owned() };
    if registry.len() + 1 + repository.len() > NAME_CHARS_MAX {
        return refuse("its name is longer than 255 characters");
    }
    Ok((registry, repository))
}

fn looks_like_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn parse_registry(text: &str) -> Result<String, ReferenceError> {
    let text = text.to_ascii_lowercase();
    let (host, port) = match text.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text.as_str(), None),
    };
    if !is_host(host) {
        return refuse("its registry must be a host name, or an address with IPv6 in brackets");
    }
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse::<u16>() {
            Ok(port @ 1..) => Some(port),
            _ => return refuse("the port of its registry must be 1 to 65535"),
        },
        Some(_) => return refuse("the port of its registry must be a number"),
    };
    match (host, port) {
        ("docker.io" | "index.docker.io", None) => Ok(DOCKER_HUB.to_owned()),
        (host, None) => Ok(host.to_owned()),
        (host, Some(port)) => Ok(format!("{host}:{port}")),
    }
}

/// The form only; the address guard judges what the host is.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    host.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let edges =
        component.bytes().next().is_some_and(is_word) && component.bytes().last().is_some_and(is_word);
    edges
        && component
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
}

const fn refuse<T>(problem: &'static str) -> Result<T, ReferenceError> {
    Err(ReferenceError { problem })
}

#[cfg(test)]
mod tests;
