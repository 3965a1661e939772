//! The Merkle tree of RFC 9162 (section 2.1) with SHA-256, over ids of events.
//!
//! An attestation document carries the tree's *head*: a hash of our label, the number of leaves and the
//! root, so that no other use of `user_data`, and no tree of another size, can be taken for it.

use std::fmt;

use nostr::event::EventId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Begins the text that a head is the hash of.
const LABEL: &[u8] = b"enclaved/statements/v1\0";
/// RFC 9162: before a leaf's data, and before two nodes.
const LEAF: u8 = 0;
const NODE: u8 = 1;

/// 32 bytes; hex in JSON.
#[derive(Clone, Copy, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Hash(#[serde(with = "hash_hex")] pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl Hash {
    /// The SHA-256 of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// Small hex digits only: two spellings of one hash would be two statements.
mod hash_hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        let read = hex::decode_to_slice(&text, &mut bytes).is_ok();
        let is_small = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        if read && is_small { Ok(bytes) } else { Err(D::Error::custom("64 small hex digits are wanted")) }
    }
}

/// The way from a leaf to the root.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// The leaf's number, from zero.
    pub index: u64,
    /// How many leaves the tree has.
    pub size: u64,
    /// The nodes beside the way, from the leaf up.
    pub siblings: Vec<Hash>,
}

/// A tree, and the ways in it.
#[derive(Clone, Debug)]
pub struct Tree {
    /// From the leaves up; the last has one node.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree over these leaves; none if there are no leaves.
    #[must_use]
    pub fn new(ids: &[EventId]) -> Option<Self> {
        let mut level: Vec<_> = ids.iter().map(leaf).collect();
        if level.is_empty() {
            return None;
        }
        let mut levels = Vec::new();
        while level.len() > 1 {
            let above = level.chunks(2).map(|pair| match pair {
                [left, right] => node(left, right),
                // Without a neighbour it goes up as it is.
                [alone, ..] => *alone,
                [] => Hash([0; 32]),
            });
            let above = above.collect();
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.push(level);
        Some(Self { levels })
    }

    /// What the attestation document carries.
    #[must_use]
    pub fn head(&self) -> Hash {
        let root = self.levels.last().and_then(|top| top.first()).copied().unwrap_or(Hash([0; 32]));
        head_of(self.size(), &root)
    }

    /// The way from leaf number `index`; none if there is no such leaf.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<Path> {
        let mut at = index;
        let mut siblings = Vec::new();
        for level in &self.levels {
            level.get(at)?;
            siblings.extend(level.get(at ^ 1).filter(|_| level.len() > 1).copied());
            at /= 2;
        }
        Some(Path { index: u64::try_from(index).ok()?, size: self.size(), siblings })
    }

    fn size(&self) -> u64 {
        self.levels.first().and_then(|leaves| u64::try_from(leaves.len()).ok()).unwrap_or(0)
    }
}

impl Path {
    /// The head of the tree in which this way leads up from the leaf of `id` (RFC 9162, 2.1.3.2); none if
    /// there is no such tree.
    #[must_use]
    pub fn head(&self, id: &EventId) -> Option<Hash> {
        if self.index >= self.size {
            return None;
        }
        let (mut at, mut last) = (self.index, self.size - 1);
        let mut hash = leaf(id);
        for sibling in &self.siblings {
            if last == 0 {
                return None;
            }
            if at % 2 == 1 || at == last {
                hash = node(sibling, &hash);
                while at.is_multiple_of(2) && at != 0 {
                    at /= 2;
                    last /= 2;
                }
            } else {
                hash = node(&hash, sibling);
            }
            at /= 2;
            last /= 2;
        }
        (last == 0).then(|| head_of(self.size, &hash))
    }
}

fn leaf(id: &EventId) -> Hash {
    hash(&[&[LEAF], id.as_bytes()])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[NODE], &left.0, &right.0])
}

fn head_of(size: u64, root: &Hash) -> Hash {
    hash(&[LABEL, &size.to_be_bytes(), &root.0])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Hash(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(count: u8) -> Vec<EventId> {
        (0..count).map(|n| EventId::from_byte_array([n; 32])).collect()
    }

    /// The tree as RFC 9162 defines it, by recursion.
    fn defined(ids: &[EventId]) -> Hash {
        match ids {
            [id] => leaf(id),
            _ => {
                let split = ids.len().next_power_of_two() / 2;
                node(&defined(&ids[..split]), &defined(&ids[split..]))
            }
        }
    }

    #[test]
    fn tree_is_the_one_of_the_rfc() {
        for count in 1..=40 {
            let ids = ids(count);
            assert_eq!(Tree::new(&ids).unwrap().head(), head_of(u64::from(count), &defined(&ids)), "{count}");
        }
        assert!(Tree::new(&[]).is_none());
    }

    #[test]
    fn head_of_three_is_pinned() {
        let head = Tree::new(&ids(3)).unwrap().head();
        assert_eq!(head.to_string(), "360af7644682b14e1578268610c2fe1e2ad29b74a1a58175ca9a1402a283ac77");
    }

    proptest! {
        #[test]
        fn every_path_leads_to_the_head_and_no_changed_one_does(
            count in 1_u8..=70, index in 0_u8..70, flip in 0_usize..7, bit in 0_usize..256
        ) {
            let ids = ids(count);
            let tree = Tree::new(&ids).unwrap();
            let Some(path) = tree.path(usize::from(index)) else {
                prop_assert!(index >= count);
                return Ok(());
            };
            let id = &ids[usize::from(index)];
            prop_assert_eq!(path.head(id), Some(tree.head()));
            for other in ids.iter().filter(|other| *other != id) {
                prop_assert_ne!(path.head(other), Some(tree.head()));
            }
            let mut spoilt = path.clone();
            if let Some(sibling) = spoilt.siblings.get_mut(flip) {
                sibling.0[bit / 8] ^= 1 << (bit % 8);
                prop_assert_ne!(spoilt.head(id), Some(tree.head()));
            }
            let longer = Path { siblings: [path.siblings.clone(), vec![Hash([9; 32])]].concat(), ..path.clone() };
            prop_assert_eq!(longer.head(id), None);
            if let Some((_, shorter)) = path.siblings.split_last() {
                prop_assert_ne!(Path { siblings: shorter.to_vec(), ..path.clone() }.head(id), Some(tree.head()));
            }
            for size in [path.size + 1, path.size - 1, path.size * 2] {
                prop_assert_ne!(Path { size, ..path.clone() }.head(id), Some(tree.head()));
            }
        }
    }
}
