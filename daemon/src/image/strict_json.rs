//! JSON that two readers cannot understand differently.
//!
//! The container engine is written in Go, whose decoder takes the last of several equal keys and finds
//! fields without regard to case. An image's configuration with `"Volumes"` and `"volumes"` would show
//! us one set of volumes and the engine another. So keys that appear twice are refused, and so are
//! keys that only Go would take for a field that we read.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses a document in which no object has the same key twice.
///
/// # Errors
/// What `serde_json` says, or "duplicate key".
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0)
}

/// True if some key of `object` is not one of `fields` but Go would take it for one.
pub(crate) fn has_lookalike(object: &Map<String, Value>, fields: &[&str]) -> bool {
    object.keys().any(|key| fields.iter().any(|field| key != field && fold(key).eq(fold(field))))
}

/// Folds as Go's `encoding/json` does: simple Unicode folding, of which only two characters beyond
/// ASCII meet ASCII letters (the long s and the Kelvin sign).
fn fold(key: &str) -> impl Iterator<Item = char> {
    key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    })
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_documents_are_read_as_they_are() {
        for text in [r#"{"a":[1,-2,0.5,null,true,"x"],"b":{"c":{}}}"#, "[]", "null", r#"{"A":1,"a":2}"#] {
            assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        }
    }

    #[test]
    fn duplicate_keys_and_broken_documents_are_refused() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"[{"x":{"a":1,"\u0061":2}}]"#, "{", "{} {}", "", "\"\u{0}\"", "[1e999]"]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"\"\xff\"").is_err(), "not UTF-8");
        assert!(parse("[".repeat(10_000).as_bytes()).is_err(), "too deep");
    }

    #[test]
    fn keys_that_go_takes_for_a_field_are_found() {
        let check = |key: &str, field: &str| {
            let object = Map::from_iter([(key.to_owned(), Value::Null)]);
            has_lookalike(&object, &[field])
        };
        for key in ["volumes", "VOLUMES", "Volume\u{17f}", "vOlumes"] {
            assert!(check(key, "Volumes"), "{key}");
        }
        assert!(check("networ\u{212a}", "Network"));
        for key in ["Volumes", "Volume", "Volumes ", "Völumes"] {
            assert!(!check(key, "Volumes"), "{key}");
        }
    }
}
