//! A conversation with one registry about one repository.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use url::Url;

use super::body::{BlobStream, read_bounded};
use super::challenge::{Challenge, authorization, basic, may_know};
use super::transport::{Answer, Get, Transport};
use crate::image::digest::{Digest, DigestError};
use crate::image::error::RegistryError;
use crate::image::reference::{Reference, Selector};

/// The documents that we can read. Schema 1 of Docker is not asked for; a registry that has nothing
/// else sends it all the same, and is refused by its type.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// Longest answer of a realm; a token has a few kilobytes.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// The digest of a manifest as the registry states it (OCI distribution specification, "Pulling
/// manifests").
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A blob, as a descriptor describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// What it is, for messages.
    pub(crate) part: &'static str,
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
}

/// A manifest or index, checked against every digest that is known for it.
#[derive(Debug)]
pub(crate) struct ManifestBytes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    /// The type without its parameters, in lower case.
    pub(crate) content_type: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Session<'a> {
    transport: &'a Transport,
    reference: &'a Reference,
    authorization: Option<HeaderValue>,
}

impl<'a> Session<'a> {
    pub(super) const fn new(transport: &'a Transport, reference: &'a Reference) -> Self {
        Self { transport, reference, authorization: None }
    }

    /// Fetches a manifest of at most `limit_bytes`.
    ///
    /// # Errors
    /// [`RegistryError`]; `DigestMismatch` if the bytes are not those of the selected digest or, for a
    /// tag, not those of the digest that the registry states.
    pub(crate) async fn manifest(
        &mut self,
        selector: Selector<'_>,
        limit_bytes: u64,
    ) -> Result<ManifestBytes, RegistryError> {
        let part = "manifest";
        let name = match selector {
            Selector::Tag(tag) => tag.to_owned(),
            Selector::Digest(digest) => digest.to_string(),
        };
        let answer = self.get("manifests", &name, "image", MANIFEST_TYPES, limit_bytes).await?;
        let stated = stated_digest(&answer)?;
        let content_type = content_type(answer.response.headers());
        let bytes = read_bounded(answer, part, limit_bytes).await?;
        let digest = Digest::of(&bytes);
        let expected = match selector {
            Selector::Digest(selected) => Some(selected),
            Selector::Tag(_) => stated,
        };
        match expected {
            Some(expected) if expected != digest => Err(RegistryError::DigestMismatch { part, expected }),
            _ => Ok(ManifestBytes { bytes, digest, content_type }),
        }
    }

    /// Fetches a small blob into memory. The caller has checked that its size is within its limit.
    ///
    /// # Errors
    /// [`RegistryError`]; `DigestMismatch` if its length or digest is not the wanted one.
    pub(crate) async fn small_blob(&mut self, wanted: Wanted) -> Result<Vec<u8>, RegistryError> {
        let mut stream = self.blob(wanted).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        if Digest::of(&bytes) == wanted.digest {
            Ok(bytes)
        } else {
            Err(RegistryError::DigestMismatch { part: wanted.part, expected: wanted.digest })
        }
    }

    /// Begins to fetch a blob.
    ///
    /// # Errors
    /// [`RegistryError`] if the registry does not begin to send it.
    pub(crate) async fn blob(&mut self, wanted: Wanted) -> Result<BlobStream, RegistryError> {
        let name = wanted.digest.to_string();
        let answer = self.get("blobs", &name, wanted.part, "*/*", wanted.size_bytes).await?;
        BlobStream::new(answer, wanted.part, wanted.digest, wanted.size_bytes)
    }

    /// Asks, and asks again with a token if the registry wants one (or a fresh one).
    async fn get(
        &mut self,
        kind: &str,
        name: &str,
        part: &'static str,
        accept: &'static str,
        bytes_max: u64,
    ) -> Result<Answer, RegistryError> {
        let url = self.url(kind, name)?;
        let mut answer = self.send(&url, accept, bytes_max).await?;
        if answer.response.status() == StatusCode::UNAUTHORIZED {
            self.authorize(&url, &answer).await?;
            answer = self.send(&url, accept, bytes_max).await?;
        }
        match answer.response.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND => Err(RegistryError::NotFound { part, name: name.to_owned() }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(RegistryError::Unauthorized { host: answer.host() })
            }
            other => Err(RegistryError::Status { host: answer.host(), status: other.as_u16() }),
        }
    }

    async fn send(&self, url: &Url, accept: &'static str, bytes_max: u64) -> Result<Answer, RegistryError> {
        let authorization = self.authorization.as_ref();
        self.transport.get(Get { url: url.clone(), accept, authorization, bytes_max }).await
    }

    /// Gets a token from the realm that the registry names. Only the registry itself may name one, not
    /// a store that it redirects to.
    async fn authorize(&mut self, asked: &Url, answer: &Answer) -> Result<(), RegistryError> {
        let unauthorized = || RegistryError::Unauthorized { host: answer.host() };
        if answer.url.origin() != asked.origin() {
            return Err(unauthorized());
        }
        let values = answer.response.headers().get_all(WWW_AUTHENTICATE);
        let login = self.reference.login();
        let Some(challenge) = Challenge::find(values.iter()) else {
            // It wants the account itself, and has not been shown it yet.
            let wants_basic = values.iter().any(|value| {
                value.as_bytes().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"))
            });
            let account = login.filter(|_| wants_basic && self.authorization.is_none()).and_then(basic);
            self.authorization = account;
            return if self.authorization.is_some() { Ok(()) } else { Err(unauthorized()) };
        };
        let url = challenge.token_url(self.reference.repository());
        let registry = self.reference.api_authority();
        let account =
            login.filter(|login| may_know(login, registry, &challenge.realm_host())).and_then(basic);
        let request = Get {
            url,
            accept: "application/json",
            authorization: account.as_ref(),
            bytes_max: TOKEN_BYTES_MAX,
        };
        let answer = self.transport.get(request).await?;
        match answer.response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(unauthorized()),
            other => return Err(RegistryError::Status { host: answer.host(), status: other.as_u16() }),
        }
        let no_token = answer.protocol_error("its token server hands out no token");
        self.authorization = match read_bounded(answer, "token", TOKEN_BYTES_MAX).await {
            Ok(body) => authorization(&body),
            Err(RegistryError::TooLarge { .. }) => None,
            Err(other) => return Err(other),
        };
        if self.authorization.is_some() { Ok(()) } else { Err(no_token) }
    }

    fn url(&self, kind: &str, name: &str) -> Result<Url, RegistryError> {
        let authority = self.reference.api_authority();
        let scheme = self.transport.scheme(authority);
        let repository = self.reference.repository();
        Url::parse(&format!("{scheme}://{authority}/v2/{repository}/{kind}/{name}")).map_err(|_| {
            RegistryError::Protocol { host: authority.to_owned(), problem: "its name does not make a URL" }
        })
    }
}

/// A digest by another hash function says nothing to us; something that is no digest is a mistake.
fn stated_digest(answer: &Answer) -> Result<Option<Digest>, RegistryError> {
    let Some(value) = answer.response.headers().get(CONTENT_DIGEST) else { return Ok(None) };
    match value.to_str().unwrap_or_default().parse() {
        Ok(digest) => Ok(Some(digest)),
        Err(DigestError::Algorithm) => Ok(None),
        Err(DigestError::Malformed) => Err(answer.protocol_error("its content digest is not a digest")),
    }
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next().unwrap_or_default().trim();
    Some(essence.to_ascii_lowercase())
}
