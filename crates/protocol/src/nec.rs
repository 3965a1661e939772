//! The Nostr Enclave Conventions, NEC-01 to NEC-05, and the certificates of containers and apps:
//! builders of the events, and the verifiers that turn them into proof types.
//!
//! ```text
//! AWS root ─► attestation document ─► service key ─► container key ─► app key
//!             23793 tee_root           23797 cert     23797 cert
//!               ▲ PCR8: builder 23794   ▲ PCR4: launcher 23795   ▲ PCR0,1,2: maintainers 63794
//! ```
//!
//! The older kinds of the reference (63793 with its own 63795, 63796, 63792) verify too, but only
//! together: an old signature counts in an old announcement, and nowhere else.

pub mod announcement;
pub mod approval;
pub mod builder;
pub mod certificate;
pub mod container;
mod draft;
mod error;
pub mod genesis;
pub mod image_release;
pub mod launcher;
mod policy;
pub mod release;
pub mod root;
pub mod statement;
mod tags;
mod version;

use std::fmt;
use std::str::FromStr;

use nostr::event::Event;
use serde::{Deserialize, Serialize};

pub use announcement::VerifiedInstance;
pub use approval::{PolicyApproval, PolicyChange};
pub use certificate::VerifiedChain;
pub use container::VerifiedContainer;
pub use draft::{Draft, DraftError};
pub use error::NecError;
pub use genesis::{GenesisError, VerifiedGenesis};
pub use policy::Policy;
pub use root::VerifiedRoot;
pub use statement::VerifiedStatement;
pub use version::{Version, VersionFormatError};

use crate::event::{CheckedEvent, tags_named};

/// What an instance is for: the `t` tag.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Env {
    /// For use.
    Prod,
    /// For trying.
    #[default]
    Dev,
    /// A console is attached: everybody on the host reads along.
    Debug,
}

impl Env {
    /// The tag's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Dev => "dev",
            Self::Debug => "debug",
        }
    }

    /// Reads the `t` tag of an announcement, which may have others as topics; `dev` if there is none, as
    /// NEC-02 says.
    fn among_topics(event: &Event) -> Result<Self, NecError> {
        let mut envs = tags_named(event, "t").filter_map(|tag| tag.get(1)?.parse().ok());
        match (envs.next(), envs.next()) {
            (None, _) => Ok(Self::default()),
            (Some(env), None) => Ok(env),
            (Some(_), Some(_)) => Err(NecError::event("more than one of the `t` tags prod, dev, debug")),
        }
    }

    /// Reads the only `t` tag of an attestation or a signature, which says nothing else; none if there
    /// is none.
    fn stated(event: &Event) -> Result<Option<Self>, NecError> {
        let Some(text) = tags::single(event, "t")? else { return Ok(None) };
        let unknown = |()| NecError::Event(format!("its `t` tag {text:?} is none of prod, dev, debug"));
        text.parse().map(Some).map_err(unknown)
    }
}

impl fmt::Display for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Env {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "prod" => Ok(Self::Prod),
            "dev" => Ok(Self::Dev),
            "debug" => Ok(Self::Debug),
            _ => Err(()),
        }
    }
}

/// The event that is embedded as JSON text in the one tag named `name`.
fn embedded(event: &Event, name: &'static str) -> Result<Option<CheckedEvent>, NecError> {
    let mut all = all_embedded(event, name)?;
    if all.len() > 1 {
        return Err(NecError::Event(format!("more than one `{name}` tag")));
    }
    Ok(all.pop())
}

/// The events that are embedded as JSON text in the tags named `name`.
fn all_embedded(event: &Event, name: &'static str) -> Result<Vec<CheckedEvent>, NecError> {
    tags_named(event, name)
        .map(|tag| {
            let json = tag.get(1).map(String::as_str).unwrap_or_default();
            CheckedEvent::parse(json).map_err(|e| NecError::Event(format!("in the `{name}` tag: {e}")))
        })
        .collect()
}

#[cfg(test)]
mod tests;
