//! Every parameter of every method with every wrong type of JSON, and messages that are no requests.

use anyhow::{Context, Result};
use devnet::world::World;
use nostr::key::{Keys, PublicKey};
use protocol::rpc::ID_BYTES_MAX;
use serde_json::{Value, json};

use super::check;
use crate::facts::Facts;
use crate::stranger::Stranger;
use crate::wire::Wire;

/// What is right for a field; all other types are wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Text,
    Whole,
    Flag,
    List,
    Map,
}

/// One value of each type.
fn values() -> [(Kind, Value); 5] {
    [
        (Kind::Text, json!("zz")),
        (Kind::Whole, json!(5)),
        (Kind::Flag, json!(true)),
        (Kind::List, json!([[]])),
        (Kind::Map, json!({"a": 1})),
    ]
}

/// A method, parameters that it would take, and the types of its fields with the code for others.
struct Shape {
    method: &'static str,
    params: Value,
    fields: &'static [(&'static str, Kind, &'static str)],
    /// Fields that must be there, with the code for leaving them out.
    required: &'static [(&'static str, &'static str)],
}

const LAUNCH_FIELDS: &[(&str, Kind, &str)] = &[
    ("docker", Kind::Text, "params_invalid"),
    ("units", Kind::Whole, "units_invalid"),
    ("name", Kind::Text, "params_invalid"),
    ("args", Kind::List, "params_invalid"),
    ("env", Kind::Map, "params_invalid"),
    ("ports", Kind::List, "params_invalid"),
    ("volumes", Kind::List, "params_invalid"),
    ("egress", Kind::Text, "params_invalid"),
    ("upgrade", Kind::Text, "params_invalid"),
    ("salt", Kind::Text, "params_invalid"),
    ("logs", Kind::Flag, "params_invalid"),
];
const PUBKEY: (&str, Kind, &str) = ("pubkey", Kind::Text, "params_invalid");

fn shapes(image: &str, pubkey: &PublicKey) -> Vec<Shape> {
    let launch = |method| Shape {
        method,
        params: json!({"docker": image, "units": 1}),
        fields: LAUNCH_FIELDS,
        required: &[("docker", "params_invalid"), ("units", "units_invalid")],
    };
    let of_container = |method| Shape {
        method,
        params: json!({"pubkey": pubkey}),
        fields: &[PUBKEY],
        required: &[("pubkey", "params_invalid")],
    };
    let mut shapes: Vec<_> =
        ["info", "status", "pause", "resume", "terminate"].map(of_container).into_iter().collect();
    shapes.extend(["quote", "launch"].map(launch));
    shapes.push(Shape {
        method: "topup",
        params: json!({"pubkey": pubkey, "amount_msat": 5_000}),
        fields: &[PUBKEY, ("amount_msat", Kind::Whole, "params_invalid")],
        required: &[("pubkey", "params_invalid"), ("amount_msat", "params_invalid")],
    });
    shapes.push(Shape {
        method: "withdraw",
        params: json!({"pubkey": pubkey, "invoice": "lnbcrt1"}),
        fields: &[PUBKEY, ("invoice", Kind::Text, "params_invalid")],
        required: &[("pubkey", "params_invalid"), ("invoice", "params_invalid")],
    });
    shapes.push(Shape { method: "list", params: json!({}), fields: &[], required: &[] });
    shapes
}

/// `who` owns the container, so that nothing but the parameters is wrong.
pub(super) async fn wrong_types(
    world: &World,
    who: &Stranger,
    image: &str,
    pubkey: &PublicKey,
) -> Result<()> {
    let mut tried = 0;
    for shape in shapes(image, pubkey) {
        for (params, code) in wrong_params(&shape) {
            check(world, who, &[shape.method], &params, code).await?;
            tried += 1;
        }
    }
    println!("{tried} malformed parameters refused");
    Ok(())
}

fn wrong_params(shape: &Shape) -> Vec<(Value, &'static str)> {
    let mut wrong = Vec::new();
    // Not an object at all: a list of the right values in order is no less wrong.
    for params in [json!(5), json!("x"), json!(true), json!([]), json!([1]), in_order(shape)] {
        wrong.push((params, "params_invalid"));
    }
    for (field, right, code) in shape.fields {
        for (_, value) in values().into_iter().filter(|(kind, _)| kind != right) {
            wrong.push((changed(shape, field, Some(value)), *code));
        }
        if *right == Kind::Whole {
            wrong.push((changed(shape, field, Some(json!(1.5))), *code));
            wrong.push((changed(shape, field, Some(json!(1e30))), *code));
        }
    }
    for (field, code) in shape.required {
        wrong.push((changed(shape, field, None), *code));
        wrong.push((changed(shape, field, Some(Value::Null)), *code));
    }
    if shape.fields.contains(&PUBKEY) {
        let hex = shape.params["pubkey"].as_str().unwrap();
        for text in ["", "zz", &hex[1..], &hex[2..], &format!("{hex}0"), &format!("{}g", &hex[1..])] {
            wrong.push((changed(shape, "pubkey", Some(json!(text))), "params_invalid"));
        }
    }
    wrong.push((changed(shape, "unknown", Some(json!(1))), "params_invalid"));
    wrong
}

fn in_order(shape: &Shape) -> Value {
    shape.fields.iter().filter_map(|(field, _, _)| shape.params.get(field).cloned()).collect()
}

fn changed(shape: &Shape, field: &str, value: Option<Value>) -> Value {
    let mut params = shape.params.clone();
    let fields = params.as_object_mut().unwrap();
    match value {
        Some(value) => drop(fields.insert(field.to_owned(), value)),
        None => drop(fields.remove(field)),
    }
    params
}

/// Texts that are no requests are answered, with an empty id, because nothing else is known of them.
pub(super) async fn no_requests(world: &World) -> Result<()> {
    let mut wire = Wire::open(world, &Keys::generate()).await?;
    let before = Facts::of(world).await?;
    let long_id = "i".repeat(ID_BYTES_MAX + 1);
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let texts = [
        "not JSON".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        r#"{"method": "ping"}"#.to_owned(),
        r#"{"id": 7, "method": "ping"}"#.to_owned(),
        r#"{"id": "", "method": "ping"}"#.to_owned(),
        r#"{"id": "1"}"#.to_owned(),
        r#"{"id": "1", "id": "2", "method": "ping"}"#.to_owned(),
        json!({"id": long_id, "method": "ping"}).to_string(),
        format!(r#"{{"id": "1", "method": "ping", "params": {deep}}}"#),
    ];
    for text in texts {
        wire.send(&wire.sealed(&text)?).await;
        let start: String = text.chars().take(60).collect();
        let reply = wire.reply("").await.context(start.clone())?;
        assert_eq!(reply.code.as_deref(), Some("bad_request"), "{start}");
        assert!(reply.error.is_some_and(|error| error.len() > 10), "{start}");
    }
    assert_eq!(Facts::of(world).await?, before);
    Ok(())
}
