//! The attestation document: payload, signature, and how it stands in the event.

use attestation::Pcr;
use attestation::cbor::Writer;
use attestation_sim::SimKey;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::{ACCEPTED, Family, Form, REFUSED};
use crate::stage::NOW;

/// A few faults of the document for another event that carries it: that it is looked at there, too.
pub(super) fn add_a_few(faults: &mut Family) {
    faults.add("document of another key", "public_key_mismatch", |recipe, _| {
        recipe.forge.payload.public_key = Some(vec![7; 32]);
    });
    faults.add("leaf ended", "certificate_expired", |recipe, _| {
        recipe.forge.chain.leaf.not_after = NOW.minus_secs(1);
    });
    faults.add("document flipped", REFUSED, |recipe, _| {
        recipe.document.push(Box::new(|it: &mut Vec<u8>| {
            let at = it.len() / 2;
            it[at] ^= 1;
        }));
    });
    faults.add("another root of the same name", "chain_untrusted", |recipe, _| {
        recipe.issuer = Some(crate::foreign_root::of_the_same_name());
    });
}

pub(super) fn families() -> Vec<Family> {
    vec![payload(), key(), debug(), cose(), flips(), base64()]
}

fn payload() -> Family {
    let mut faults = Family::new(Form::Announcement, "payload");
    type Change = fn(&mut attestation_sim::PayloadSpec);
    let mut add = |what: &str, code, change: Change| {
        faults.add(what, code, move |recipe, _| change(&mut recipe.forge.payload));
    };
    add("of definite length", ACCEPTED, |it| it.is_definite = true);
    add("with a nonce", ACCEPTED, |it| it.nonce = Some(b"of another caller".to_vec()));
    add("with user data", ACCEPTED, |it| it.user_data = Some(vec![1; 64]));
    add("nonce too long", "payload_malformed", |it| it.nonce = Some(vec![1; 1_025]));
    add("user data too long", "payload_malformed", |it| it.user_data = Some(vec![1; 1_025]));
    add("module without a name", "payload_malformed", |it| it.module_id.clear());
    add("no time", "timestamp_invalid", |it| it.timestamp_ms = 0);
    add("made two seconds from now", ACCEPTED, |it| it.timestamp_ms = NOW.0 * 1_000 + 2_000);
    add("made three seconds from now", "timestamp_invalid", |it| it.timestamp_ms = NOW.0 * 1_000 + 3_000);
    add("no registers", "payload_malformed", |it| it.pcrs.clear());
    add("register 32", "payload_malformed", |it| it.pcrs.push((32, vec![1; 48])));
    add("register of 47 bytes", "payload_malformed", |it| it.pcrs[5].1 = vec![1; 47]);
    add("register twice", "payload_malformed", |it| it.pcrs.push((0, vec![1; 48])));
    add("PCR0 of 32 bytes", "event_invalid", |it| it.pcrs[0].1 = vec![1; 32]);
    add("without PCR0", "payload_malformed", |it| drop(it.pcrs.remove(0)));
    add("other PCR0", "event_invalid", |it| it.pcrs[0].1 = vec![1; 48]);
    add("other PCR4", "event_invalid", |it| it.pcrs[4].1 = vec![1; 48]);
    add("other PCR8", "event_invalid", |it| it.pcrs[8].1 = vec![1; 48]);
    type Bytes = fn(&mut Vec<u8>);
    let mut raw = |what: &str, code, change: Bytes| {
        faults.add(what, code, move |recipe, _| recipe.payload.push(Box::new(change)));
    };
    raw("a byte too many", "payload_malformed", |it| it.push(0));
    raw("empty", "cose_malformed", Vec::clear);
    raw("no map", "payload_malformed", |it| *it = vec![0x80]);
    raw("field of nobody", ACCEPTED, |it| {
        let end = it.pop();
        let mut field = Writer::with_capacity(16);
        field.text("surprise").uint(1);
        it.extend(field.into_bytes());
        it.extend(end);
    });
    raw("field twice", "payload_malformed", |it| {
        let end = it.pop();
        let mut field = Writer::with_capacity(16);
        field.text("digest").text("SHA384");
        it.extend(field.into_bytes());
        it.extend(end);
    });
    raw("other digest", "payload_malformed", |it| replace(it, b"SHA384", b"SHA512"));
    raw("of a NitroTPM", "not_nsm", |it| {
        // The key is six bytes longer, and its length stands before it.
        let at = position(it, b"\x64pcrs");
        it.splice(at..at + 5, *b"\x6dnitrotpm_pcrs");
    });
    faults
}

fn position(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}

fn replace(bytes: &mut [u8], part: &[u8], with: &[u8]) {
    let at = position(bytes, part);
    bytes[at..at + part.len()].copy_from_slice(with);
}

fn key() -> Family {
    let mut faults = Family::new(Form::Announcement, "public key");
    let mut add = |what: &str, code, key: fn(Vec<u8>) -> Option<Vec<u8>>| {
        faults.add(what, code, move |recipe, _| {
            let service = recipe.forge.payload.public_key.take().unwrap();
            recipe.forge.payload.public_key = key(service);
        });
    };
    add("missing", "public_key_mismatch", |_| None);
    add("empty", "public_key_mismatch", |_| Some(Vec::new()));
    add("of another", "public_key_mismatch", |_| Some(vec![7; 32]));
    add("with a byte in front", "public_key_mismatch", |key| Some([vec![2], key].concat()));
    add("with a byte behind", "public_key_mismatch", |key| Some([key, vec![0]].concat()));
    add("cut short", "public_key_mismatch", |key| Some(key[..31].to_vec()));
    add("as hex", "public_key_mismatch", |key| Some(hex::encode(key).into_bytes()));
    add("too long", "payload_malformed", |_| Some(vec![1; 1_025]));
    faults
}

fn debug() -> Family {
    let mut faults = Family::new(Form::Announcement, "debug");
    let zero = |recipe: &mut crate::recipe::Recipe| {
        for index in 0..3 {
            recipe.set_pcr(index, Pcr::ZERO);
        }
        recipe.event.drop("release");
    };
    faults.add("said dev", "debug_mode", move |recipe, _| zero(recipe));
    faults.add("said debug", "debug_mode", move |recipe, _| {
        zero(recipe);
        recipe.event.set("t", "debug");
        recipe.root.set("t", "debug");
    });
    let allowed = move |recipe: &mut crate::recipe::Recipe| {
        zero(recipe);
        recipe.policy.allow_debug = true;
    };
    faults.add("allowed, said dev", "event_invalid", move |recipe, _| allowed(recipe));
    faults.add("allowed, said debug", ACCEPTED, move |recipe, _| {
        allowed(recipe);
        let drafts = [&mut recipe.event, &mut recipe.root, &mut recipe.build, &mut recipe.instance];
        drafts.into_iter().for_each(|draft| draft.set("t", "debug"));
    });
    faults.add("allowed, released with zeros", "release_invalid", move |recipe, _| {
        allowed(recipe);
        let drafts = [&mut recipe.event, &mut recipe.root, &mut recipe.build, &mut recipe.instance];
        drafts.into_iter().for_each(|draft| draft.set("t", "debug"));
        recipe.event.add(&["release", "@release"]);
        for index in ["PCR0", "PCR1", "PCR2"] {
            recipe.releases[0].set_marked("x", index, Pcr::ZERO);
        }
        recipe.releases[0].set("t", "debug");
    });
    faults.add("PCR0 alone zero", "debug_mode", |recipe, _| recipe.set_pcr(0, Pcr::ZERO));
    faults
}

/// Where the parts of a document lie: `84 44 a1 01 38 22 a0 59 …`.
const PROTECTED: usize = 1;
const UNPROTECTED: usize = 6;
const SIGNATURE_BYTES: usize = 96;

fn cose() -> Family {
    let mut faults = Family::new(Form::Announcement, "cose");
    let mut add = |what: &str, code, change: fn(&mut Vec<u8>)| {
        faults.add(what, code, move |recipe, _| recipe.document.push(Box::new(change)));
    };
    add("with its tag", ACCEPTED, |it| it.insert(0, 0xd2));
    add("with a tag of something else", "cose_malformed", |it| it.insert(0, 0xd1));
    add("a byte too many", "cose_malformed", |it| it.push(0));
    add("empty", "cose_malformed", Vec::clear);
    add("three parts", "cose_malformed", |it| it[0] = 0x83);
    add("five parts", "cose_malformed", |it| {
        it[0] = 0x85;
        it.push(0);
    });
    add("a map", "cose_malformed", |it| it[0] = 0xa2);
    add("of indefinite length", ACCEPTED, |it| {
        it[0] = 0x9f;
        it.push(0xff);
    });
    add("ES256", "cose_malformed", |it| it[PROTECTED + 4] = 0x26);
    add("no protected header", "cose_malformed", |it| drop(it.splice(PROTECTED..UNPROTECTED, [0x40])));
    add("unprotected header", "cose_malformed", |it| {
        drop(it.splice(UNPROTECTED..=UNPROTECTED, [0xa1, 0x04, 0x41, 0x01]));
    });
    add("unprotected header null", "cose_malformed", |it| it[UNPROTECTED] = 0xf6);
    add("signature cut short", "cose_malformed", |it| {
        let at = it.len() - SIGNATURE_BYTES;
        it.truncate(it.len() - 1);
        it[at - 1] = 95;
    });
    add("signature zero", "signature_invalid", |it| {
        let at = it.len() - SIGNATURE_BYTES;
        it[at..].fill(0);
    });
    add("signature of two equal halves", "signature_invalid", |it| {
        let at = it.len() - SIGNATURE_BYTES;
        let half: Vec<u8> = it[at..at + 48].to_vec();
        it[at + 48..].copy_from_slice(&half);
    });
    add("s and n − s", ACCEPTED, |it| {
        let at = it.len() - SIGNATURE_BYTES / 2;
        negate(&mut it[at..]);
    });
    faults.add("signed by another key", "signature_invalid", |recipe, _| {
        recipe.signer = Some(SimKey::generate().unwrap());
    });
    faults
}

/// n − s of P-384 (SEC 2 §2.5.1): as good a signature as s.
fn negate(s: &mut [u8]) {
    let order =
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";
    let mut borrow = 0_i16;
    for (byte, of_order) in s.iter_mut().zip(hex::decode(order).unwrap()).rev() {
        let difference = i16::from(of_order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = difference.rem_euclid(256).to_le_bytes()[0];
    }
}

/// Bits and cuts all over the document.
fn flips() -> Family {
    const PLACES: usize = 16;
    let mut faults = Family::new(Form::Announcement, "bytes");
    for place in 0..PLACES {
        faults.add(&format!("bit flipped at {place}/{PLACES}"), REFUSED, move |recipe, _| {
            recipe.document.push(Box::new(move |it: &mut Vec<u8>| {
                let at = it.len() * place / PLACES;
                it[at] ^= 1 << (place % 8);
            }));
        });
        faults.add(&format!("cut at {place}/{PLACES}"), "cose_malformed", move |recipe, _| {
            recipe.document.push(Box::new(move |it: &mut Vec<u8>| it.truncate(it.len() * place / PLACES)));
        });
    }
    faults.add("last bit flipped", "signature_invalid", |recipe, _| {
        recipe.document.push(Box::new(|it: &mut Vec<u8>| *it.last_mut().unwrap() ^= 1));
    });
    faults
}

fn base64() -> Family {
    let mut faults = Family::new(Form::Announcement, "base64");
    let mut add = |what: &str, code, change: fn(&str) -> String| {
        faults.add(what, code, move |recipe, _| {
            recipe.base64.push(Box::new(move |it: &mut String| *it = change(it)));
        });
    };
    add("empty", "cose_malformed", |_| String::new());
    add("of the other alphabet", "event_invalid", |it| URL_SAFE.encode(STANDARD.decode(it).unwrap()));
    add("in lines", "event_invalid", |it| format!("{}\n{}", &it[..64], &it[64..]));
    add("with a space behind", "event_invalid", |it| format!("{it} "));
    add("with a sign that is none", "event_invalid", |it| format!("*{it}"));
    add("hex instead", REFUSED, |it| hex::encode(STANDARD.decode(it).unwrap()));
    add("with padding twice", "event_invalid", |it| format!("{it}===="));
    add("longer than any document", "event_invalid", |it| format!("{it}{}", "A".repeat(20_000)));
    faults
}
