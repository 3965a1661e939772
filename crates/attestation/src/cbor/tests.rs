use proptest::prelude::*;

use super::*;

/// Reads one item with `read` and the end after it.
fn whole<T>(bytes: &[u8], read: impl Fn(&mut Reader<'_>) -> Result<T, CborError>) -> Result<T, CborError> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn int(input: &[u8]) -> Result<i64, CborError> {
    whole(input, |reader| reader.int())
}

fn skip(input: &[u8]) -> Result<(), CborError> {
    whole(input, |reader| reader.skip())
}

/// Examples of RFC 8949, appendix A.
#[test]
fn integers_of_the_rfc_are_read_and_written() {
    for (text, value) in [
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("1903e8", 1_000),
        ("1a000f4240", 1_000_000),
        ("1b000000e8d4a51000", 1_000_000_000_000),
        ("20", -1),
        ("3863", -100),
        ("3903e7", -1_000),
        ("1b7fffffffffffffff", i64::MAX),
        ("3b7fffffffffffffff", i64::MIN),
    ] {
        assert_eq!(int(&bytes(text)), Ok(value), "{text}");
        let mut writer = Writer::new();
        writer.int(value);
        assert_eq!(hex::encode(writer.into_bytes()), text);
    }
}

#[test]
fn strings_and_simple_values_of_the_rfc_are_read_and_written() {
    let mut writer = Writer::new();
    writer.bytes(&[1, 2, 3, 4]).text("IETF").bool(true).bool(false).null().tag(18).uint(1);
    assert_eq!(hex::encode(writer.clone().into_bytes()), "44010203046449455446f5f4f6d201");
    let written = writer.into_bytes();
    let mut reader = Reader::new(&written);
    assert_eq!(reader.bytes(), Ok(&[1, 2, 3, 4][..]));
    assert_eq!(reader.text(), Ok("IETF"));
    assert_eq!((reader.bool(), reader.bool()), (Ok(true), Ok(false)));
    assert_eq!((reader.take_null(), reader.take_null()), (Ok(true), Ok(false)));
    assert_eq!((reader.take_tag(), reader.take_tag()), (Ok(Some(18)), Ok(None)));
    assert_eq!(reader.uint(), Ok(1));
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn arrays_and_maps_end_where_they_say_or_at_the_break() {
    fn pairs(reader: &mut Reader<'_>) -> Result<Vec<(u64, u64)>, CborError> {
        let mut items = reader.map()?;
        let mut all = Vec::new();
        while reader.more(&mut items)? {
            all.push((reader.uint()?, reader.uint()?));
        }
        assert_eq!(reader.more(&mut items), Ok(false), "the end is the end, however often one asks");
        Ok(all)
    }
    for text in ["a201020304", "bf01020304ff", "b90002180118020304"] {
        assert_eq!(whole(&bytes(text), pairs), Ok(vec![(1, 2), (3, 4)]), "{text}");
    }
    let mut writer = Writer::new();
    writer.array_indefinite().map_indefinite().uint(1).uint(2).end().array(1).null().map(0).end();
    assert_eq!(hex::encode(writer.into_bytes()), "9fbf0102ff81f6a0ff");
}

#[test]
fn malformed_heads_are_refused() {
    use CborError::{IndefiniteString, OutOfRange, Reserved, TooManyItems, TrailingBytes, UnexpectedEnd};
    type Row = (&'static str, fn(&mut Reader<'_>) -> Result<(), CborError>, CborError);
    let rows: [Row; 17] = [
        ("", |r| r.uint().map(drop), UnexpectedEnd { at: 0 }),
        ("19 01", |r| r.uint().map(drop), UnexpectedEnd { at: 0 }),
        ("1c", |r| r.uint().map(drop), Reserved { at: 0 }),
        ("1f", |r| r.uint().map(drop), Reserved { at: 0 }),
        ("3f", |r| r.int().map(drop), Reserved { at: 0 }),
        ("df 00", |r| r.take_tag().map(drop), Reserved { at: 0 }),
        ("00 00", |r| r.uint().map(drop), TrailingBytes { at: 1 }),
        ("1b ffffffffffffffff", |r| r.int().map(drop), OutOfRange { at: 0 }),
        ("3b ffffffffffffffff", |r| r.int().map(drop), OutOfRange { at: 0 }),
        ("1a 00010000", |r| r.uint16().map(drop), OutOfRange { at: 0 }),
        ("42 00", |r| r.bytes().map(drop), UnexpectedEnd { at: 0 }),
        ("5b ffffffffffffffff", |r| r.bytes().map(drop), UnexpectedEnd { at: 0 }),
        ("5f 41 00 ff", |r| r.bytes().map(drop), IndefiniteString { at: 0 }),
        ("7f 61 61 ff", |r| r.text().map(drop), IndefiniteString { at: 0 }),
        ("62 c328", |r| r.text().map(drop), CborError::NotUtf8 { at: 0 }),
        ("9b ffffffffffffffff", |r| r.array().map(drop), TooManyItems { at: 0 }),
        ("a2 0102 03", |r| r.map().map(drop), TooManyItems { at: 0 }),
    ];
    for (text, read, expected) in rows {
        assert_eq!(whole(&bytes(&text.replace(' ', "")), read), Err(expected), "{text}");
    }
}

#[test]
fn another_type_is_named() {
    let wrong = |expected| Err(CborError::WrongType { at: 0, expected });
    assert_eq!(whole(&[0x20], |r| r.uint()).map(drop), wrong("an unsigned integer"));
    assert_eq!(whole(&[0x40], |r| r.int()).map(drop), wrong("an integer"));
    assert_eq!(whole(&[0x60], |r| r.bytes().map(drop)), wrong("a byte string"));
    assert_eq!(whole(&[0x40], |r| r.text().map(drop)), wrong("a text string"));
    assert_eq!(whole(&[0xf6], |r| r.bool()).map(drop), wrong("true or false"));
    assert_eq!(whole(&[0xa0], |r| r.array().map(drop)), wrong("an array"));
    assert_eq!(whole(&[0x80], |r| r.map().map(drop)), wrong("a map"));
}

#[test]
fn the_position_is_that_of_the_next_item() {
    let mut reader = Reader::new(&[0x19, 0x01, 0x00, 0x42, 0x07, 0x08, 0x00]);
    for expected in [3, 6, 7] {
        assert_eq!((reader.skip(), reader.position()), (Ok(()), expected));
    }
}

#[test]
fn skipping_checks_what_it_skips() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0x00]].concat();
    let many_keys = |count: u8| {
        let mut writer = Writer::new();
        writer.map(usize::from(count));
        for key in 0..count {
            writer.uint(u64::from(key)).null();
        }
        writer.into_bytes()
    };
    for good in
        ["f97e00", "fb3ff199999999999a", "f7", "f820", "c11a514b67b0", "9fbf6161f5ff8120ff", "a2010203f4"]
    {
        assert_eq!(skip(&bytes(good)), Ok(()), "{good}");
    }
    assert_eq!(skip(&nested(usize::from(MAX_DEPTH))), Ok(()));
    assert_eq!(skip(&nested(usize::from(MAX_DEPTH) + 1)), Err(CborError::TooDeep { at: 8 }));
    assert_eq!(skip(&nested(100_000)), Err(CborError::TooDeep { at: 8 }));
    assert_eq!(skip(&many_keys(64)), Ok(()));
    assert_eq!(skip(&many_keys(65)), Err(CborError::TooManyItems { at: 0 }));
    for (bad, expected) in [
        ("ff", CborError::Reserved { at: 0 }),
        ("81ff", CborError::Reserved { at: 1 }),
        ("bf01ff", CborError::Reserved { at: 2 }),
        ("f81f", CborError::Reserved { at: 0 }),
        ("9f00", CborError::UnexpectedEnd { at: 2 }),
        ("a201020103", CborError::DuplicateKey { at: 3 }),
        ("5f4100ff", CborError::IndefiniteString { at: 0 }),
        ("a16161", CborError::UnexpectedEnd { at: 3 }),
    ] {
        assert_eq!(skip(&bytes(bad)), Err(expected), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_input_panics_and_nothing_is_read_past_the_end(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut reader = Reader::new(&input);
        while reader.skip().is_ok() {}
        prop_assert!(reader.position() <= input.len());
        let _ = (int(&input), whole(&input, |r| r.text().map(drop)), whole(&input, |r| r.map().map(drop)));
    }

    #[test]
    fn what_is_written_is_read(
        number in any::<i64>(), blob in proptest::collection::vec(any::<u8>(), 0..400), text in ".{0,40}",
    ) {
        let mut writer = Writer::new();
        writer.array(3).int(number).bytes(&blob).text(&text);
        let written = writer.into_bytes();
        prop_assert_eq!(skip(&written), Ok(()));
        let mut reader = Reader::new(&written);
        reader.array().unwrap();
        prop_assert_eq!(reader.int(), Ok(number));
        prop_assert_eq!(reader.bytes(), Ok(&blob[..]));
        prop_assert_eq!(reader.text(), Ok(&text[..]));
        prop_assert_eq!(reader.finish(), Ok(()));
    }
}
