use super::*;
use crate::cbor::Writer;

/// Writes the nine fields in the order of real documents; `change` may write one of them otherwise, or
/// not at all, and says so.
fn payload(change: impl Fn(&str, &mut Writer) -> bool) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map_indefinite();
    for name in FIELDS {
        if !change(name, &mut writer) {
            write_field(name, &mut writer);
        }
    }
    change("", &mut writer);
    writer.end();
    writer.into_bytes()
}

const FIELDS: [&str; 9] = [
    "module_id",
    "digest",
    "timestamp",
    "pcrs",
    "certificate",
    "cabundle",
    "public_key",
    "user_data",
    "nonce",
];

fn write_field(name: &str, writer: &mut Writer) {
    writer.text(name);
    match name {
        "module_id" => writer.text("i-0123-enc4567"),
        "digest" => writer.text("SHA384"),
        "timestamp" => writer.uint(1_700_000_000_123),
        "pcrs" => write_pcrs(writer, &[(0, 48), (1, 48), (2, 48)]),
        "certificate" => writer.bytes(b"leaf"),
        "cabundle" => writer.array(2).bytes(b"root").bytes(b"middle"),
        _ => writer.null(),
    };
}

fn write_pcrs<'w>(writer: &'w mut Writer, pcrs: &[(u64, usize)]) -> &'w mut Writer {
    writer.map(pcrs.len());
    for (index, length) in pcrs {
        writer.uint(*index).bytes(&vec![1; *length]);
    }
    writer
}

fn write_cabundle(writer: &mut Writer, certificates: usize) -> &mut Writer {
    writer.array(certificates);
    for _ in 0..certificates {
        writer.bytes(b"certificate");
    }
    writer
}

/// The verdict on a payload in which `field` has the value that `write` gives it.
fn check(field: &str, write: impl Fn(&mut Writer) -> &mut Writer, expected: Result<(), PayloadProblem>) {
    let bytes = payload(|name, writer| {
        if name == field {
            writer.text(name);
            write(writer);
        }
        name == field
    });
    let found = Payload::parse(&bytes).map(drop);
    match (found, expected) {
        (Ok(()), Ok(())) => {}
        (Err(PayloadError::Field { field: found_field, problem }), Err(expected)) => {
            assert_eq!((found_field, problem), (field, expected));
        }
        (found, expected) => panic!("{field}: {found:?} is not {expected:?}"),
    }
}

fn length(length: usize) -> Result<(), PayloadProblem> {
    Err(PayloadProblem::Length { length })
}

#[test]
fn every_field_is_read() {
    let bytes = payload(|name, writer| {
        if name == "nonce" {
            writer.text(name).bytes(&[]);
        }
        name == "nonce"
    });
    let parsed = Payload::parse(&bytes).unwrap();
    assert_eq!((parsed.module_id, parsed.timestamp_ms), ("i-0123-enc4567", 1_700_000_000_123));
    assert_eq!((parsed.certificate, &parsed.cabundle[..]), (&b"leaf"[..], &[&b"root"[..], b"middle"][..]));
    assert_eq!((parsed.public_key, parsed.user_data, parsed.nonce), (None, None, Some(&[][..])));
    assert_eq!(parsed.pcrs.iter().flatten().count(), 3);
}

#[test]
fn optional_fields_may_be_absent_and_others_may_not() {
    for absent in FIELDS {
        let found = Payload::parse(&payload(|name, _| name == absent)).map(drop);
        let expected = match absent {
            "public_key" | "user_data" | "nonce" => Ok(()),
            _ => Err(PayloadError::Field { field: absent, problem: PayloadProblem::Missing }),
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn no_field_may_occur_twice() {
    for twice in FIELDS {
        let bytes = payload(|name, writer| {
            if name.is_empty() {
                write_field(twice, writer);
            }
            false
        });
        let expected = PayloadError::Field { field: twice, problem: PayloadProblem::Duplicate };
        assert_eq!(Payload::parse(&bytes).map(drop), Err(expected));
    }
}

#[test]
fn lengths_are_bounded() {
    check("module_id", |w| w.text(""), length(0));
    check("module_id", |w| w.text(&"i".repeat(256)), Ok(()));
    check("module_id", |w| w.text(&"i".repeat(257)), length(257));
    check("certificate", |w| w.bytes(&[]), length(0));
    check("certificate", |w| w.bytes(&[1; 1_024]), Ok(()));
    check("certificate", |w| w.bytes(&[1; 1_025]), length(1_025));
    check("cabundle", |w| w.array(0), length(0));
    check("cabundle", |w| w.array(1).bytes(&[]), length(0));
    check("cabundle", |w| w.array(1).bytes(&[1; 1_025]), length(1_025));
    check("cabundle", |w| write_cabundle(w, 16), Ok(()));
    check("cabundle", |w| write_cabundle(w, 17), length(17));
    for field in ["public_key", "user_data", "nonce"] {
        check(field, |w| w.bytes(&[1; 1_024]), Ok(()));
        check(field, |w| w.bytes(&[]), Ok(()));
        check(field, |w| w.bytes(&[1; 1_025]), length(1_025));
    }
}

#[test]
fn pcrs_have_the_form_that_aws_allows() {
    let check_pcrs = |pcrs: &[(u64, usize)], expected| check("pcrs", |w| write_pcrs(w, pcrs), expected);
    check_pcrs(&[(0, 32), (2, 64), (1, 48), (31, 48)], Ok(()));
    check_pcrs(&[(0, 48), (1, 48), (2, 47)], length(47));
    check_pcrs(&[(0, 48), (1, 48), (2, 0)], length(0));
    check_pcrs(&[(0, 48), (1, 48), (2, 48), (32, 48)], Err(PayloadProblem::PcrIndex { index: 32 }));
    let huge = PayloadProblem::PcrIndex { index: u64::MAX };
    check_pcrs(&[(u64::MAX, 48)], Err(huge));
    let twice = PayloadProblem::PcrDuplicate { index: 2 };
    check_pcrs(&[(0, 48), (1, 48), (2, 48), (2, 48)], Err(twice));
    for (index, present) in [(0, &[(1, 48), (2, 48)]), (1, &[(0, 48), (2, 48)]), (2, &[(0, 48), (1, 48)])] {
        check_pcrs(present, Err(PayloadProblem::PcrMissing { index }));
    }
}

#[test]
fn types_are_those_of_the_specification() {
    for field in FIELDS {
        for write in [
            (|w| w.bool(true)) as fn(&mut Writer) -> &mut Writer,
            |w| w.int(-1),
            |w| w.array(1).array(0),
            |w| w.map(1).text("0").bytes(&[1; 48]),
            |w| w.tag(1).uint(1),
            |w| w.text("SHA512"),
        ] {
            let bytes = payload(|name, writer| {
                if name == field {
                    writer.text(name);
                    write(writer);
                }
                name == field
            });
            let is_a_name = field == "module_id" && bytes.windows(6).any(|bytes| bytes == b"SHA512");
            match Payload::parse(&bytes) {
                Ok(_) => assert!(is_a_name, "{field} in {}", hex::encode(bytes)),
                Err(PayloadError::Field { field: found, .. }) => assert_eq!(found, field),
                Err(other) => panic!("{field}: {other}"),
            }
        }
    }
    check("digest", |w| w.text("SHA256"), Err(PayloadProblem::Digest));
}

#[test]
fn the_map_itself_is_strict() {
    let good = payload(|_, _| false);
    let document = |problem: CborError| PayloadError::Field { field: "document", problem: problem.into() };
    let trailing = [&good[..], &[0]].concat();
    let expected = document(CborError::TrailingBytes { at: good.len() });
    assert_eq!(Payload::parse(&trailing).map(drop), Err(expected));
    let unended = &good[..good.len() - 1];
    let expected = document(CborError::UnexpectedEnd { at: unended.len() });
    assert_eq!(Payload::parse(unended).map(drop), Err(expected));
    let expected = document(CborError::WrongType { at: 1, expected: "a text string" });
    assert_eq!(Payload::parse(&[0xa1, 0x01, 0x02]).map(drop), Err(expected));
    let expected = document(CborError::WrongType { at: 0, expected: "a map" });
    assert_eq!(Payload::parse(&[0x80]).map(drop), Err(expected));
}

#[test]
fn unknown_fields_are_checked_and_passed_over() {
    let with = |names: &[String]| {
        payload(|name, writer| {
            if name.is_empty() {
                for unknown in names {
                    writer.text(unknown).map(1).uint(1).null();
                }
            }
            false
        })
    };
    let names: Vec<String> = (0..17).map(|n| format!("new_{n}")).collect();
    assert!(Payload::parse(&with(&names[..16])).is_ok());
    let refused = |problem| Err(PayloadError::Field { field: "document", problem });
    let too_many = Payload::parse(&with(&names)).map(drop);
    assert_eq!(too_many, refused(PayloadProblem::Length { length: 17 }));
    let twice = Payload::parse(&with(&[names[0].clone(), names[0].clone()])).map(drop);
    assert_eq!(twice, refused(PayloadProblem::Duplicate));
}

#[test]
fn nitrotpm_documents_are_named() {
    let bytes = payload(|name, writer| {
        if name == "pcrs" {
            write_pcrs(writer.text("nitrotpm_pcrs"), &[(0, 48)]);
        }
        name == "pcrs"
    });
    assert_eq!(Payload::parse(&bytes).map(drop), Err(PayloadError::NotNsm));
}

#[test]
fn debug_means_that_one_of_three_is_zero() {
    for (zeroed, expected) in
        [(&[0_u64, 1, 2][..], true), (&[0], true), (&[1], true), (&[2], true), (&[], false)]
    {
        let bytes = payload(|name, writer| {
            if name == "pcrs" {
                writer.text("pcrs").map(3);
                for index in 0..3 {
                    let byte = if zeroed.contains(&index) { 0 } else { 1 };
                    writer.uint(index).bytes(&[byte; 48]);
                }
            }
            name == "pcrs"
        });
        assert_eq!(Payload::parse(&bytes).unwrap().is_debug(), expected, "{zeroed:?}");
    }
}
