//! The tags of announcement and attestation that bear on the verdict.

use attestation::pcr_digest;

use super::{ACCEPTED, Family, Form};
use crate::draft::Draft;
use crate::recipe::Recipe;
use crate::stage::NOW;

/// When the leaf of these documents ends.
const LEAF_END: u64 = NOW.0 + 3 * 3_600;

pub(super) fn families() -> Vec<Family> {
    vec![expirations(), registers(), repositories(), uses(), versions(), history()]
}

fn expirations() -> Family {
    let mut faults = Family::new(Form::Announcement, "expiration");
    type Part = fn(&mut Recipe) -> &mut Draft;
    let parts: [(&str, Part); 2] =
        [("announcement", |recipe| &mut recipe.event), ("tee_root", |recipe| &mut recipe.root)];
    for (name, part) in parts {
        let mut add = |what: &str, code, value: Option<String>| {
            faults.add(&format!("of {name}: {what}"), code, move |recipe, _| match &value {
                Some(value) => part(recipe).set("expiration", value),
                None => part(recipe).drop("expiration"),
            });
        };
        add("missing", "event_invalid", None);
        for bad in ["", "soon", "-1", "+1750010800", "1750010800.0", "1e9", "0x684ee18b", " 1750010800"] {
            add(&format!("{bad:?}"), "event_invalid", Some(bad.to_owned()));
        }
        add("beyond the leaf", "event_invalid", Some((LEAF_END + 1).to_string()));
        add("beyond all numbers", "event_invalid", Some("9".repeat(30)));
        add("the first second of 1970", "expired", Some("0".into()));
        add("a second ago", "expired", Some((NOW.0 - 1).to_string()));
        // The announcement may end before its attestation, not after.
        let now_code = if name == "tee_root" { "event_invalid" } else { ACCEPTED };
        add("now", now_code, Some(NOW.to_string()));
        faults.add(&format!("of {name}: twice"), "event_invalid", move |recipe, _| {
            part(recipe).double("expiration", Some("9999999999"));
        });
    }
    faults.add("of both: now", ACCEPTED, |recipe, _| {
        recipe.root.set("expiration", NOW);
        recipe.event.set("expiration", NOW);
    });
    faults
}

/// What a server tells whose state outlives its builds (NEC-07): readers that do not know it read over it.
fn history() -> Family {
    let mut faults = Family::new(Form::Announcement, "history");
    faults.add("of two builds, with a genesis and an upgrade", ACCEPTED, |recipe, _| {
        let (id, [one, two]) =
            ("ab".repeat(32), ["one", "two"].map(|of| pcr_digest(of.as_bytes()).to_string()));
        recipe.event.add(&["genesis", &id]);
        recipe.event.add(&["lineage", &one, &one, &one, "0.9.0", "1750000000"]);
        recipe.event.add(&["lineage", &two, &two, &two, "", "1750000001"]);
        recipe.event.add(&["upgrade", "9.0.0", &one, "1750000000", "1750086400"]);
    });
    faults
}

fn registers() -> Family {
    let mut faults = Family::new(Form::Announcement, "x");
    for index in [0, 1, 2, 4, 8] {
        let marker = format!("PCR{index}");
        let mut add = |what: &str, code, change: fn(&mut Draft, &str)| {
            let marker = marker.clone();
            faults
                .add(&format!("{marker} {what}"), code, move |recipe, _| change(&mut recipe.event, &marker));
        };
        let other = |draft: &mut Draft, marker: &str| draft.set_marked("x", marker, pcr_digest(b"other"));
        add("of another build", "event_invalid", other);
        add("zero", "event_invalid", |draft, marker| draft.set_marked("x", marker, "0".repeat(96)));
        add("in capitals", "event_invalid", |draft, marker| {
            let value = draft.get_marked("x", marker);
            draft.set_marked("x", marker, value.to_uppercase());
        });
        add("cut short", "event_invalid", |draft, marker| {
            let value = draft.get_marked("x", marker);
            draft.set_marked("x", marker, &value[..64]);
        });
        add("once more, of another build", "event_invalid", |draft, marker| {
            draft.add(&["x", &pcr_digest(b"other").to_string(), marker]);
        });
        let missing = if index < 3 { "event_invalid" } else { ACCEPTED };
        add("missing", missing, |draft, marker| draft.drop_marked("x", marker));
    }
    let mut extra = |what: &str, code, tag: [&'static str; 3]| {
        faults.add(what, code, move |recipe, _| recipe.event.add(&tag));
    };
    extra("PCR3 of another role", "event_invalid", ["x", "ab", "PCR3"]);
    extra("PCR99", "event_invalid", ["x", "ab", "PCR99"]);
    extra("PCR of no number", "event_invalid", ["x", "ab", "PCRx"]);
    extra("that is no register", ACCEPTED, ["x", "ab", "manifest"]);
    faults.add("without markers", "event_invalid", |recipe, _| {
        recipe.event.tags.iter_mut().filter(|tag| tag[0] == "x").for_each(|tag| tag.truncate(2));
    });
    faults
}

fn repositories() -> Family {
    let mut faults = Family::new(Form::Announcement, "r");
    faults.add("missing", "event_invalid", |recipe, _| recipe.event.drop("r"));
    faults.add("empty", "event_invalid", |recipe, _| recipe.event.set("r", ""));
    faults.add("twice", "event_invalid", |recipe, _| recipe.event.double("r", None));
    faults.add("a second one", "event_invalid", |recipe, _| {
        recipe.event.double("r", Some("https://example.com/other"));
    });
    // The builder's signature is the first that contradicts it.
    faults.add("other than all signatures'", "builder_invalid", |recipe, _| {
        recipe.event.set("r", "https://example.com/other");
    });
    faults.add("with a slash more than the signatures'", "builder_invalid", |recipe, _| {
        recipe.event.set("r", "https://example.com/enclaved/");
    });
    faults
}

fn uses() -> Family {
    let mut faults = Family::new(Form::Announcement, "t");
    faults.add("missing everywhere", ACCEPTED, |recipe, _| {
        recipe.event.drop("t");
        recipe.root.drop("t");
        recipe.build.drop("t");
        recipe.instance.drop("t");
        recipe.releases.iter_mut().for_each(|release| release.drop("t"));
    });
    faults.add("prod, attested dev", "event_invalid", |recipe, _| recipe.event.set("t", "prod"));
    faults.add("dev, attested prod", "event_invalid", |recipe, _| recipe.root.set("t", "prod"));
    faults.add("missing, attested prod", "event_invalid", |recipe, _| {
        recipe.event.drop("t");
        recipe.root.set("t", "prod");
    });
    faults.add("prod, signed dev", "builder_invalid", |recipe, _| {
        recipe.event.set("t", "prod");
        recipe.root.set("t", "prod");
    });
    faults.add("prod and dev", "event_invalid", |recipe, _| recipe.event.double("t", Some("prod")));
    faults.add("a topic beside it", ACCEPTED, |recipe, _| recipe.event.double("t", Some("enclaves")));
    faults.add("attested twice", "event_invalid", |recipe, _| recipe.root.double("t", Some("prod")));
    faults.add("attested as something else", "event_invalid", |recipe, _| recipe.root.set("t", "production"));
    faults.add("debug of an enclave that is not", "event_invalid", |recipe, _| {
        recipe.event.set("t", "debug");
        recipe.root.set("t", "debug");
    });
    faults
}

fn versions() -> Family {
    let mut faults = Family::new(Form::Announcement, "v");
    faults.add("missing", ACCEPTED, |recipe, _| recipe.event.drop("v"));
    faults.add("twice", "event_invalid", |recipe, _| recipe.event.double("v", None));
    faults.add("other than all signatures'", "builder_invalid", |recipe, _| recipe.event.set("v", "1.2.4"));
    faults
}
