//! RPC over Nostr, as the reference speaks it: an ephemeral event with one `p` tag whose content is
//! NIP-44 of `{"id", "method", "params"}`; the reply is `{"id", "result"}` or `{"id", "error"}` of the
//! same kind. Ours adds `code` beside `error`, so that a reference client still sees a sentence.

pub mod code;
pub mod enclaved;
pub mod keycrux;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use code::Code;

/// Longest request or reply in clear, in bytes. NIP-44 v2 as most libraries have it ends at 65,535.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// Longest request id. The reference uses 12 hex digits.
pub const ID_BYTES_MAX: usize = 128;

/// What a text takes as a JSON string, in bytes, without its quotes: a control character takes up to six.
#[must_use]
pub fn json_bytes(text: &str) -> usize {
    text.chars().map(json_char_bytes).sum()
}

/// Where to cut a text so that it takes at most `bytes_max` as a JSON string.
#[must_use]
pub fn json_end(text: &str, bytes_max: usize) -> usize {
    let mut bytes = 0;
    let cut = text.char_indices().find(|(_, c)| {
        bytes += json_char_bytes(*c);
        bytes > bytes_max
    });
    cut.map_or(text.len(), |(at, _)| at)
}

fn json_char_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        c => c.len_utf8(),
    }
}

/// A request, decrypted.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Request {
    /// The client's name for it; a retry carries the same.
    pub id: String,
    /// What to do.
    pub method: String,
    /// With what.
    #[serde(default)]
    pub params: Value,
}

impl Request {
    /// Parses a decrypted request.
    ///
    /// # Errors
    /// [`Failure`] with [`Code::BadRequest`] or [`Code::RequestTooLarge`].
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(Failure::new(
                Code::RequestTooLarge,
                format!("the request has {} bytes; at most {MESSAGE_BYTES_MAX} are read", text.len()),
            ));
        }
        let request: Self = serde_json::from_str(text).map_err(|e| {
            Failure::new(Code::BadRequest, format!("not a request {{id, method, params}}: {e}"))
        })?;
        if request.id.is_empty() || request.id.len() > ID_BYTES_MAX {
            return Err(Failure::new(
                Code::BadRequest,
                format!("id must have 1 to {ID_BYTES_MAX} bytes; choose a random one per command"),
            ));
        }
        Ok(request)
    }

    /// The hash of everything but the id: two requests with one id must not differ in it.
    #[must_use]
    pub fn body_sha256(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.method.as_bytes());
        hasher.update([0]);
        hasher.update(self.params.to_string().as_bytes());
        hasher.finalize().into()
    }
}

/// A reply, before encryption.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Reply {
    /// The request's id.
    pub id: String,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why nothing came of it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why nothing came of it, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Reply {
    /// The reply to the request `id`.
    #[must_use]
    pub fn new(id: String, outcome: Result<Value, Failure>) -> Self {
        match outcome {
            Ok(result) => Self { id, result: Some(result), error: None, code: None },
            Err(failure) => Self {
                id,
                result: None,
                error: Some(failure.message),
                code: Some(failure.code.as_str().to_owned()),
            },
        }
    }

    /// What came of it, for the client.
    ///
    /// # Errors
    /// [`Refusal`] if the service answered with an error, or with nothing.
    pub fn outcome(self) -> Result<Value, Refusal> {
        match (self.result, self.error) {
            (Some(result), None) => Ok(result),
            (_, Some(message)) => Err(Refusal { code: self.code.unwrap_or_else(|| "error".into()), message }),
            (None, None) => Err(Refusal {
                code: "bad_reply".into(),
                message: "the reply has neither result nor error".into(),
            }),
        }
    }
}

/// Why a request was not carried out: a stable code, and a sentence that is safe to send and says what
/// to do.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{message}")]
pub struct Failure {
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure with a code and a sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A failure as a client sees it. The code may be one that this client does not know.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn request_parses_as_the_reference_sends_it() {
        let request = Request::parse(r#"{"id":"a1","method":"ping","params":{}}"#).unwrap();
        assert_eq!(request, Request { id: "a1".into(), method: "ping".into(), params: json!({}) });
    }

    #[test]
    fn bad_requests_name_their_fault() {
        let long_id = format!(r#"{{"id":"{}","method":"ping"}}"#, "a".repeat(ID_BYTES_MAX + 1));
        let huge = " ".repeat(MESSAGE_BYTES_MAX + 1);
        for (text, code) in [
            ("", Code::BadRequest),
            ("[]", Code::BadRequest),
            (r#"{"id":7,"method":"ping"}"#, Code::BadRequest),
            (r#"{"id":"","method":"ping"}"#, Code::BadRequest),
            (long_id.as_str(), Code::BadRequest),
            (huge.as_str(), Code::RequestTooLarge),
        ] {
            assert_eq!(Request::parse(text).unwrap_err().code, code);
        }
    }

    #[test]
    fn replies_are_pinned() {
        let ok = Reply::new("1".into(), Ok(json!("pong")));
        assert_eq!(serde_json::to_string(&ok).unwrap(), r#"{"id":"1","result":"pong"}"#);
        let failed = Reply::new("1".into(), Err(Failure::new(Code::ServerFull, "no units")));
        let text = serde_json::to_string(&failed).unwrap();
        assert_eq!(text, r#"{"id":"1","error":"no units","code":"server_full"}"#);
        assert_eq!(failed.outcome().unwrap_err().code, "server_full");
    }

    #[test]
    fn text_is_measured_as_it_is_written() {
        let all: String = (0..0x300).filter_map(char::from_u32).chain("\u{ffff}😀".chars()).collect();
        for text in ["", "plain", all.as_str()] {
            assert_eq!(json_bytes(text), serde_json::to_string(text).unwrap().len() - 2);
            for bytes_max in [0, 1, 5, 6, 7, 100, 10_000] {
                let end = json_end(text, bytes_max);
                assert!(json_bytes(&text[..end]) <= bytes_max);
                let next = text[end..].chars().next().map_or(0, char::len_utf8);
                assert!(next == 0 || json_bytes(&text[..end + next]) > bytes_max);
            }
        }
    }

    #[test]
    fn body_hash_covers_method_and_params() {
        let hash =
            |method: &str, params| Request { id: "1".into(), method: method.into(), params }.body_sha256();
        assert_ne!(hash("a", json!({"x": 1})), hash("a", json!({"x": 2})));
        assert_ne!(hash("a", json!({})), hash("b", json!({})));
    }
}
