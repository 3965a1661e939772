//! 1 GiB of what containers keep: logs, a database, binaries, and what does not compress at all.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, ensure};

/// Size of it all.
pub(super) const MIB: f64 = 1024.0;
const FILE_MIB: usize = 256;
const FILES: [(&str, Kind); 4] =
    [("log", Kind::Log), ("table", Kind::Table), ("code", Kind::Code), ("photos", Kind::Noise)];
/// 1 % in runs of 1 MiB.
const CHANGED_RUNS: usize = 11;
const PIECE: usize = 1 << 20;

#[derive(Clone, Copy)]
enum Kind {
    /// Lines of JSON: compresses to a tenth.
    Log,
    /// Rows of numbers that grow and of random ones: to a half.
    Table,
    /// Sequences out of a small vocabulary: to a third.
    Code,
    /// Not at all.
    Noise,
}

/// xorshift64*: the same bytes on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> Result<usize> {
        Ok(usize::try_from(self.next() % u64::try_from(bound)?)?)
    }
}

pub(super) fn make(dir: &Path) -> Result<()> {
    std::fs::create_dir(dir)?;
    for (seed, (name, kind)) in (1..).zip(FILES) {
        let mut random = Random(seed);
        let mut file = File::create(dir.join(name))?;
        for number in 0..FILE_MIB {
            let mut piece = piece(kind, &mut random, number)?;
            piece.resize(PIECE, b'\n');
            file.write_all(&piece)?;
        }
        file.sync_all()?;
    }
    Ok(())
}

fn piece(kind: Kind, random: &mut Random, number: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(PIECE + 256);
    while bytes.len() < PIECE {
        match kind {
            Kind::Log => {
                let mut line = String::new();
                let (status, took) = (200 + random.below(4)? * 100, random.below(5_000)?);
                let user = random.next() & 0xffff_ffff;
                writeln!(
                    line,
                    r#"{{"level":"info","request":{number},"user":"{user:08x}","status":{status},"took_ms":{took}}}"#
                )?;
                bytes.extend_from_slice(line.as_bytes());
            }
            Kind::Table => {
                bytes.extend_from_slice(&u64::try_from(bytes.len())?.to_be_bytes());
                bytes.extend_from_slice(&random.next().to_be_bytes());
            }
            Kind::Code => {
                let word = (random.below(512)? as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                bytes.extend_from_slice(word.to_le_bytes().get(..2 + random.below(6)?).unwrap_or_default());
            }
            Kind::Noise => bytes.extend_from_slice(&random.next().to_le_bytes()),
        }
    }
    bytes.truncate(PIECE);
    Ok(bytes)
}

/// Changes 1 % in runs of 1 MiB that begin anywhere.
pub(super) fn change(dir: &Path) -> Result<()> {
    let mut random = Random(77);
    for run in 0..CHANGED_RUNS {
        let (name, kind) = FILES[run % FILES.len()];
        let at = random.below((FILE_MIB - 1) * PIECE)?;
        let file = OpenOptions::new().write(true).open(dir.join(name))?;
        file.write_all_at(&piece(kind, &mut random, run)?, u64::try_from(at)?)?;
    }
    Ok(())
}

/// A volume of a container, as full as it gets.
pub(super) fn volume(path: &Path, mib: usize) -> Result<()> {
    let (mut random, mut file) = (Random(9), File::create(path)?);
    for number in 0..mib {
        file.write_all(&piece(Kind::Table, &mut random, number)?)?;
    }
    Ok(file.sync_all()?)
}

/// Fails unless both folders hold the same.
pub(super) fn same(a: &Path, b: &Path) -> Result<()> {
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    for (name, _) in FILES {
        let (mut a, mut b) = (File::open(a.join(name))?, File::open(b.join(name))?);
        ensure!(a.metadata()?.len() == b.metadata()?.len(), "{name} has another size");
        for _ in 0..FILE_MIB {
            a.read_exact(&mut left)?;
            b.read_exact(&mut right)?;
            ensure!(left == right, "{name} differs");
        }
    }
    Ok(())
}

/// The files' names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}
