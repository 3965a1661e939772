//! Snapshots and restores against stores that keep, lose, change and delay what they were given.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod by_age;
mod hostile;
mod round_trip;
mod store;
mod streams;

use std::path::Path;

use backup::{DiskSecret, Engine, Source};
use protocol::parent::backup::Head;
use units::UnixSecs;
use zeroize::Zeroizing;

use crate::store::MemoryStore;

const NOW: UnixSecs = UnixSecs(1_700_000_000);
const MIB: usize = 1 << 20;
const ROOM: u64 = 1 << 40;

fn engine(byte: u8) -> Engine {
    Engine::new(&DiskSecret::new(Zeroizing::new([byte; 32]))).unwrap()
}

/// Bytes that do not compress, and differ for each seed.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes.div_ceil(8)).flat_map(|_| next()).take(bytes).collect()
}

/// Snapshots and acknowledges, as the daemon does when the key stores agree.
async fn back_up(engine: &mut Engine, store: &mut MemoryStore, sources: Vec<Source>) -> Head {
    let snapshot = engine.snapshot(store, sources, NOW).await.unwrap();
    let head = snapshot.head();
    engine.acknowledge(store, snapshot).await.unwrap();
    head
}

/// Every file below `dir` with its content, and nothing else.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().display().to_string();
                found.push((name, std::fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
