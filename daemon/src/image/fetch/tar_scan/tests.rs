use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::image::limits::ImageLimits;

const ROOM: u64 = 1_000_000;

/// A header block with every field as given.
fn block(kind: u8, name: &str, size: u64) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkflag = [kind];
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A header with its content, padded.
fn entry(kind: u8, name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = block(kind, name, content.len() as u64);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() != length {
        length += 1;
    }
    format!("{length}{rest}")
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
    entry(b'x', "PaxHeaders/x", text.as_bytes())
}

fn end() -> Vec<u8> {
    vec![0; 1_024]
}

/// The outcome in one word, with what is left of the budget.
fn scan_in_pieces(stream: &[u8], piece_bytes: usize, room: u64, entries: u64) -> Result<Budget, String> {
    let limits = ImageLimits { entries, ..ImageLimits::for_unpacked_bytes(room) };
    let mut budget = Budget::new(&limits);
    let mut scanner = TarScanner::new();
    let outcome = stream.chunks(piece_bytes).try_for_each(|piece| {
        budget.take_bytes(piece.len() as u64)?;
        scanner.feed(piece, &mut budget)
    });
    match outcome.and_then(|()| scanner.finish()) {
        Ok(()) => Ok(budget),
        Err(ScanError::Invalid(problem)) => Err(problem.to_owned()),
        Err(ScanError::Budget(error)) => Err(error.code().to_owned()),
    }
}

fn scan(parts: &[Vec<u8>]) -> Result<(), String> {
    let stream = parts.concat();
    let whole = scan_in_pieces(&stream, stream.len().max(1), ROOM, 100).map(|_| ());
    for piece_bytes in [1, 7, 512, 513] {
        let pieces = scan_in_pieces(&stream, piece_bytes, ROOM, 100).map(|_| ());
        assert_eq!(pieces, whole, "in pieces of {piece_bytes}");
    }
    whole
}

fn accepted(parts: &[Vec<u8>]) {
    assert_eq!(scan(parts), Ok(()));
}

fn refused(parts: &[Vec<u8>], problem: &str) {
    let error = scan(parts).expect_err(problem);
    assert!(error.contains(problem), "{error:?} is not about {problem:?}");
}

#[test]
fn streams_of_real_writers_are_accepted() {
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(5);
    builder.append_data(&mut header, "a".repeat(300), &b"hello"[..]).unwrap();
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "link", "t".repeat(300)).unwrap();
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Directory);
    header.set_size(0);
    builder.append_data(&mut header, "dir/", &b""[..]).unwrap();
    accepted(&[builder.into_inner().unwrap()]);
}

#[test]
fn plain_structures_are_accepted() {
    accepted(&[]);
    accepted(&[end()]);
    accepted(&[end(), vec![0; 9_216]]);
    accepted(&[entry(b'0', "a", b"x")]);
    accepted(&[entry(b'0', "a", b"x"), vec![0; 512]]);
    accepted(&[entry(0, "a", b"x"), block(b'5', "d/", 0), block(0, "old/", 0), end()]);
    for kind in b'1'..=b'6' {
        accepted(&[block(kind, "a", 0), end()]);
    }
    accepted(&[pax(&[("path", "ä=b"), ("mtime", "1.5")]), entry(b'0', "a", &[1; 512]), end()]);
    accepted(&[entry(b'g', "g", record("comment", "c").as_bytes()), entry(b'0', "a", b""), end()]);
    accepted(&[entry(b'L', "L", b"long\0"), entry(b'K', "K", b"link\0"), block(b'2', "a", 0), end()]);
    accepted(&[entry(b'L', "L", b"long\0"), pax(&[]), entry(b'0', "a", b"x"), end()]);
}

#[test]
fn size_in_records_replaces_the_one_in_the_header() {
    let mut file = block(b'0', "big", 0);
    file.extend_from_slice(&[1; 1_024]);
    accepted(&[pax(&[("size", "1024")]), file.clone(), entry(b'0', "a", b"x"), end()]);
    refused(&[file, end()], "checksum");
}

#[test]
fn number_in_base_256_is_read() {
    let mut header = Header::new_gnu();
    header.as_old_mut().linkflag = [b'0'];
    header.as_old_mut().name[0] = b'a';
    header.as_old_mut().size = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0];
    header.set_cksum();
    let head = header.as_bytes().to_vec();
    accepted(&[head.clone(), vec![7; 512], end()]);
    refused(&[head], "ends early");
    for bad in [[0xff; 12], [0x81; 12], [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], [b'8'; 12], [b'-'; 12]] {
        header.as_old_mut().size = bad;
        header.set_cksum();
        refused(&[header.as_bytes().to_vec(), end()], "no valid size");
    }
}

#[test]
fn broken_structures_are_refused() {
    let mut flipped = entry(b'0', "a", b"x");
    flipped[0] = b'b';
    refused(&[flipped], "checksum");
    refused(&[vec![b'x'; 512]], "checksum");
    refused(&[b"hello".to_vec()], "ends early");
    refused(&[block(b'0', "a", 513), vec![1; 512]], "ends early");
    refused(&[block(b'0', "a", 1)], "ends early");
    refused(&[pax(&[("path", "x")])], "ends early");
    refused(&[pax(&[("path", "x")]), end()], "after the name");
    refused(&[entry(b'L', "L", b"x"), end()], "after the name");
    refused(&[vec![0; 512], entry(b'0', "a", b"x")], "follows its end");
    refused(&[end(), entry(b'0', "a", b"x")], "follows its end");
    refused(&[end(), vec![0; 1_000], vec![1]], "follows its end");
    for kind in [b'7', b'8', b'A', b'D', b'M', b'N', b'V', b'X', 0xff] {
        refused(&[block(kind, "a", 0)], "unknown type");
    }
}

#[test]
fn places_where_readers_part_ways_are_refused() {
    let file = entry(b'0', "a", b"x");
    // Some skip the content of these, some take it for the next header.
    for kind in b'1'..=b'6' {
        refused(&[block(kind, "a", 512), vec![0; 512]], "with content");
        refused(&[pax(&[("size", "512")]), block(kind, "a", 0), vec![0; 512]], "with content");
        refused(&[pax(&[("GNU.sparse.realsize", "512")]), block(kind, "a", 0)], "with content");
    }
    refused(&[entry(0, "d/", b"x")], "with content");
    refused(&[entry(0, "", b"x")], "with content");
    refused(&[pax(&[("path", "d/")]), entry(0, "a", b"x")], "with content");
    refused(&[entry(b'L', "L", b"d/\0x"), entry(0, "a", b"x")], "with content");
    refused(&[pax(&[("path", "")]), entry(0, "d/", b"x")], "with content");
    refused(&[entry(b'L', "L", b""), entry(0, "d/", b"x")], "with content");
    refused(&[pax(&[("path", "a")]), entry(b'L', "L", b"d/"), entry(0, "a", b"x")], "two names");
    accepted(&[pax(&[("path", "a")]), entry(0, "d/", b"x")]);
    accepted(&[entry(b'L', "L", b"a"), entry(0, "d/", b"x")]);
    accepted(&[pax(&[("path", "d/")]), entry(b'0', "a", b"x")]);
    // Some merge two sets of records, some take the last.
    refused(&[pax(&[("size", "1")]), pax(&[]), file.clone()], "two sets");
    refused(&[pax(&[]), entry(b'g', "g", b""), file.clone()], "amid an entry");
    for records in [
        &[("size", "1"), ("size", "2")][..],
        &[("size", "")],
        &[("size", "-1")],
        &[("size", "+1")],
        &[("size", "0x1")],
        &[("size", " 1")],
        &[("size", "9223372036854775808")],
        &[("GNU.sparse.realsize", "1"), ("GNU.sparse.size", "2")],
        &[("", "x")],
        &[("a\0", "x")],
    ] {
        refused(&[pax(records), file.clone()], "invalid POSIX records");
    }
    for text in [
        "",
        "x",
        "5",
        "9 a=b\n",
        "7 a=b\n",
        "6 a=b\n ",
        "6 a=bX",
        "5 ab\n",
        "-6 a=b\n",
        "99999999999999999999 a=b\n",
    ] {
        let valid = text.is_empty();
        let outcome = scan(&[entry(b'x', "x", text.as_bytes()), file.clone()]);
        assert_eq!(outcome.is_ok(), valid, "{text:?}: {outcome:?}");
    }
    refused(&[block(b'S', "a", 0)], "sparse");
}

#[test]
fn names_that_look_compressed_are_refused() {
    for magic in [
        &b"\x1f\x8b\x08"[..],
        b"BZh9",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"\x50\x2a\x4d\x18",
        b"\x5f\x2a\x4d\x18",
    ] {
        let mut bytes = block(b'0', "", 0);
        bytes[..magic.len()].copy_from_slice(magic);
        let mut header = Header::from_byte_slice(&bytes).clone();
        header.set_cksum();
        refused(&[header.as_bytes().to_vec()], "compressed in another way");
        accepted(&[entry(b'0', "first", b""), header.as_bytes().to_vec()]);
    }
}

#[test]
fn declared_sizes_count_before_the_content_comes() {
    refused(&[block(b'0', "a", ROOM)], "image_unpacks_too_large");
    refused(&[pax(&[("size", "9223372036854775807")]), block(b'0', "a", 0)], "image_unpacks_too_large");
    let long = block(b'x', "x", (1 << 20) + 1);
    assert_eq!(scan_in_pieces(&long, 512, 1 << 30, 9).unwrap_err(), "it has a name of over 1 MiB");
}

#[test]
fn holes_of_sparse_files_count_as_written() {
    let sparse =
        |key, size| [pax(&[("GNU.sparse.major", "1"), (key, size)]), entry(b'0', "a", b"x"), end()].concat();
    for key in ["GNU.sparse.realsize", "GNU.sparse.size"] {
        let left = scan_in_pieces(&sparse(key, "500000"), 512, ROOM, 9).unwrap();
        let streamed = sparse(key, "500000").len() as u64;
        let expected = ROOM - streamed - (500_000 - 1);
        assert!(left.expect_bytes(expected).is_ok() && left.expect_bytes(expected + 1).is_err());
        refused(&[sparse(key, "1000000000000")], "image_unpacks_too_large");
    }
}

#[test]
fn entries_are_counted() {
    let stream = [entry(b'0', "a", b""), pax(&[]), entry(b'0', "b", b""), end()].concat();
    assert!(scan_in_pieces(&stream, 512, ROOM, 3).is_ok());
    assert_eq!(scan_in_pieces(&stream, 512, ROOM, 2).unwrap_err(), "image_unpacks_too_large");
}

proptest! {
    #[test]
    fn any_bytes_are_judged_alike_in_any_pieces(
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        piece in 1_usize..700,
    ) {
        let whole = scan_in_pieces(&bytes, 4_096, ROOM, 50).map(|_| ());
        prop_assert_eq!(scan_in_pieces(&bytes, piece, ROOM, 50).map(|_| ()), whole);
    }

    #[test]
    fn damaged_streams_do_not_panic(at in 0_usize..4_096, byte in any::<u8>(), piece in 1_usize..700) {
        let mut stream = [
            pax(&[("size", "3"), ("path", "p")]), entry(b'0', "a", b"xyz"), entry(b'L', "L", b"name"),
            entry(b'0', "b", &[9; 700]), end(),
        ].concat();
        let at = at % stream.len();
        stream[at] = byte;
        let whole = scan_in_pieces(&stream, 1 << 20, ROOM, 50).map(|_| ());
        prop_assert_eq!(scan_in_pieces(&stream, piece, ROOM, 50).map(|_| ()), whole);
    }
}
