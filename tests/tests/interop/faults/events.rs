//! The announcement itself, as an event.

use nostr::event::Kind;
use protocol::event::EVENT_BYTES_MAX;
use serde_json::{Value, json};

use super::{ACCEPTED, Family, Form};
use crate::draft::Draft;

/// Changes the first digit.
pub(super) fn other_digit(text: &str) -> String {
    let first = if text.starts_with('0') { "1" } else { "0" };
    format!("{first}{}", &text[1..])
}

pub(crate) fn flip(name: &'static str) -> impl Fn(&mut Value) {
    move |event| event[name] = other_digit(event[name].as_str().unwrap()).into()
}

/// The id and signature of another event by the same key.
pub(super) fn of_another(draft: &Draft) -> Value {
    let mut other = draft.clone();
    other.content.push('x');
    serde_json::from_str(&other.text()).unwrap()
}

type Change = (&'static str, &'static str, fn(&mut Value));

/// What happens to an event after it was signed.
pub(super) const AFTER_SIGNING: [Change; 6] = [
    ("created_at changed", "event_invalid", |event| event["created_at"] = 1_750_000_001.into()),
    ("content changed", "event_invalid", |event| event["content"] = "pay me".into()),
    ("tag added", "event_invalid", |event| event["tags"].as_array_mut().unwrap().push(json!(["o", "false"]))),
    ("kind changed", "event_invalid", |event| event["kind"] = 13_794.into()),
    ("no id", "event_invalid", |event| drop(event.as_object_mut().unwrap().remove("id"))),
    ("no signature", "event_invalid", |event| drop(event.as_object_mut().unwrap().remove("sig"))),
];

pub(super) fn family() -> Family {
    let mut faults = Family::new(Form::Announcement, "event");
    for (name, code, change) in AFTER_SIGNING {
        faults.add(name, code, move |recipe, _| recipe.event.twist(change));
    }
    let values: [Change; 11] = [
        ("signature empty", "event_invalid", |event| event["sig"] = "".into()),
        ("kind is text", "event_invalid", |event| event["kind"] = "13793".into()),
        ("created_at is text", "event_invalid", |event| event["created_at"] = "1750000000".into()),
        ("created_at is null", "event_invalid", |event| event["created_at"] = Value::Null),
        ("created_at is negative", "event_invalid", |event| event["created_at"] = (-1).into()),
        ("created_at is a fraction", "event_invalid", |event| event["created_at"] = 1_750_000_000.5.into()),
        ("tags is an object", "event_invalid", |event| event["tags"] = json!({})),
        ("tag of numbers", "event_invalid", |event| event["tags"][0] = json!([1, 2])),
        ("content is null", "event_invalid", |event| event["content"] = Value::Null),
        ("unknown field", ACCEPTED, |event| event["seen_on"] = json!(["wss://relay.example"])),
        ("pubkey of nobody", "event_invalid", |event| event["pubkey"] = "00".repeat(32).into()),
    ];
    for (name, code, change) in values {
        faults.add(name, code, move |recipe, _| recipe.event.twist(change));
    }
    for part in ["id", "pubkey", "sig"] {
        faults.add(&format!("{part} flipped"), "event_invalid", move |recipe, _| {
            recipe.event.twist(flip(part));
        });
        faults.add(&format!("{part} in capitals"), "event_invalid", move |recipe, _| {
            recipe
                .event
                .twist(move |event| event[part] = event[part].as_str().unwrap().to_uppercase().into());
        });
        faults.add(&format!("{part} too short"), "event_invalid", move |recipe, _| {
            recipe.event.twist(move |event| event[part] = event[part].as_str().unwrap()[2..].into());
        });
    }
    for part in ["id", "sig"] {
        faults.add(&format!("{part} of another event"), "event_invalid", move |recipe, _| {
            let other = of_another(&recipe.event);
            recipe.event.twist(move |event| event[part] = other[part].clone());
        });
    }
    faults.add("signed by a stranger for the service", "event_invalid", |recipe, stage| {
        let service = stage.service.public_key().to_hex();
        recipe.event.keys = stage.stranger.clone();
        recipe.event.twist(move |event| event["pubkey"] = service.clone().into());
    });
    faults.add("published by a stranger", "key_mismatch", |recipe, stage| {
        recipe.event.keys = stage.stranger.clone();
    });
    for kind in [1, 13_792, 23_793, 30_078, 63_797] {
        faults.add(&format!("kind {kind}"), "event_invalid", move |recipe, _| {
            recipe.event.kind = Kind::from_u16(kind);
        });
    }
    texts(&mut faults);
    faults
}

fn texts(faults: &mut Family) {
    type Rewrite = (&'static str, &'static str, fn(String) -> String);
    let rewrites: [Rewrite; 9] = [
        ("text cut short", "event_invalid", |text| text[..text.len() - 1].to_owned()),
        ("text goes on", "event_invalid", |text| text + "x"),
        ("text of two events", "event_invalid", |text| format!("{text}{text}")),
        ("text is empty", "event_invalid", |_| String::new()),
        ("text is null", "event_invalid", |_| "null".to_owned()),
        ("text is a list", "event_invalid", |text| format!("[{text}]")),
        ("spaces around the text", ACCEPTED, |text| format!(" \n{text} ")),
        ("content twice, first wrong", "event_invalid", |text| {
            text.replacen('{', r#"{"content":"pay me","#, 1)
        }),
        ("longer than is read", "event_invalid", |text| text + &" ".repeat(EVENT_BYTES_MAX)),
    ];
    for (name, code, rewrite) in rewrites {
        faults.add(name, code, move |recipe, _| recipe.event.rewrite(rewrite));
    }
}
