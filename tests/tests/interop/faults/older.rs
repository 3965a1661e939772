//! The older announcements, kind 63793, with signatures of their own kinds.

use attestation::{Pcr, pcr_digest};
use nostr::event::Kind;

use super::signatures::certificates;
use super::{ACCEPTED, Family, Form, document};
use crate::draft::Draft;
use crate::recipe::Recipe;
use crate::stage::NOW;

pub(super) fn families() -> Vec<Family> {
    vec![itself(), signatures(), certificates(Form::Old, "older certificate")]
}

fn itself() -> Family {
    let mut faults = Family::new(Form::Old, "older");
    let mut add = |what: &str, code, spoil: fn(&mut Draft)| {
        faults.add(what, code, move |recipe, _| spoil(&mut recipe.event));
    };
    add("as it was", ACCEPTED, |_| {});
    add("without r", "builder_invalid", |it| it.drop("r"));
    add("without x tags", ACCEPTED, |it| it.drop("x"));
    add("x tag of another build", "event_invalid", |it| it.set_marked("x", "PCR0", pcr_digest(b"other")));
    add("without expiration", "event_invalid", |it| it.drop("expiration"));
    // The reference's own events claim an hour more than their certificate has.
    add("expires an hour after the leaf", ACCEPTED, |it| it.set("expiration", NOW.0 + 4 * 3_600));
    add("expired", "expired", |it| it.set("expiration", NOW.0 - 1));
    add("prod and dev", "event_invalid", |it| it.double("t", Some("prod")));
    add("debug of an enclave that is not", "event_invalid", |it| it.set("t", "debug"));
    add("prod, signed dev", "builder_invalid", |it| it.set("t", "prod"));
    add("id flipped", "event_invalid", |it| it.twist(super::events::flip("id")));
    add("signature flipped", "event_invalid", |it| it.twist(super::events::flip("sig")));
    add("of the newer kind", "event_invalid", |it| it.kind = Kind::Custom(13_793));
    faults.add("published by a stranger", "public_key_mismatch", |recipe, stage| {
        recipe.event.keys = stage.stranger.clone();
    });
    document::add_a_few(&mut faults);
    faults.add("debug mode", "debug_mode", |recipe, _| {
        (0..3).for_each(|index| recipe.set_pcr(index, Pcr::ZERO));
        recipe.event.drop("release");
    });
    faults
}

fn signatures() -> Family {
    let mut faults = Family::new(Form::Old, "older signatures");
    type Part = fn(&mut Recipe) -> &mut Draft;
    let parts: [(&str, &str, u16, Part); 3] = [
        ("build", "builder_invalid", 23_794, |recipe| &mut recipe.build),
        ("instance", "launcher_invalid", 23_795, |recipe| &mut recipe.instance),
        ("release", "release_invalid", 63_794, |recipe| &mut recipe.releases[0]),
    ];
    for (name, code, newer, part) in parts {
        let mut add = |what: &str, code, spoil: fn(&mut Draft, u16)| {
            faults.add(&format!("{name} {what}"), code, move |recipe, _| spoil(part(recipe), newer));
        };
        add("of the newer kind", code, |it, newer| it.kind = Kind::from_u16(newer));
        add("of the announcement's kind", code, |it, _| it.kind = Kind::Custom(63_793));
        add("with its id flipped", code, |it, _| it.twist(super::events::flip("id")));
        add("with its signature flipped", code, |it, _| it.twist(super::events::flip("sig")));
        add("with another t", code, |it, _| it.set("t", "prod"));
    }
    for (name, code, part) in [
        ("build", "builder_invalid", (|recipe| &mut recipe.build) as Part),
        ("release", "release_invalid", |recipe| &mut recipe.releases[0]),
    ] {
        faults.add(&format!("{name} without r"), ACCEPTED, move |recipe, _| part(recipe).drop("r"));
        faults.add(&format!("{name} of another repository"), code, move |recipe, _| {
            part(recipe).set("r", "https://example.com/other");
        });
    }
    faults.add("instance of another machine", "launcher_invalid", |recipe, _| {
        recipe.instance.set("PCR4", pcr_digest(b"i-elsewhere"));
    });
    for index in ["PCR0", "PCR1", "PCR2"] {
        faults.add(&format!("release {index} of another build"), "release_invalid", move |recipe, _| {
            recipe.releases[0].set(index, pcr_digest(b"other"));
        });
        faults.add(&format!("release {index} missing"), "release_invalid", move |recipe, _| {
            recipe.releases[0].drop(index);
        });
    }
    faults.add("release with x tags", ACCEPTED, |recipe, _| {
        for tag in recipe.releases[0].tags.iter_mut().filter(|tag| tag[0].starts_with("PCR")) {
            *tag = vec!["x".to_owned(), tag[1].clone(), tag[0].clone()];
        }
    });
    faults
}
