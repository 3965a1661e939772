//! Canonical JSON (RFC 8785, "JCS"), for whatever is hashed or signed.
//!
//! Our documents hold no fractions, so only integers are written; a fraction is an error rather than a
//! second opinion on how to print a double.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Why a value has no canonical form here.
#[derive(Debug, Error)]
pub enum CanonicalError {
    /// Not representable as JSON at all.
    #[error("the value cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// A number that is not an integer, or outside ±(2^53 − 1), where JSON readers disagree.
    #[error("the number {0} is not an integer that every JSON reader keeps")]
    Number(String),
}

/// The largest integer that every JSON reader keeps exactly: 2^53 − 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// The canonical bytes of `value`.
///
/// # Errors
/// [`CanonicalError`] if it holds something that has no canonical form here.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value).map_err(CanonicalError::Json)?;
    let mut out = Vec::new();
    write_value(&value, &mut out)?;
    Ok(out)
}

/// The SHA-256 of the canonical bytes, as lower-case hex.
///
/// # Errors
/// As [`to_bytes`].
pub fn sha256_hex<T: Serialize>(value: &T) -> Result<String, CanonicalError> {
    Ok(hex::encode(Sha256::digest(to_bytes(value)?)))
}

fn write_value(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Null | Value::Bool(_) => out.extend_from_slice(value.to_string().as_bytes()),
        // serde_json escapes exactly what RFC 8785 asks for: the two-letter escapes, \u00xx for other
        // control characters, and nothing else.
        Value::String(text) => write_string(text, out)?,
        Value::Number(number) => {
            let small = number.as_u64().is_some_and(|n| n <= INTEGER_MAX)
                || number.as_i64().is_some_and(|n| n.unsigned_abs() <= INTEGER_MAX);
            if !small {
                return Err(CanonicalError::Number(number.to_string()));
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            // RFC 8785 sorts names by UTF-16 code units, which differs from bytes beyond the BMP.
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (i, (name, item)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(name, out)?;
                out.push(b':');
                write_value(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    serde_json::to_writer(out, text).map_err(CanonicalError::Json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: Value, expected: &str) {
        assert_eq!(String::from_utf8(to_bytes(&value).unwrap()).unwrap(), expected);
    }

    #[test]
    fn names_are_sorted_by_utf16_and_nothing_is_spaced() {
        check(
            json!({"b": [1, -2, {"y": null, "x": true}], "a": ""}),
            r#"{"a":"","b":[1,-2,{"x":true,"y":null}]}"#,
        );
        // RFC 8785, section 3.2.3: U+1F600 sorts before U+FB33 by UTF-16.
        check(json!({"\u{fb33}": 1, "\u{1f600}": 2}), "{\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn strings_are_escaped_as_the_rfc_says() {
        check(json!("\u{8}\t\n\u{c}\r\"\\/\u{1f}\u{7f}é"), "\"\\b\\t\\n\\f\\r\\\"\\\\/\\u001f\u{7f}é\"");
    }

    #[test]
    fn numbers_that_readers_disagree_about_are_refused() {
        for number in [json!(1.5), json!(INTEGER_MAX + 1), json!(-9_007_199_254_740_992_i64), json!(1e300)] {
            assert!(matches!(to_bytes(&number), Err(CanonicalError::Number(_))), "{number}");
        }
        check(json!([INTEGER_MAX, -9_007_199_254_740_991_i64]), "[9007199254740991,-9007199254740991]");
    }
}
