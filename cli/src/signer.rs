//! Whose key signs: one of this machine, or one that a remote signer holds (NIP-46).

mod bunker;
mod message;
mod uri;

use nostr::event::Kind;
use nostr::key::{Keys, PublicKey};
use protocol::event::CheckedEvent;
use protocol::nec::Draft;

use crate::context::Context;
use crate::error::Failure;
use crate::secrets::{self, KeyRef};
use bunker::Bunker;

/// Signs events of people.
#[derive(Debug)]
pub(crate) enum Signer {
    /// With a key of this machine.
    Local(Keys),
    /// Elsewhere.
    Bunker(Box<Bunker>),
}

impl Signer {
    /// The user's signer, for events of this kind.
    ///
    /// # Errors
    /// `key_missing`, why the key cannot be read, or why the remote signer does not serve us.
    pub(crate) async fn connect(ctx: &Context, kind: Kind) -> Result<Self, Failure> {
        let key = ctx.key()?;
        let KeyRef::Bunker(place) = key else { return key.keys().map(Self::Local) };
        let uri = secrets::read("--key", place)?.expose().parse().map_err(|e: uri::BunkerUriError| {
            Failure::usage("bunker_invalid", format!("what --key names cannot be used: {e}"))
        })?;
        Bunker::connect(ctx, &uri, kind).await.map(|bunker| Self::Bunker(Box::new(bunker)))
    }

    /// Whose signature it gives.
    pub(crate) fn public_key(&self) -> PublicKey {
        match self {
            Self::Local(keys) => keys.public_key(),
            Self::Bunker(bunker) => bunker.public_key(),
        }
    }

    /// Signs, or has signed.
    ///
    /// # Errors
    /// Why the remote signer does not, or `bad_reply` if it signed something else.
    pub(crate) async fn sign(&mut self, ctx: &Context, draft: Draft) -> Result<CheckedEvent, Failure> {
        match self {
            Self::Local(keys) => {
                draft.sign(keys).map_err(|e| Failure::refused("request_unsealed", e.to_string()))
            }
            Self::Bunker(bunker) => bunker.sign(ctx, &draft).await,
        }
    }
}
