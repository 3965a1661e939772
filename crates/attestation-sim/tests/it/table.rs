//! What the verifier makes of documents that AWS signs, could sign, or never would: each has a considered
//! verdict, and whoever changes one changes a line here.
//!
//! All of these are signed by a chain that leads to the trusted root, so that what decides is the form
//! alone. Faults of the chain stand in `chain.rs`, those of time and expectations in `verdict.rs`.

use std::sync::LazyLock;

use attestation::cbor::Writer;
use attestation_sim::{Forge, IssuedChain, sign};

use crate::support::{NOW, ROOT, forged, verdict};

static CHAIN: LazyLock<IssuedChain> = LazyLock::new(|| Forge::at(NOW).chain.issue(&ROOT).unwrap());

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

/// Writes what stands in a payload for a field: nothing, or a key and a value, or more.
type Write = fn(&mut Writer) -> &mut Writer;

fn code(document: &[u8]) -> &'static str {
    verdict(document).map_or_else(|error| error.code(), |_| "accepted")
}

fn write_value<'w>(field: &str, writer: &'w mut Writer) -> &'w mut Writer {
    match field {
        "module_id" => writer.text("i-0123456789abcdef0-enc0123456789abcdef"),
        "digest" => writer.text("SHA384"),
        "timestamp" => writer.uint(NOW.0 * 1_000),
        "pcrs" => write_pcrs(writer, &[(0, 48), (1, 48), (2, 48)]),
        "certificate" => writer.bytes(CHAIN.certificate()),
        "cabundle" => write_bundle(writer, CHAIN.cabundle()),
        _ => writer.null(),
    }
}

fn write_pcrs<'w>(writer: &'w mut Writer, pcrs: &[(u64, usize)]) -> &'w mut Writer {
    writer.map(pcrs.len());
    for (index, length) in pcrs {
        writer.uint(*index).bytes(&vec![1; *length]);
    }
    writer
}

fn write_bundle<'w>(writer: &'w mut Writer, bundle: &[Vec<u8>]) -> &'w mut Writer {
    writer.array(bundle.len());
    for certificate in bundle {
        writer.bytes(certificate);
    }
    writer
}

/// A signed payload of these fields, in an indefinite map; `write` stands for `changed`, wherever it comes.
fn document(fields: &[&str], changed: &str, write: Write) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map_indefinite();
    for field in fields {
        if *field == changed {
            write(&mut writer);
        } else {
            writer.text(field);
            write_value(field, &mut writer);
        }
    }
    writer.end();
    sign(&writer.into_bytes(), CHAIN.leaf_key()).unwrap()
}

const OK: &str = "accepted";

#[test]
fn every_form_of_a_field_has_its_verdict() {
    const BAD: &str = "payload_malformed";
    let rows: &[(&str, &str, Write, &str)] = &[
        // What optional fields may be: AWS's page forbids null and an empty key, its module writes both.
        ("nonce", "absent", |w| w, OK),
        ("nonce", "null", |w| w.text("nonce").null(), OK),
        ("public_key", "empty", |w| w.text("public_key").bytes(&[]), OK),
        (
            "user_data",
            "of the length that nsm-check asks for",
            |w| w.text("user_data").bytes(&[1; 1_024]),
            OK,
        ),
        ("user_data", "longer than the page allows", |w| w.text("user_data").bytes(&[1; 1_025]), BAD),
        ("public_key", "text", |w| w.text("public_key").text("key"), BAD),
        ("public_key", "undefined", |w| w.text("public_key").raw(&[0xf7]), BAD),
        ("nonce", "a number", |w| w.text("nonce").uint(7), BAD),
        ("nonce", "a string in pieces", |w| w.text("nonce").raw(&[0x5f, 0x41, 1, 0xff]), BAD),
        ("nonce", "a length in more bytes than it needs", |w| w.text("nonce").raw(&[0x59, 0, 1, 1]), OK),
        ("nonce", "twice", |w| w.text("nonce").null().text("nonce").null(), BAD),
        ("nonce", "twice, once in other bytes", |w| w.text("nonce").null().raw(b"\x78\x05nonce\xf6"), BAD),
        // Fields of a later module, and what is none.
        ("nonce", "unknown field", |w| w.text("new").map(1).uint(1).array(1).null(), OK),
        ("nonce", "unknown field twice", |w| w.text("new").null().text("new").null(), BAD),
        (
            "nonce",
            "unknown field with a key twice",
            |w| w.text("new").map(2).uint(1).null().uint(1).null(),
            BAD,
        ),
        ("nonce", "unknown field, nested deep", |w| w.text("new").raw(&[&[0x81; 9][..], &[0]].concat()), BAD),
        ("nonce", "another case", |w| w.text("Nonce").uint(7), OK),
        ("nonce", "a key of bytes", |w| w.bytes(b"nonce").null(), BAD),
        ("nonce", "a key that is a number", |w| w.uint(7).null(), BAD),
        ("nonce", "a key without a value", |w| w.text("nonce"), BAD),
        ("nonce", "a break too many", |w| w.end(), BAD),
        // NitroTPM measures an instance, whatever else the document has.
        ("pcrs", "those of NitroTPM", |w| w.text("nitrotpm_pcrs").map(0), "not_nsm"),
        ("nonce", "those of NitroTPM too", |w| w.text("nitrotpm_pcrs").map(0), "not_nsm"),
        ("module_id", "absent", |w| w, BAD),
        ("module_id", "empty", |w| w.text("module_id").text(""), BAD),
        ("module_id", "bytes", |w| w.text("module_id").bytes(b"i-1"), BAD),
        ("module_id", "not UTF-8", |w| w.text("module_id").raw(&[0x61, 0xff]), BAD),
        ("digest", "absent", |w| w, BAD),
        ("digest", "SHA256", |w| w.text("digest").text("SHA256"), BAD),
        ("digest", "SHA512", |w| w.text("digest").text("SHA512"), BAD),
        ("digest", "small letters", |w| w.text("digest").text("sha384"), BAD),
        ("digest", "null", |w| w.text("digest").null(), BAD),
        ("timestamp", "absent", |w| w, BAD),
        ("timestamp", "negative", |w| w.text("timestamp").int(-1), BAD),
        ("timestamp", "a float", |w| w.text("timestamp").raw(&[0xfb, 0x42, 0x79, 0x77, 0, 0, 0, 0, 0]), BAD),
        ("timestamp", "tagged as a date", |w| w.text("timestamp").tag(1).uint(NOW.0 * 1_000), BAD),
        ("timestamp", "a big number", |w| w.text("timestamp").tag(2).bytes(&[1; 9]), BAD),
        ("timestamp", "text", |w| w.text("timestamp").text("1750000000000"), BAD),
        ("timestamp", "zero", |w| w.text("timestamp").uint(0), "timestamp_invalid"),
        ("timestamp", "in seconds", |w| w.text("timestamp").uint(NOW.0), "certificate_not_yet_valid"),
        ("timestamp", "the largest", |w| w.text("timestamp").uint(u64::MAX), "certificate_expired"),
        ("pcrs", "absent", |w| w, BAD),
        ("pcrs", "none", |w| write_pcrs(w.text("pcrs"), &[]), BAD),
        ("pcrs", "without the second", |w| write_pcrs(w.text("pcrs"), &[(0, 48), (2, 48)]), BAD),
        ("pcrs", "all 32", |w| write_pcrs(w.text("pcrs"), &(0..32).map(|i| (i, 48)).collect::<Vec<_>>()), OK),
        ("pcrs", "of SHA-256", |w| write_pcrs(w.text("pcrs"), &[(0, 32), (1, 32), (2, 32)]), OK),
        ("pcrs", "of SHA-512", |w| write_pcrs(w.text("pcrs"), &[(0, 64), (1, 64), (2, 64)]), OK),
        ("pcrs", "of SHA-1", |w| write_pcrs(w.text("pcrs"), &[(0, 20), (1, 20), (2, 20)]), BAD),
        ("pcrs", "one too short", |w| write_pcrs(w.text("pcrs"), &[(0, 48), (1, 48), (2, 48), (3, 47)]), BAD),
        ("pcrs", "index 32", |w| write_pcrs(w.text("pcrs"), &[(0, 48), (1, 48), (2, 48), (32, 48)]), BAD),
        ("pcrs", "index twice", |w| write_pcrs(w.text("pcrs"), &[(0, 48), (1, 48), (2, 48), (0, 48)]), BAD),
        (
            "pcrs",
            "index twice, once in more bytes than it needs",
            |w| w.text("pcrs").map_indefinite().uint(0).bytes(&[1; 48]).raw(&[0x18, 0]).bytes(&[2; 48]).end(),
            BAD,
        ),
        ("pcrs", "index negative", |w| w.text("pcrs").map(1).int(-1).bytes(&[1; 48]), BAD),
        ("pcrs", "index text", |w| w.text("pcrs").map(1).text("0").bytes(&[1; 48]), BAD),
        ("pcrs", "value text", |w| w.text("pcrs").map(1).uint(0).text(&"1".repeat(48)), BAD),
        ("pcrs", "a list", |w| w.text("pcrs").array(1).bytes(&[1; 48]), BAD),
        ("pcrs", "more claimed than there are", |w| w.text("pcrs").map(1_000_000), BAD),
        ("certificate", "absent", |w| w, BAD),
        ("certificate", "null", |w| w.text("certificate").null(), BAD),
        ("certificate", "empty", |w| w.text("certificate").bytes(&[]), BAD),
        ("certificate", "too long", |w| w.text("certificate").bytes(&[0x30; 1_025]), BAD),
        ("certificate", "not one", |w| w.text("certificate").bytes(b"leaf"), "chain_untrusted"),
        ("cabundle", "absent", |w| w, BAD),
        ("cabundle", "null", |w| w.text("cabundle").null(), BAD),
        ("cabundle", "empty", |w| w.text("cabundle").array(0), BAD),
        ("cabundle", "of text", |w| w.text("cabundle").array(1).text("root"), BAD),
        ("cabundle", "joined", |w| w.text("cabundle").bytes(&CHAIN.cabundle()[1]), BAD),
    ];
    for (field, what, write, expected) in rows {
        assert_eq!(code(&document(&FIELDS, field, *write)), *expected, "{field}: {what}");
    }
    let reversed: Vec<&str> = FIELDS.into_iter().rev().collect();
    assert_eq!(code(&document(&reversed, "", |w| w)), OK, "any order");
}

#[test]
fn every_form_of_the_payload_has_its_verdict() {
    let forge = Forge::at(NOW);
    let payload = forge.payload.encode(CHAIN.certificate(), CHAIN.cabundle());
    let signed = |payload: &[u8]| sign(payload, CHAIN.leaf_key()).unwrap();
    assert_eq!(code(&signed(&payload)), OK);
    let unended = &payload[..payload.len() - 1];
    for (what, bytes, expected) in [
        ("trailing byte", [&payload[..], &[0]].concat(), "payload_malformed"),
        ("a second payload", [&payload[..], &payload].concat(), "payload_malformed"),
        ("no break", unended.to_vec(), "payload_malformed"),
        ("tagged", [&[0xc1], &payload[..]].concat(), "payload_malformed"),
        ("encoded CBOR in it", [&[0xd8, 24, 0x41, 0xa0], &[][..]].concat(), "payload_malformed"),
        ("an array", vec![0x80], "payload_malformed"),
        ("an empty map", vec![0xa0], "payload_malformed"),
        ("not CBOR", b"{\"module_id\":\"i-1\"}".to_vec(), "payload_malformed"),
    ] {
        assert_eq!(code(&signed(&bytes)), expected, "{what}");
    }
}

/// The order of P-384 (SEC 2 §2.5.1).
const ORDER: &str =
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";

/// The document with n − s in place of s, which signs the same.
fn with_other_s(document: &[u8]) -> Vec<u8> {
    let (rest, s) = document.split_at(document.len() - 48);
    let mut other = hex::decode(ORDER).unwrap();
    let mut borrow = 0;
    for (digit, s) in other.iter_mut().zip(s).rev() {
        let difference = i16::from(*digit) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *digit = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    [rest, &other].concat()
}

#[test]
fn every_form_of_the_envelope_has_its_verdict() {
    const BAD: &str = "cose_malformed";
    const FORGED: &str = "signature_invalid";
    let good = forged(|_| {});
    // 84 · 44 a1013822 · a0 · 59 LLLL payload · 58 60 signature
    let (headers, rest) = (&good[..7], &good[7..]);
    let (before, signature) = good.split_at(good.len() - 96);
    let body = &good[6..];
    let with_protected = |protected: &[u8]| [&[0x84], protected, body].concat();
    let signed_by = |signature: &[u8]| [before, signature].concat();
    let zeros = [0; 48];
    let order = hex::decode(ORDER).unwrap();
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("as it is", good.clone(), OK),
        ("s of the other half", with_other_s(&good), OK),
        ("tag 18", [&[0xd2], &good[..]].concat(), OK),
        ("tag 18 in two bytes", [&[0xd8, 18], &good[..]].concat(), OK),
        ("tag 18 twice", [&[0xd2, 0xd2], &good[..]].concat(), BAD),
        ("tag 17, COSE_Mac0", [&[0xd1], &good[..]].concat(), BAD),
        ("tag 61, CWT", [&[0xd8, 61, 0xd2], &good[..]].concat(), BAD),
        ("tag 98, COSE_Sign", [&[0xd8, 98], &good[..]].concat(), BAD),
        ("an array of indefinite length", [&[0x9f], &good[1..], &[0xff]].concat(), OK),
        ("that without an end", [&[0x9f], &good[1..]].concat(), BAD),
        ("an array's length in two bytes", [&[0x98, 4], &good[1..]].concat(), OK),
        ("an unprotected map of indefinite length", [&good[..6], &[0xbf, 0xff], rest].concat(), OK),
        ("something unprotected", [&good[..6], &[0xa1, 0x04, 0x41, 0x31], rest].concat(), BAD),
        ("the algorithm unprotected", [&[0x84, 0x40, 0xa1, 1, 0x38, 0x22], rest].concat(), BAD),
        ("null for the unprotected map", [&good[..6], &[0xf6], rest].concat(), BAD),
        ("nothing protected", with_protected(&[0x40]), BAD),
        ("a protected map without its string", with_protected(&[0xa1, 1, 0x38, 0x22]), BAD),
        ("ES256", with_protected(&[0x43, 0xa1, 1, 0x26]), BAD),
        ("ES512", with_protected(&[0x44, 0xa1, 1, 0x38, 0x23]), BAD),
        ("an algorithm by name", with_protected(b"\x48\xa1\x01\x65ES384"), BAD),
        ("a key id beside the algorithm", with_protected(&[0x47, 0xa2, 1, 0x38, 0x22, 4, 0x41, 0x31]), BAD),
        ("critical headers", with_protected(&[0x47, 0xa2, 1, 0x38, 0x22, 2, 0x81, 1]), BAD),
        // A spelling of the same header that was not signed.
        ("a header spelt otherwise", with_protected(&[0x45, 0xa1, 1, 0x39, 0, 0x22]), FORGED),
        ("a detached payload", [headers, &[0xf6, 0x58, 96], signature].concat(), BAD),
        ("an empty payload", [headers, &[0x40, 0x58, 96], signature].concat(), BAD),
        ("trailing bytes", [&good[..], &[0]].concat(), BAD),
        ("two documents", [&good[..], &good].concat(), BAD),
        ("one item too many", [&[0x85], &good[1..], &[0xf6]].concat(), BAD),
        ("one item too few", [&[0x83], &before[1..before.len() - 2]].concat(), BAD),
        ("a map", vec![0xa0], BAD),
        ("nothing", Vec::new(), BAD),
        ("a signature of 0", signed_by(&[0; 96]), FORGED),
        ("s of 0", signed_by(&[&signature[..48], &zeros].concat()), FORGED),
        ("r of the order", signed_by(&[&order[..], &signature[48..]].concat()), FORGED),
        ("r and s of the order", signed_by(&[&order[..], &order].concat()), FORGED),
        ("r and s exchanged", signed_by(&[&signature[48..], &signature[..48]].concat()), FORGED),
        ("a short signature", [&before[..before.len() - 1], &[95], &signature[1..]].concat(), BAD),
        ("a long signature", [&before[..before.len() - 1], &[97, 0], signature].concat(), BAD),
    ];
    for (what, document, expected) in rows {
        assert_eq!(code(&document), expected, "{what}");
    }
}
