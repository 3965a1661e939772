//! The secret in shares: collecting them, and dealing them anew.

use std::collections::BTreeMap;

use nostr::key::PublicKey;
use protocol::rpc::keycrux::{Body, Material, SecretData, Share, ShareBytes};
use quorum::shamir::{Part, ShamirError, combine, divide};
use quorum::{Answer, Reply, Stamp};
use zeroize::Zeroizing;

/// Shares that key stores showed, by dealing and point.
#[derive(Debug, Default)]
pub(super) struct Collected {
    shares: BTreeMap<Stamp, BTreeMap<u8, ShareBytes>>,
}

impl Collected {
    pub(super) fn add(&mut self, reply: &Reply<Body>) {
        let Answer::Promised(entry) = &reply.answer else { return };
        let Some(Material::Split { shares, .. }) = entry.body.as_ref().map(|body| &body.value.material)
        else {
            return;
        };
        for share in shares {
            self.shares.entry(share.dealing).or_default().insert(share.x, share.bytes.clone());
        }
    }

    /// The secret of the newest dealing of which enough shares are there.
    pub(super) fn secret(&self, threshold: u8) -> Option<SecretData> {
        let enough = |shares: &&BTreeMap<u8, ShareBytes>| shares.len() >= usize::from(threshold);
        let shares = self.shares.values().rev().find(enough)?;
        let part =
            |(x, bytes): (&u8, &ShareBytes)| Part { x: *x, y: Zeroizing::new(bytes.expose().to_vec()) };
        let parts: Vec<Part> = shares.iter().map(part).take(usize::from(threshold)).collect();
        let secret = combine(&parts).ok()?;
        String::from_utf8(secret.to_vec()).ok().map(SecretData::new)
    }

    /// The most shares of one dealing.
    pub(super) fn most(&self) -> usize {
        self.shares.values().map(BTreeMap::len).max().unwrap_or_default()
    }
}

/// One dealing: a share for each member.
#[derive(Debug)]
pub(super) struct Dealing {
    threshold: u8,
    dealing: Stamp,
    parts: BTreeMap<PublicKey, Part>,
}

impl Dealing {
    /// Divides the secret among the members, in their order.
    pub(super) fn new(
        secret: &SecretData,
        threshold: u8,
        members: impl IntoIterator<Item = PublicKey>,
        dealing: Stamp,
    ) -> Result<Self, ShamirError> {
        let members: Vec<PublicKey> = members.into_iter().collect();
        let count = u8::try_from(members.len()).unwrap_or(u8::MAX);
        if threshold < 2 {
            return Err(ShamirError::Threshold { threshold, parts: count });
        }
        let random = |buffer: &mut [u8]| getrandom::fill(buffer).is_ok();
        let parts = divide(secret.expose().as_bytes(), threshold, count, random)?;
        Ok(Self { threshold, dealing, parts: members.into_iter().zip(parts).collect() })
    }

    /// What the record says to all: no share.
    pub(super) const fn material(&self) -> Material {
        Material::Split { threshold: self.threshold, shares: Vec::new() }
    }

    /// What it says to one member: its own.
    pub(super) fn material_for(&self, member: &PublicKey) -> Material {
        let share = self.parts.get(member).map(|part| Share {
            dealing: self.dealing,
            x: part.x,
            bytes: ShareBytes::new(part.y.to_vec()),
        });
        Material::Split { threshold: self.threshold, shares: share.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests;
