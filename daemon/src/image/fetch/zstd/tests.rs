use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    ZstdReader::new(bytes).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

fn packed(content: &[u8]) -> Vec<u8> {
    compress_to_vec(content, CompressionLevel::Fastest)
}

/// A frame header with the given descriptor and what follows it, and one empty last block.
fn frame(descriptor: u8, rest: &[u8]) -> Vec<u8> {
    [&FRAME_MAGIC.to_le_bytes()[..], &[descriptor], rest, &[1, 0, 0]].concat()
}

#[test]
fn frames_one_after_another_are_joined() {
    let long: Vec<u8> = (0..400_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
    let stream =
        [&skippable[..], &packed(&long), &packed(b""), &skippable, &packed(b"end"), &skippable].concat();
    assert_eq!(unpack(&stream).unwrap(), [&long[..], b"end"].concat());
    assert_eq!(unpack(b"").unwrap(), b"");
}

#[test]
fn damaged_streams_are_errors() {
    let good = packed(b"hello hello hello hello");
    for bad in [&good[..good.len() - 1], &good[..6], &good[..3], &[&good[..], b"x"].concat(), b"junkjunk"] {
        assert!(unpack(bad).is_err(), "{bad:x?}");
    }
    assert!(unpack(&[0x5f, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, 1]).is_err(), "a skippable frame that ends early");
}

#[test]
fn window_is_bounded_before_memory_is_taken() {
    // Not a single segment: the next byte is the window, exponent and mantissa.
    for (window, accepted) in
        [(0, true), (15 << 3, true), (15 << 3 | 1, false), (16 << 3, false), (0xff, false)]
    {
        assert_eq!(unpack(&frame(0, &[window])).is_ok(), accepted, "{window:#x}");
    }
    // A single segment: the content is the window.
    let eight = |size: u64| frame(0b1110_0000, &size.to_le_bytes());
    for (size, accepted) in
        [(0, true), (WINDOW_BYTES_MAX, true), (WINDOW_BYTES_MAX + 1, false), (u64::MAX, false)]
    {
        let refused = unpack(&eight(size)).err().is_some_and(|error| error.to_string().contains("window"));
        assert_eq!(refused, !accepted, "{size}");
    }
}

#[test]
fn dictionaries_are_refused() {
    let error = unpack(&frame(0b10_0001, &[7, 0])).unwrap_err();
    assert!(error.to_string().contains("dictionary"), "{error}");
}

#[test]
fn output_comes_before_all_input_is_read() {
    // A bomb of run-length blocks: four bytes for 128 KiB each.
    let mut bomb = [&FRAME_MAGIC.to_le_bytes()[..], &[0, 7 << 3]].concat();
    let block_header = (128_u32 << 10) << 3 | 1 << 1;
    for _ in 0..1_000 {
        bomb.extend_from_slice(&block_header.to_le_bytes()[..3]);
        bomb.push(0);
    }
    let mut input = &bomb[..];
    let mut piece = vec![1; 64 << 10];
    let mut reader = ZstdReader::new(&mut input);
    assert!(reader.read(&mut piece).unwrap() > 0);
    drop(reader);
    assert!(input.len() > 3_900, "{} of {} bytes are unread", input.len(), bomb.len());
}
