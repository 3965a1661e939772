//! A method's parameters from path, query and body.

use nostr::key::PublicKey;
use protocol::rpc::enclaved::{ContainerParams, parse_params};
use protocol::rpc::{Code, Failure};
use serde_json::{Map, Value};

use super::asking::Asking;
use super::routes::Route;

/// Gathers the parameters of a method, by their names in RPC.
pub(super) fn read(route: &Route, asking: &Asking) -> Result<Value, Failure> {
    let mut params = body(&asking.body)?;
    for (name, value) in url::form_urlencoded::parse(asking.query.as_deref().unwrap_or_default().as_bytes()) {
        if !route.query.contains(&name.as_ref()) {
            return Err(invalid(format!("the query knows {:?}, not {name:?}", route.query)));
        }
        let value = match value.parse::<u32>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(value.into_owned()),
        };
        if params.insert(name.clone().into_owned(), value).is_some() {
            return Err(invalid(format!("{name} is given twice")));
        }
    }
    if let Some(text) = &asking.container {
        let key = PublicKey::parse(text).map_err(|_| {
            invalid("the path must name the container by its key, as npub or in hex".to_owned())
        })?;
        let key = Value::from(key.to_hex());
        if params.insert("pubkey".to_owned(), key.clone()).is_some_and(|other| other != key) {
            return Err(invalid("pubkey: path and body name different containers".to_owned()));
        }
    }
    Ok(Value::Object(params))
}

fn body(bytes: &[u8]) -> Result<Map<String, Value>, Failure> {
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(invalid("the body must be a JSON object with named fields".to_owned())),
        Err(e) => Err(Failure::new(Code::BadRequest, format!("the body is not JSON: {e}"))),
    }
}

pub(super) fn pubkey(params: &Value) -> Result<PublicKey, Failure> {
    parse_params::<ContainerParams>(params).map(|params| params.pubkey)
}

fn invalid(message: String) -> Failure {
    Failure::new(Code::ParamsInvalid, message)
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;
    use nostr::nips::nip19::ToBech32;
    use serde_json::json;

    use super::*;
    use crate::http::routes::{ROUTES, Verb};

    fn asking(container: Option<String>, query: Option<&str>, body: &str) -> Asking {
        Asking {
            verb: Verb::Get,
            target: String::new(),
            query: query.map(str::to_owned),
            authorization: None,
            id: None,
            body: body.into(),
            container,
            closing: tokio::sync::watch::channel(false).1,
        }
    }

    fn read_logs(container: &str, query: Option<&str>, body: &str) -> Result<Value, String> {
        let route = ROUTES.iter().find(|route| route.path.ends_with("/logs")).unwrap();
        read(route, &asking(Some(container.to_owned()), query, body)).map_err(|failure| failure.message)
    }

    #[test]
    fn parameters_come_from_everywhere() {
        let key = Keys::generate().public_key();
        let (npub, hex) = (key.to_bech32().unwrap(), key.to_hex());
        for (query, body, expected) in [
            (None, "", json!({"pubkey": hex})),
            (
                Some("lines=5&after=2026-01-01T00%3A00"),
                "",
                json!({"pubkey": hex, "lines": 5, "after": "2026-01-01T00:00"}),
            ),
            (None, r#"{"lines": 7}"#, json!({"pubkey": hex, "lines": 7})),
            (Some(""), &format!(r#"{{"pubkey": "{hex}"}}"#), json!({"pubkey": hex})),
        ] {
            assert_eq!(read_logs(&npub, query, body), Ok(expected.clone()));
            assert_eq!(read_logs(&hex, query, body), Ok(expected));
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let hex = Keys::generate().public_key().to_hex();
        let other = format!(r#"{{"pubkey": "{}"}}"#, Keys::generate().public_key());
        for (container, query, body, part) in [
            ("x", None, "", "by its key"),
            (hex.as_str(), None, other.as_str(), "different containers"),
            (&hex, Some("limit=5"), "", "not \"limit\""),
            (&hex, Some("lines=5&lines=6"), "", "given twice"),
            (&hex, Some("lines=5"), r#"{"lines": 7}"#, "given twice"),
            (&hex, None, "[]", "JSON object"),
            (&hex, None, "{", "not JSON"),
        ] {
            let error = read_logs(container, query, body).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }
}
