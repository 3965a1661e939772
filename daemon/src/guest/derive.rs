//! Keys that a container derives: the same each time for the same container, path and policy, and
//! unlike any other.

use aws_lc_rs::hkdf;
use nostr::key::SecretKey;
use protocol::canonical;
use protocol::guest::{DeriveKey, DerivedKey};
use serde::Serialize;
use zeroize::Zeroizing;

use super::refusal::{Refusal, RefusalCode};
use crate::store::Container;

/// Separates what containers derive from whatever else may be derived from the service key.
const SALT: &[u8] = b"enclaved/derive-key/v1";
/// Longest path.
const PATH_BYTES_MAX: usize = 256;
const KEY_BYTES: usize = 32;

/// What a key is bound to. Canonical JSON of it is HKDF's `info` (RFC 5869).
#[derive(Serialize)]
struct Binding<'a> {
    container: String,
    path: &'a str,
    /// Who may change the image.
    upgrade: serde_json::Value,
    /// The image, where nobody may change it. A container whose owner may change it keeps its keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_digest: Option<&'a str>,
}

/// Derives the key of `container` for a path, from the service key.
pub(super) fn derive(
    service: &SecretKey,
    container: &Container,
    request: &DeriveKey,
) -> Result<DerivedKey, Refusal> {
    let path = request.path.as_str();
    if path.is_empty()
        || path.len() > PATH_BYTES_MAX
        || !path.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
    {
        let why = format!("path: 1 to {PATH_BYTES_MAX} printable ASCII characters");
        return Err(Refusal::new(RefusalCode::ParamsInvalid, why));
    }
    // A built-in is measured with the server, which decides when its image changes.
    let upgrade = match &container.spec.manifest {
        Some(manifest) => serde_json::to_value(manifest.upgrade).map_err(|e| Refusal::internal(&e))?,
        None => "builtin".into(),
    };
    let is_fixed = upgrade == "none";
    let digest = container.spec.image.rsplit_once('@').map(|(_, digest)| digest);
    let binding = Binding {
        container: container.pubkey().to_hex(),
        path,
        image_digest: digest.filter(|_| is_fixed),
        upgrade,
    };
    let info = canonical::to_bytes(&binding).map_err(|e| Refusal::internal(&e))?;
    let secret = Zeroizing::new(service.to_secret_bytes());
    let key = expand(&*secret, &info).map_err(|e| Refusal::internal(&e))?;
    Ok(DerivedKey { key: hex::encode(*key) })
}

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

fn expand(secret: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, aws_lc_rs::error::Unspecified> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret);
    prk.expand(&[info], Length)?.fill(&mut *key)?;
    Ok(key)
}
