//! What the key stores keep for this server: the key of its disk, and the key of its name.

use std::fmt;

use attestation::nsm::{Nsm, NsmError};
use backup::DiskSecret;
use nostr::key::{Keys, SecretKey};
use protocol::rpc::keycrux::SecretData;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// The form of the text; another one is another number.
const VERSION: u8 = 1;
/// Draws of a service key: one in 2^128 is none.
const DRAWS_MAX: usize = 4;

/// Why there is no secret.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The NSM gave no randomness.
    #[error("the NSM gave no random bytes for the new secret")]
    Nsm(#[from] NsmError),
    /// What was drawn is no key.
    #[error("the NSM's random bytes make no key")]
    Draw,
    /// The key stores have something else. What it is stays unsaid.
    #[error("the record does not hold a secret of form {VERSION}")]
    Form,
}

/// The secret of a record.
pub struct RecordSecret {
    /// What seals the state.
    pub disk: DiskSecret,
    /// The service key.
    pub keys: Keys,
}

impl fmt::Debug for RecordSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordSecret").field("service", &self.keys.public_key()).finish_non_exhaustive()
    }
}

/// The text that key stores keep, at most 1024 bytes of it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    v: u8,
    disk: SecretData,
    service_key: SecretData,
}

impl RecordSecret {
    /// A new secret, all of it from the NSM. Blocks.
    ///
    /// # Errors
    /// [`SecretError::Nsm`], [`SecretError::Draw`].
    pub fn draw(nsm: &Nsm) -> Result<Self, SecretError> {
        let disk = random(nsm)?;
        for _ in 0..DRAWS_MAX {
            if let Ok(key) = SecretKey::from_slice(&*random(nsm)?) {
                return Ok(Self { disk: DiskSecret::new(disk), keys: Keys::new(key) });
            }
        }
        Err(SecretError::Draw)
    }

    /// The secret as the key stores keep it.
    #[must_use]
    pub fn to_data(&self) -> SecretData {
        let written = Written {
            v: VERSION,
            disk: SecretData::new(hex::encode(self.disk.expose())),
            service_key: SecretData::new(self.keys.secret_key().to_secret_hex()),
        };
        // Three fields of plain text are always written.
        SecretData::new(serde_json::to_string(&written).unwrap_or_default())
    }

    /// Reads what the key stores kept.
    ///
    /// # Errors
    /// [`SecretError::Form`].
    pub fn read(data: &SecretData) -> Result<Self, SecretError> {
        let written: Written = serde_json::from_str(data.expose()).map_err(|_| SecretError::Form)?;
        if written.v != VERSION {
            return Err(SecretError::Form);
        }
        let mut disk = Zeroizing::new([0; 32]);
        hex::decode_to_slice(written.disk.expose(), disk.as_mut_slice()).map_err(|_| SecretError::Form)?;
        let key = SecretKey::from_hex(written.service_key.expose()).map_err(|_| SecretError::Form)?;
        Ok(Self { disk: DiskSecret::new(disk), keys: Keys::new(key) })
    }
}

fn random(nsm: &Nsm) -> Result<Zeroizing<[u8; 32]>, SecretError> {
    let drawn = nsm.random(32)?;
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.copy_from_slice(drawn.get(..32).ok_or(SecretError::Draw)?);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> SecretData {
        SecretData::new(text.to_owned())
    }

    /// Pinned: what a build wrote, the builds after it must read.
    #[test]
    fn form_is_pinned() {
        let text = format!(r#"{{"v":1,"disk":"{}","service_key":"{}"}}"#, "07".repeat(32), "11".repeat(32));
        let secret = RecordSecret::read(&data(&text)).unwrap();
        assert_eq!(*secret.disk.expose(), [7; 32]);
        assert_eq!(secret.keys.secret_key().to_secret_hex(), "11".repeat(32));
        assert_eq!(secret.to_data().expose(), text);
    }

    #[test]
    fn another_form_is_refused_and_nothing_of_it_is_said() {
        let (disk, key) = ("07".repeat(32), "11".repeat(32));
        for text in [
            String::new(),
            "hunter2".into(),
            format!(r#"{{"v":2,"disk":"{disk}","service_key":"{key}"}}"#),
            format!(r#"{{"v":1,"disk":"{disk}","service_key":"{}"}}"#, "00".repeat(32)),
            format!(r#"{{"v":1,"disk":"07","service_key":"{key}"}}"#),
            format!(r#"{{"v":1,"disk":"{disk}","service_key":"{key}","more":1}}"#),
        ] {
            let error = RecordSecret::read(&data(&text)).unwrap_err();
            assert!(!error.to_string().contains("hunter2") && !error.to_string().contains("0707"), "{error}");
        }
        let secret =
            RecordSecret::read(&data(&format!(r#"{{"v":1,"disk":"{disk}","service_key":"{key}"}}"#)));
        assert!(!format!("{secret:?}").contains("0707"));
    }
}
