//! The events that an announcement carries: attestation, builder's, launcher's and releases' signature.

use nostr::event::Kind;

use super::events::{AFTER_SIGNING, flip, of_another};
use super::{ACCEPTED, Family, Form};
use crate::draft::Draft;
use crate::recipe::Recipe;

type Part = fn(&mut Recipe) -> &mut Draft;

pub(super) fn families() -> Vec<Family> {
    let parts: [(&'static str, &'static str, &'static str, Part); 4] = [
        ("tee_root", "tee_root", "event_invalid", |recipe| &mut recipe.root),
        ("build", "build", "builder_invalid", |recipe| &mut recipe.build),
        ("instance", "instance", "launcher_invalid", |recipe| &mut recipe.instance),
        ("release", "release", "release_invalid", |recipe| &mut recipe.releases[0]),
    ];
    parts.into_iter().map(|(name, tag, code, part)| family(name, tag, code, part)).collect()
}

fn family(name: &'static str, tag: &'static str, code: &'static str, part: Part) -> Family {
    let mut faults = Family::new(Form::Announcement, name);
    for (what, _, change) in AFTER_SIGNING {
        faults.add(what, code, move |recipe, _| part(recipe).twist(change));
    }
    for field in ["id", "pubkey", "sig"] {
        faults.add(&format!("{field} flipped"), code, move |recipe, _| part(recipe).twist(flip(field)));
    }
    for field in ["id", "sig"] {
        faults.add(&format!("{field} of another event"), code, move |recipe, _| {
            let other = of_another(part(recipe));
            part(recipe).twist(move |event| event[field] = other[field].clone());
        });
    }
    for (kind, what) in [(1, "a note"), (13_793, "an announcement"), (23_797, "a certificate")] {
        faults.add(&format!("is {what}"), code, move |recipe, _| part(recipe).kind = Kind::from_u16(kind));
    }
    type Rewrite = (&'static str, fn(String) -> String);
    let rewrites: [Rewrite; 6] = [
        ("text cut short", |text| text[..text.len() - 1].to_owned()),
        ("text goes on", |text| text + "x"),
        ("text is null", |_| "null".to_owned()),
        ("text is a list", |text| format!("[{text}]")),
        ("text is quoted once more", |text| serde_json::to_string(&text).unwrap()),
        ("content twice, first wrong", |text| text.replacen('{', r#"{"content":"x","#, 1)),
    ];
    for (what, rewrite) in rewrites {
        faults.add(what, code, move |recipe, _| part(recipe).rewrite(rewrite));
    }
    faults.add("text is empty", code, move |recipe, _| recipe.event.set(tag, ""));
    faults.add("tag without a value", code, move |recipe, _| {
        recipe.event.tags.iter_mut().find(|it| it[0] == tag).unwrap().truncate(1);
    });
    // One maintainer twice is one maintainer.
    let twice = if name == "release" { ACCEPTED } else { code };
    faults.add("twice", twice, move |recipe, _| recipe.event.double(tag, None));
    faults.add("a second that is nothing", code, move |recipe, _| recipe.event.double(tag, Some("{}")));
    // What is not shown is not claimed; an announcement without attestation claims nothing.
    let missing = if name == "tee_root" { "event_invalid" } else { ACCEPTED };
    faults.add("missing", missing, move |recipe, _| recipe.event.drop(tag));
    faults
}
