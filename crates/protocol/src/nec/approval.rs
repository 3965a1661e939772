//! NEC-06: maintainers' approval of another policy for what they guard.
//!
//! A release says which build may have a record. That its maintainers may be fewer from now on, or others,
//! or that an old build may come back, is said by no release: it has an event of its own, of the same kind
//! and with no register in it, so that nobody takes it for the release of a build.

use nostr::key::PublicKey;
use units::UnixSecs;

use super::{Draft, Env, NecError, tags};
use crate::event::{CheckedEvent, tags_named};
use crate::kinds::RELEASE_SIGNATURE;
use crate::tag;

/// The SHA-256 of a policy's canonical JSON (RFC 8785).
pub type PolicyDigest = [u8; 32];

/// A change of policy, for a maintainer to sign.
#[must_use]
pub fn draft(repo: &str, env: Env, change: &PolicyChange, now: UnixSecs) -> Draft {
    let (to, from) = (hex::encode(change.to), hex::encode(change.from));
    Draft::new(RELEASE_SIGNATURE, vec![tag!["r", repo], tag!["t", env], tag!["policy", to, from]], now)
}

/// Which policy takes the place of which. An approval that was used does not bring its policy back once
/// another one has taken its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PolicyChange {
    /// The policy that holds.
    pub from: PolicyDigest,
    /// The policy that takes its place.
    pub to: PolicyDigest,
}

/// An approval that was read. Whether its signer counts is for others to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PolicyApproval {
    /// The maintainer.
    pub signer: PublicKey,
    /// The repository of the code.
    pub repo: String,
    /// What the instances are for.
    pub env: Env,
    /// What is approved.
    pub change: PolicyChange,
}

impl PolicyApproval {
    /// Reads an approval, kind 63794 with a `policy` tag.
    ///
    /// # Errors
    /// [`NecError::Release`] with what is missing, doubled or malformed, or if it is a release as well.
    pub fn read(event: &CheckedEvent) -> Result<Self, NecError> {
        Self::read_strictly(event).map_err(|e| NecError::Release(e.problem()))
    }

    fn read_strictly(event: &CheckedEvent) -> Result<Self, NecError> {
        if event.kind != RELEASE_SIGNATURE {
            return Err(NecError::Event(format!("kind {} is not an approval of a policy", event.kind)));
        }
        if tags_named(event, "x").next().is_some() {
            return Err(NecError::event("an approval of a policy names no registers (`x`)"));
        }
        let repo = tags::single(event, "r")?.ok_or_else(|| NecError::event("it has no `r` tag"))?;
        let env = Env::stated(event)?.ok_or_else(|| NecError::event("it has no `t` tag"))?;
        let to = tags::single(event, "policy")?.ok_or_else(|| NecError::event("it has no `policy` tag"))?;
        let from = tags_named(event, "policy").next().and_then(|tag| tag.get(2)).map(String::as_str);
        let from =
            from.ok_or_else(|| NecError::event("its `policy` tag does not say which one it replaces"))?;
        let change = PolicyChange { from: digest(from)?, to: digest(to)? };
        Ok(Self { signer: event.pubkey, repo: repo.to_owned(), env, change })
    }
}

fn digest(text: &str) -> Result<PolicyDigest, NecError> {
    let malformed = || NecError::event("its `policy` tag has no SHA-256 in small hex digits");
    if !tags::is_sha256_hex(text) {
        return Err(malformed());
    }
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| malformed())?;
    Ok(digest)
}
