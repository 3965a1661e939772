//! Conversation keys of NIP-44, kept. Deriving one is a multiplication on the curve, the dearest step of
//! sealing; a client's requests, their answers and its notifications all use the same.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use nostr::key::{Keys, PublicKey};
use nostr::nips::nip44::v2::ConversationKey;
use zeroize::Zeroizing;

/// Conversations of one generation: what clients of a busy minute need, in less than a megabyte. Two
/// generations are kept.
const GENERATION_MAX: usize = 2_048;

/// A service key of ours, and a client.
type Pair = (PublicKey, PublicKey);
/// Wiped when it is dropped.
type Kept = Zeroizing<[u8; 32]>;

/// The keys that were used lately. Does not print them.
#[derive(Default)]
pub(super) struct Conversations(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<Pair, Kept>,
    /// What was young before; forgotten when the young are so many again.
    old: HashMap<Pair, Kept>,
}

impl Conversations {
    /// The key of a conversation.
    pub(super) fn key(&self, ours: &Keys, client: &PublicKey) -> Result<ConversationKey, String> {
        let pair = (ours.public_key(), *client);
        if let Some(known) = self.with(|all| all.get(&pair)) {
            return ConversationKey::from_slice(known.as_slice()).map_err(|e| e.to_string());
        }
        // Not under the lock: others go on meanwhile.
        let key = ConversationKey::derive(ours.secret_key(), client).map_err(|e| e.to_string())?;
        if let Ok(bytes) = key.as_bytes().try_into() {
            self.with(|all| all.insert(pair, Zeroizing::new(bytes)));
        }
        Ok(key)
    }

    /// Forgets the conversations of service keys that are no longer ours.
    pub(super) fn keep(&self, is_ours: impl Fn(&PublicKey) -> bool) {
        self.with(|all| {
            all.young.retain(|(service, _), _| is_ours(service));
            all.old.retain(|(service, _), _| is_ours(service));
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Generations) -> T) -> T {
        // Whoever panicked left whole entries.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Generations {
    fn get(&mut self, pair: &Pair) -> Option<Kept> {
        if let Some(known) = self.young.get(pair) {
            return Some(known.clone());
        }
        let known = self.old.remove(pair)?;
        self.insert(*pair, known.clone());
        Some(known)
    }

    fn insert(&mut self, pair: Pair, key: Kept) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(pair, key);
    }
}

impl fmt::Debug for Conversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversations").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
