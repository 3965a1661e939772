//! Sealing and opening of one object: zstd (RFC 8878) inside age (age-encryption.org/v1).

use std::fmt;
use std::io::{self, Read, Write};

use age::{Decryptor, Encryptor, Identity, Recipient};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};
use zstd::bulk::{Compressor, Decompressor};

use crate::secret::{Keys, SourceNaming};
use crate::source::Packing;

/// zstd's own default: what `zstd` on a command line does.
const LEVEL: i32 = 3;
/// First bytes of a zstd frame (RFC 8878, 3.1.1).
const FRAME_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// One segment, its size in four bytes, no checksum: age has a better one.
const FRAME_DESCRIPTOR: u8 = 0b1010_0000;
/// Most bytes of a block (RFC 8878, 3.1.1.2).
const BLOCK_BYTES_MAX: usize = 128 * 1024;

/// What a chunk's content is known by inside manifests: BLAKE3 of the plain bytes, under a key of its
/// source, so that even a leaked manifest confirms no guess of a content.
///
/// The key is the source's own because equal names are stored once. Were it everybody's, whoever writes a
/// guess into a volume and sees at the parent that nothing was sent for it would know that another has it.
#[derive(Clone, Copy, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct ChunkName(#[serde(with = "hex::serde")] pub(crate) [u8; 32]);

impl fmt::Debug for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkName({}…)", hex::encode(self.0.get(..4).unwrap_or_default()))
    }
}

impl ChunkName {
    pub(crate) fn of(naming: &SourceNaming, plain: &[u8]) -> Self {
        Self(blake3::keyed_hash(naming.key(), plain).into())
    }
}

/// Seals one object after the other, with the same memory.
pub(crate) struct Sealer<'k> {
    keys: &'k Keys,
    compressor: Compressor<'static>,
    packed: Zeroizing<Vec<u8>>,
}

impl<'k> Sealer<'k> {
    pub(crate) fn new(keys: &'k Keys) -> io::Result<Self> {
        Ok(Self { keys, compressor: Compressor::new(LEVEL)?, packed: Zeroizing::new(Vec::new()) })
    }

    pub(crate) fn seal(&mut self, plain: &[u8], packing: Packing) -> io::Result<Vec<u8>> {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        match packing {
            Packing::Compressed => drop(self.compressor.compress_to_buffer(plain, &mut *self.packed)?),
            Packing::FullLength => write_raw_frame(plain, &mut self.packed)?,
        }
        let recipient: &dyn Recipient = self.keys.recipient();
        let encryptor = Encryptor::with_recipients(std::iter::once(recipient)).map_err(io::Error::other)?;
        // A tag of 16 bytes per 64 KiB, and a header of about 200.
        let sealed = Vec::with_capacity(self.packed.len() + self.packed.len() / 4096 + 512);
        let mut writer = encryptor.wrap_output(sealed)?;
        writer.write_all(&self.packed)?;
        writer.finish()
    }
}

/// Writes a zstd frame of raw blocks: as long as its content and a few bytes, whatever the content is.
fn write_raw_frame(plain: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
    let too_long = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    frame.extend_from_slice(&FRAME_MAGIC);
    frame.push(FRAME_DESCRIPTOR);
    frame.extend_from_slice(&u32::try_from(plain.len()).map_err(too_long)?.to_le_bytes());
    let mut blocks = plain.chunks(BLOCK_BYTES_MAX).peekable();
    if blocks.peek().is_none() {
        frame.extend_from_slice(&[1, 0, 0]);
    }
    while let Some(block) = blocks.next() {
        let is_last = u32::from(blocks.peek().is_none());
        // Type 0, raw, in the two bits between.
        let header = u32::try_from(block.len()).map_err(too_long)? << 3 | is_last;
        frame.extend(header.to_le_bytes().iter().take(3));
        frame.extend_from_slice(block);
    }
    Ok(())
}

/// Why sealed bytes were not opened.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    #[error("it was not sealed for this instance, or is damaged")]
    Sealed,
    #[error("its content is not the compressed content of at most {max} bytes that is expected")]
    Packed { max: usize },
}

/// Opens one object after the other, with the same memory.
pub(crate) struct Opener<'k> {
    keys: &'k Keys,
    decompressor: Decompressor<'static>,
    packed: Zeroizing<Vec<u8>>,
}

impl<'k> Opener<'k> {
    pub(crate) fn new(keys: &'k Keys) -> io::Result<Self> {
        Ok(Self { keys, decompressor: Decompressor::new()?, packed: Zeroizing::new(Vec::new()) })
    }

    /// Opens into `plain`, which has at most `max` bytes afterwards, whatever is in `sealed`.
    pub(crate) fn open(&mut self, sealed: &[u8], max: usize, plain: &mut Vec<u8>) -> Result<(), OpenError> {
        let decryptor = Decryptor::new_buffered(sealed).map_err(|_| OpenError::Sealed)?;
        let identity: &dyn Identity = self.keys.identity();
        let reader = decryptor.decrypt(std::iter::once(identity)).map_err(|_| OpenError::Sealed)?;
        self.packed.clear();
        self.packed.reserve(sealed.len());
        let packed_max = zstd::zstd_safe::compress_bound(max);
        let limit = u64::try_from(packed_max).unwrap_or(u64::MAX).saturating_add(1);
        reader.take(limit).read_to_end(&mut self.packed).map_err(|_| OpenError::Sealed)?;
        if self.packed.len() > packed_max {
            return Err(OpenError::Packed { max });
        }
        plain.zeroize();
        plain.reserve(max);
        // Nothing more than the capacity is ever written.
        let opened = self.decompressor.decompress_to_buffer(&self.packed, plain);
        match opened {
            Ok(_) if plain.len() <= max => Ok(()),
            Ok(_) | Err(_) => Err(OpenError::Packed { max }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::DiskSecret;
    use crate::source::Packing::{Compressed, FullLength};
    use crate::source::SourceName;

    fn keys(byte: u8) -> Keys {
        Keys::derive(&DiskSecret::new(Zeroizing::new([byte; 32]))).unwrap()
    }

    fn open(keys: &Keys, sealed: &[u8], max: usize) -> Result<Vec<u8>, OpenError> {
        let mut plain = Vec::new();
        Opener::new(keys).unwrap().open(sealed, max, &mut plain).map(|()| plain)
    }

    /// age around anything, by somebody who knows the recipient: a fault of ours, or a later format.
    fn sealed_raw(keys: &Keys, packed: &[u8]) -> Vec<u8> {
        let recipient: &dyn Recipient = keys.recipient();
        let encryptor = Encryptor::with_recipients(std::iter::once(recipient)).unwrap();
        let mut writer = encryptor.wrap_output(Vec::new()).unwrap();
        writer.write_all(packed).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn same_content_is_never_sealed_alike_and_only_its_owner_opens_it() {
        let keys = keys(1);
        let mut sealer = Sealer::new(&keys).unwrap();
        let (a, b) =
            (sealer.seal(b"content", Compressed).unwrap(), sealer.seal(b"content", Compressed).unwrap());
        assert_ne!(a, b);
        assert_eq!(open(&keys, &a, 7).unwrap(), b"content");
        assert_eq!(open(&keys, &b, 1000).unwrap(), b"content");
        assert!(matches!(open(&super::tests::keys(2), &a, 7), Err(OpenError::Sealed)));
    }

    /// As that of the key it is named with, the value was made outside of this program.
    #[test]
    fn name_of_a_chunk_is_pinned_and_its_sources_own() {
        let name = |source: &str| {
            let source = SourceName::try_from(source.to_owned()).unwrap();
            ChunkName::of(&keys(7).naming(&source), b"content")
        };
        let expected = "183526c0830db5d29f7d67470883f2365251be97b28737ec8280393347d062fc";
        assert_eq!(hex::encode(name("volumes/a").0), expected);
        assert_ne!(name("volumes/a"), name("volumes/b"));
    }

    #[test]
    fn length_of_what_mixes_owners_tells_nothing_of_its_content() {
        let keys = keys(1);
        let mut sealer = Sealer::new(&keys).unwrap();
        let noise: Vec<u8> =
            (0..40_000u32).flat_map(|i| *blake3::hash(&i.to_le_bytes()).as_bytes()).collect();
        for bytes in [0, 1, BLOCK_BYTES_MAX - 1, BLOCK_BYTES_MAX, BLOCK_BYTES_MAX + 1, 1 << 20] {
            let (same, noise) = (vec![b'a'; bytes], noise[..bytes].to_vec());
            // age puts a stanza of random length before it, which is nobody's content.
            let frames = [&same, &noise].map(|plain| {
                let mut frame = Vec::new();
                write_raw_frame(plain, &mut frame).unwrap();
                frame.len()
            });
            assert_eq!(frames[0], frames[1], "{bytes}");
            let sealed = [&same, &noise].map(|plain| sealer.seal(plain, FullLength).unwrap());
            assert!(sealed.iter().all(|sealed| sealed.len() > bytes), "{bytes}");
            assert_eq!(open(&keys, &sealed[0], bytes).unwrap(), same, "{bytes}");
            assert_eq!(open(&keys, &sealed[1], bytes).unwrap(), noise, "{bytes}");
            if bytes > 1000 {
                assert!(sealer.seal(&same, Compressed).unwrap().len() < sealed[0].len() / 2, "{bytes}");
            }
        }
    }

    #[test]
    fn content_above_its_bound_is_not_unpacked() {
        let keys = keys(1);
        let mut sealer = Sealer::new(&keys).unwrap();
        // 64 MiB of zeros pack into a few kilobytes.
        let bomb = sealer.seal(&vec![0; 64 << 20], Compressed).unwrap();
        assert!(bomb.len() < 64 << 10);
        let mut plain = Vec::new();
        let refused = Opener::new(&keys).unwrap().open(&bomb, 1 << 20, &mut plain);
        assert!(matches!(refused, Err(OpenError::Packed { max: 1_048_576 })));
        assert!(plain.capacity() <= 2 << 20);
        let unpacked = sealed_raw(&keys, &vec![7; 8 << 20]);
        assert!(matches!(open(&keys, &unpacked, 1 << 20), Err(OpenError::Packed { .. })));
        assert!(matches!(
            open(&keys, &sealed_raw(&keys, b"no zstd"), 1 << 20),
            Err(OpenError::Packed { .. })
        ));
    }

    #[test]
    fn every_cut_and_every_flip_is_noticed() {
        let keys = keys(1);
        let sealed = Sealer::new(&keys).unwrap().seal(&[9; 5000], Compressed).unwrap();
        for at in 0..sealed.len() {
            assert!(open(&keys, &sealed[..at], 5000).is_err(), "cut at {at}");
            let mut flipped = sealed.clone();
            flipped[at] ^= 0x10;
            assert!(open(&keys, &flipped, 5000).is_err(), "flipped at {at}");
        }
    }

    proptest! {
        #[test]
        fn contents_round_trip(content in proptest::collection::vec(any::<u8>(), 0..20_000)) {
            let keys = keys(3);
            for packing in [Compressed, FullLength] {
                let sealed = Sealer::new(&keys).unwrap().seal(&content, packing).unwrap();
                prop_assert_eq!(&open(&keys, &sealed, content.len()).unwrap(), &content);
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            prop_assert!(open(&keys(3), &bytes, 1000).is_err());
        }
    }
}
