//! What the parent writes down about a generation: a line of JSON, the ids of its objects, and the
//! SHA-256 of both, by which damage is noticed before it is believed.

use protocol::parent::backup::{Head, OBJECTS_MAX, ObjectId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const VERSION: u32 = 1;
const DIGEST_BYTES: usize = 32;
/// Longest record: its ids, and a line of about 150 bytes.
pub(crate) const RECORD_BYTES_MAX: u64 = 32 * OBJECTS_MAX as u64 + 1024;

/// A committed generation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    pub(crate) head: Head,
    /// By the parent's clock.
    pub(crate) committed_at: u64,
    /// Everything it needs, the manifest included.
    pub(crate) objects: Vec<ObjectId>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    version: u32,
    head: Head,
    committed_at: u64,
}

impl Record {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let line = Line { version: VERSION, head: self.head, committed_at: self.committed_at };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        bytes.extend(self.objects.iter().flat_map(|object| object.0));
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        Ok(bytes)
    }

    /// Says what is wrong with it, if something is.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let split = bytes.len().checked_sub(DIGEST_BYTES).ok_or("it is cut off")?;
        let (content, digest) = bytes.split_at_checked(split).ok_or("it is cut off")?;
        if Sha256::digest(content).as_slice() != digest {
            return Err("its digest is another");
        }
        let end = content.iter().position(|b| *b == b'\n').ok_or("it has no first line")?;
        let (line, ids) = content.split_at_checked(end).ok_or("it has no first line")?;
        let line: Line = serde_json::from_slice(line).map_err(|_| "its first line is not understood")?;
        if line.version != VERSION {
            return Err("a later version wrote it");
        }
        let (ids, rest) = ids.get(1..).unwrap_or_default().as_chunks::<32>();
        if !rest.is_empty() {
            return Err("its ids are cut off");
        }
        let objects = ids.iter().map(|id| ObjectId(*id)).collect();
        Ok(Self { head: line.head, committed_at: line.committed_at, objects })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        let objects = vec![ObjectId([0x0a; 32]), ObjectId([0x0b; 32])];
        Record { head: Head { generation: 7, manifest: ObjectId([0x0b; 32]) }, committed_at: 5, objects }
    }

    #[test]
    fn record_is_pinned() {
        let bytes = record().encode().unwrap();
        let line = format!(
            "{{\"version\":1,\"head\":{{\"generation\":7,\"manifest\":\"{}\"}},\"committed_at\":5}}\n",
            "0b".repeat(32)
        );
        assert!(bytes.starts_with(line.as_bytes()));
        assert_eq!(bytes.len(), line.len() + 2 * 32 + 32);
        assert_eq!(Record::decode(&bytes), Ok(record()));
    }

    #[test]
    fn every_flipped_or_missing_byte_is_noticed() {
        let bytes = record().encode().unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Record::decode(&damaged).is_err(), "{at}");
            assert!(Record::decode(&bytes[..at]).is_err(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Record::decode(&bytes).is_err());
        }
    }
}
