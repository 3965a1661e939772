//! What is said to a remote signer and what it says (NIP-46).

use serde::{Deserialize, Serialize};

/// Longest error of a signer that is passed on, in characters.
const ERROR_CHARS_MAX: usize = 300;

/// A request.
#[derive(Debug, Serialize)]
pub(super) struct Request<'r> {
    pub(super) id: &'r str,
    pub(super) method: &'r str,
    pub(super) params: &'r [&'r str],
}

/// A reply, as it comes.
#[derive(Debug, Deserialize)]
struct Reply {
    id: String,
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// What a reply comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// The result.
    Result(String),
    /// The signer does not do it, with its reason.
    Refused(String),
    /// The signer asks its owner first, at this address. The answer comes later.
    Confirm(String),
    /// Neither a result nor an error.
    Nothing,
}

/// Reads a reply to the request `id`; none if it is to another one, or is no reply.
pub(super) fn read(text: &str, id: &str) -> Option<Answer> {
    let reply: Reply = serde_json::from_str(text).ok()?;
    if reply.id != id {
        return None;
    }
    let error = reply.error.filter(|error| !error.is_empty());
    Some(match (reply.result, error) {
        (Some(result), Some(url)) if result == "auth_url" => Answer::Confirm(url),
        (_, Some(error)) => Answer::Refused(error.chars().take(ERROR_CHARS_MAX).collect()),
        (Some(result), None) => Answer::Result(result),
        (None, None) => Answer::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Answer>) {
        assert_eq!(read(text, "1"), expected, "{text}");
    }

    #[test]
    fn replies_are_results_or_refusals() {
        check(r#"{"id":"1","result":"ack"}"#, Some(Answer::Result("ack".into())));
        check(r#"{"id":"1","result":"ack","error":null}"#, Some(Answer::Result("ack".into())));
        check(r#"{"id":"1","result":"ack","error":"","more":1}"#, Some(Answer::Result("ack".into())));
        check(r#"{"id":"1","result":null,"error":"no"}"#, Some(Answer::Refused("no".into())));
        check(r#"{"id":"1","result":"x","error":"no"}"#, Some(Answer::Refused("no".into())));
        check(
            r#"{"id":"1","result":"auth_url","error":"https://a"}"#,
            Some(Answer::Confirm("https://a".into())),
        );
        check(r#"{"id":"1"}"#, Some(Answer::Nothing));
        let long = format!(r#"{{"id":"1","error":"{}"}}"#, "é".repeat(1_000));
        check(&long, Some(Answer::Refused("é".repeat(ERROR_CHARS_MAX))));
    }

    #[test]
    fn other_replies_are_not_ours() {
        for text in
            ["", "[]", r#"{"result":"ack"}"#, r#"{"id":"2","result":"ack"}"#, r#"{"id":1,"result":"x"}"#]
        {
            check(text, None);
        }
    }

    #[test]
    fn request_is_written_as_signers_read_it() {
        let request = Request { id: "1", method: "connect", params: &["key", "secret"] };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"id":"1","method":"connect","params":["key","secret"]}"#);
    }
}
