//! Secrets of a launch: variables and files that only the container sees, sealed (NIP-44) by the owner to
//! the service key, so that no way to the server, and no adapter in front of it, sees them in clear.
//!
//! In the container each is a file in `/run/enclaved/secrets`; a secret variable `K` is the file `K`, and
//! the variable `K_FILE` names it, as many official images read it.

use std::collections::BTreeMap;
use std::fmt;

use nostr::key::{PublicKey, SecretKey};
use nostr::nips::nip44;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::guest::{DIR, SECRET_FILE_SUFFIX, SECRETS_NAME};
use crate::manifest::Salt;
use crate::rpc::{Code, Failure};
use crate::statement::Base64;

/// Most secrets of a launch.
pub const SECRETS_MAX: usize = 64;
/// All of them together, in bytes: in base64 they must fit into a sealed launch.
pub const SECRETS_BYTES_MAX: usize = 24 * 1024;
/// Longest sealed text, in base64: what NIP-44 makes of the longest message, with room.
const SEALED_BYTES_MAX: usize = 90 * 1024;
/// Longest name and longest password of an account; tokens have a few hundred bytes.
const LOGIN_BYTES_MAX: usize = 4 * 1024;
/// Longest name of a secret file.
const NAME_BYTES_MAX: usize = 128;

/// Secrets by name. Do not print, and are wiped.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Variables: delivered as files that `NAME_FILE` names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Base64>,
    /// The owner's account at the image's registry; the container does not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryLogin>,
}

/// An account at the registry of a private image. Does not print.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryLogin {
    /// The registry that it is at, `host` or `host:port` as an image's reference writes it.
    pub host: String,
    /// Its name.
    pub username: String,
    /// Its password, or a token that the registry takes for one.
    pub password: String,
    /// The host that hands out tokens for the registry, where that is not the registry itself. The password is
    /// told to these two and to nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryLogin(…)")
    }
}

impl Drop for RegistryLogin {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

impl RegistryLogin {
    /// RFC 7617 has no colon in a name; more than this is no password.
    fn check(&self) -> Result<(), Failure> {
        let plain = |text: &str| {
            !text.is_empty() && text.len() <= LOGIN_BYTES_MAX && !text.contains(char::is_control)
        };
        if !plain(&self.username) || !plain(&self.password) || self.username.contains(':') {
            return Err(invalid(format!(
                "registry: username and password must be 1 to {LOGIN_BYTES_MAX} bytes on one line, the name without a colon"
            )));
        }
        let is_host = |host: &String| {
            (1..=NAME_BYTES_MAX).contains(&host.len())
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'))
        };
        if !is_host(&self.host) {
            return Err(invalid("registry: host must name the registry, host or host:port".into()));
        }
        match &self.realm {
            Some(realm) if !is_host(realm) => {
                Err(invalid("registry: realm must be a host, without a path".into()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// True if it is an account at this registry, `host` or `host:port`.
    #[must_use]
    pub fn is_at(&self, registry: &str) -> bool {
        self.host.eq_ignore_ascii_case(registry)
    }
}

/// Names only.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("files", &self.files.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.env.values_mut().for_each(Zeroize::zeroize);
        self.files.values_mut().for_each(|content| content.0.zeroize());
    }
}

/// Secrets that are sealed from one key to another: base64 of NIP-44 version 2.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

impl Sealed {
    /// Opens what `from` sealed to the key of `to`, and checks it.
    ///
    /// # Errors
    /// [`Code::SecretsInvalid`]; never repeats a value.
    pub fn open(&self, to: &SecretKey, from: &PublicKey) -> Result<Secrets, Failure> {
        if self.0.len() > SEALED_BYTES_MAX {
            return Err(invalid(format!("they have more than {SEALED_BYTES_MAX} bytes")));
        }
        let text = nip44::decrypt(to, from, &self.0).map(Zeroizing::new).map_err(|_| {
            invalid("they cannot be opened: seal them (NIP-44) with the launch's key to the server's".into())
        })?;
        let secrets: Secrets = serde_json::from_str(&text)
            .map_err(|_| invalid("what is sealed must be {\"env\": {NAME: text}, \"files\": {NAME: base64}, \"registry\": {host, username, password}}".into()))?;
        secrets.check()?;
        Ok(secrets)
    }
}

impl Secrets {
    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.env.is_empty() && self.files.is_empty() && self.registry.is_none()
    }

    /// Seals them from the key of `from` to `to`.
    ///
    /// # Errors
    /// [`Code::SecretsInvalid`] if they are against the rules or cannot be encrypted.
    pub fn seal(&self, from: &SecretKey, to: &PublicKey) -> Result<Sealed, Failure> {
        self.check()?;
        let unsealed = |_| invalid("they cannot be sealed".into());
        let text = serde_json::to_string(self).map(Zeroizing::new).map_err(|_| invalid("no JSON".into()))?;
        nip44::encrypt(from, to, text.as_str(), nip44::Version::V2).map(Sealed).map_err(unsealed)
    }

    /// Every secret as the file that it is in the container: name and content.
    pub fn contents(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let env = self.env.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        env.chain(self.files.iter().map(|(name, content)| (name.as_str(), content.0.as_slice())))
    }

    /// The variables that say where secret variables are: `NAME_FILE`, and a path.
    pub fn variables(&self) -> impl Iterator<Item = (String, String)> {
        let path = |name: &String| format!("{DIR}/{SECRETS_NAME}/{name}");
        self.env.keys().map(move |name| (format!("{name}{SECRET_FILE_SUFFIX}"), path(name)))
    }

    /// What the manifest says of them: for each name the HMAC of its content.
    #[must_use]
    pub fn hmacs(&self, salt: &Salt) -> BTreeMap<String, String> {
        self.contents().map(|(name, content)| (name.to_owned(), salt.hmac_bytes(name, content))).collect()
    }

    /// Checks names, number and size.
    ///
    /// # Errors
    /// [`Code::SecretsInvalid`], naming the secret and the rule.
    pub fn check(&self) -> Result<(), Failure> {
        if let Some(registry) = &self.registry {
            registry.check()?;
        }
        if self.env.len() + self.files.len() > SECRETS_MAX {
            return Err(invalid(format!("at most {SECRETS_MAX}")));
        }
        let bytes: usize = self.contents().map(|(name, content)| name.len() + content.len()).sum();
        if bytes > SECRETS_BYTES_MAX {
            return Err(invalid(format!("at most {SECRETS_BYTES_MAX} bytes in all")));
        }
        for name in self.env.keys() {
            crate::rpc::enclaved::check_env_name(name)?;
            if self.files.contains_key(name) {
                return Err(invalid(format!("{name} is both a variable and a file; choose another name")));
            }
        }
        match self.files.keys().find(|name| !is_file_name(name)) {
            Some(name) => Err(invalid(format!(
                "a file's name must be letters, digits, . _ - (at most {NAME_BYTES_MAX}, no dot first), not {:?}",
                name.chars().take(32).collect::<String>()
            ))),
            None => Ok(()),
        }
    }
}

/// Checks that no variable in clear has a name that the secrets need.
///
/// # Errors
/// [`Code::EnvInvalid`], naming the variable.
pub fn check_beside(secrets: &Secrets, env: &BTreeMap<String, String>) -> Result<(), Failure> {
    let clash = secrets.variables().map(|(name, _)| name).chain(secrets.env.keys().cloned());
    match clash.into_iter().find(|name| env.contains_key(name)) {
        Some(name) => Err(Failure::new(
            Code::EnvInvalid,
            format!("env: {name} is also needed for a secret; give it once, as a secret"),
        )),
        None => Ok(()),
    }
}

fn is_file_name(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    plain && (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.starts_with('.')
}

fn invalid(problem: String) -> Failure {
    Failure::new(Code::SecretsInvalid, format!("secrets: {problem}"))
}

#[cfg(test)]
mod tests;
