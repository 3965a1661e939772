//! Who asks (NIP-98): an event that names the method, the whole URL and the hash of the body, made within
//! the last minute. That it is used once is for the log of requests to say.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::event::Kind;
use protocol::event::{CheckedEvent, tags_named};
use protocol::rpc::{Code, Failure, ID_BYTES_MAX};
use sha2::{Digest, Sha256};
use units::UnixSecs;

use super::asking::IDEMPOTENCY_KEY;

/// What the header begins with.
const SCHEME: &str = "Nostr ";
/// Longest header: an event of a few tags.
const HEADER_BYTES_MAX: usize = 4 * 1024;
/// How far its time may lie from ours.
pub(super) const SKEW_SECS_MAX: u64 = 60;

/// What the event must stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) body: &'a [u8],
}

/// Checks the value of an `Authorization` header.
///
/// # Errors
/// [`Code::AuthInvalid`], naming what is wrong.
pub(super) fn check(header: Option<&str>, asked: Asked<'_>, now: UnixSecs) -> Result<CheckedEvent, Failure> {
    let header = header.ok_or_else(|| {
        invalid(
            "sign the request: the header Authorization: Nostr … must hold an event of kind 27235 (NIP-98)",
        )
    })?;
    if header.len() > HEADER_BYTES_MAX {
        return Err(invalid("the header Authorization is too long"));
    }
    let event = header.strip_prefix(SCHEME).and_then(|text| STANDARD.decode(text.trim()).ok());
    let event = event.and_then(|bytes| String::from_utf8(bytes).ok());
    let event =
        event.ok_or_else(|| invalid("the header Authorization must be `Nostr ` and an event in base64"))?;
    let event =
        CheckedEvent::parse(&event).map_err(|e| invalid(&format!("the event is not believed: {e}")))?;
    if event.kind != Kind::HttpAuth {
        return Err(invalid("the event's kind must be 27235"));
    }
    let age_secs = now.0.abs_diff(event.created_at().0);
    if age_secs > SKEW_SECS_MAX {
        let message = format!("the event is {age_secs} s off this server's clock ({now}); sign a new one");
        return Err(invalid(&message));
    }
    if only(&event, "u")? != Some(asked.url) {
        return Err(invalid(&format!("the event's u tag must be {}", asked.url)));
    }
    if !only(&event, "method")?.is_some_and(|method| method.eq_ignore_ascii_case(asked.method)) {
        return Err(invalid(&format!("the event's method tag must be {}", asked.method)));
    }
    let hash = hex::encode(Sha256::digest(asked.body));
    match only(&event, "payload")? {
        Some(payload) if payload == hash => Ok(event),
        None if asked.body.is_empty() => Ok(event),
        Some(_) | None => Err(invalid("the event's payload tag must be the SHA-256 of the body, in hex")),
    }
}

/// The name by which a command is known when it is sent again: what the event's tag says, because a header
/// that nobody signed could be changed on its way, and a command be carried out twice.
///
/// # Errors
/// [`Code::AuthInvalid`] if a header says something else.
pub(super) fn idempotency_key<'e>(
    event: &'e CheckedEvent,
    header: Option<&str>,
) -> Result<Option<&'e str>, Failure> {
    let signed = only(event, IDEMPOTENCY_KEY)?;
    if signed.is_some_and(|id| id.is_empty() || id.len() > ID_BYTES_MAX) {
        return Err(invalid(&format!(
            "the event's {IDEMPOTENCY_KEY} tag must have 1 to {ID_BYTES_MAX} bytes"
        )));
    }
    if header.is_some() && header != signed {
        return Err(invalid(&format!(
            "sign the header Idempotency-Key: put its value into the event, too, as the tag {IDEMPOTENCY_KEY}"
        )));
    }
    Ok(signed)
}

/// The value of the only tag of this name.
fn only<'e>(event: &'e CheckedEvent, name: &str) -> Result<Option<&'e str>, Failure> {
    let mut tags = tags_named(event, name);
    let value = tags.next().map(|tag| tag.get(1).map(String::as_str).unwrap_or_default());
    match tags.next() {
        None => Ok(value),
        Some(_) => Err(invalid(&format!("the event must have one {name} tag"))),
    }
}

fn invalid(message: &str) -> Failure {
    Failure::new(Code::AuthInvalid, message)
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;
    use protocol::event::sign;
    use protocol::tag;

    use super::*;

    const NOW: UnixSecs = UnixSecs(1_800_000_000);
    const URL: &str = "http://192.0.2.1:8080/v1/containers?x=1";
    const ASKED: Asked<'_> = Asked { method: "POST", url: URL, body: b"{}" };

    fn hash(body: &[u8]) -> String {
        hex::encode(Sha256::digest(body))
    }

    fn tags() -> Vec<Vec<String>> {
        vec![tag!["u", URL], tag!["method", "POST"], tag!["payload", hash(b"{}")]]
    }

    fn header(kind: Kind, at: UnixSecs, tags: Vec<Vec<String>>) -> String {
        let event = sign(&Keys::generate(), kind, at, tags, String::new()).unwrap();
        format!("Nostr {}", STANDARD.encode(event.as_json()))
    }

    #[track_caller]
    fn refused(header: Option<&str>, part: &str) {
        let failure = check(header, ASKED, NOW).expect_err(part);
        assert_eq!(failure.code, Code::AuthInvalid);
        assert!(failure.message.contains(part), "{failure}");
    }

    #[test]
    fn event_stands_for_its_request_for_a_minute_either_way() {
        for at in [NOW, NOW.minus_secs(60), NOW.plus_secs(60)] {
            assert!(check(Some(&header(Kind::HttpAuth, at, tags())), ASKED, NOW).is_ok());
        }
        for at in [NOW.minus_secs(61), NOW.plus_secs(61)] {
            refused(Some(&header(Kind::HttpAuth, at, tags())), "61 s off");
        }
        let lower = vec![tag!["u", URL], tag!["method", "post"], tag!["payload", hash(b"{}")]];
        assert!(check(Some(&header(Kind::HttpAuth, NOW, lower)), ASKED, NOW).is_ok());
    }

    #[test]
    fn without_a_body_no_payload_is_needed_and_a_wrong_one_is_refused() {
        let asked = Asked { body: b"", ..ASKED };
        let without = header(Kind::HttpAuth, NOW, tags()[..2].to_vec());
        assert!(check(Some(&without), asked, NOW).is_ok());
        assert!(check(Some(&header(Kind::HttpAuth, NOW, tags())), asked, NOW).is_err());
        refused(Some(&without), "payload");
    }

    #[test]
    fn events_that_stand_for_something_else_are_refused() {
        refused(None, "sign the request");
        refused(Some("Bearer x"), "in base64");
        refused(Some("Nostr !"), "in base64");
        refused(Some("Nostr e30="), "not believed");
        refused(Some(&"x".repeat(HEADER_BYTES_MAX + 1)), "too long");
        refused(Some(&header(Kind::TextNote, NOW, tags())), "kind must be 27235");
        for (index, tag, part) in [
            (0, tag!["u", "http://192.0.2.1:8080/v1/containers"], "u tag must be"),
            (0, tag!["u", "http://evil.example/v1/containers?x=1"], "u tag must be"),
            (0, tag!["x", ""], "u tag must be"),
            (1, tag!["method", "GET"], "method tag must be POST"),
            (1, tag!["u", URL], "one u tag"),
            (2, tag!["payload", hash(b"{ }")], "payload tag must be"),
            (2, tag!["payload"], "payload tag must be"),
        ] {
            let mut tags = tags();
            tags[index] = tag;
            refused(Some(&header(Kind::HttpAuth, NOW, tags)), part);
        }
    }

    #[test]
    fn altered_event_is_refused() {
        let event = sign(&Keys::generate(), Kind::HttpAuth, NOW, tags(), String::new()).unwrap();
        let other = event.as_json().replace("POST", "post");
        refused(Some(&format!("Nostr {}", STANDARD.encode(other))), "not believed");
    }

    /// The key, or a part of the refusal.
    type Expected<'c> = Result<Option<&'c str>, &'c str>;

    #[test]
    fn idempotency_key_is_what_was_signed() {
        let long = "x".repeat(ID_BYTES_MAX + 1);
        let cases: [(&[&str], Option<&str>, Expected<'_>); 8] = [
            (&[], None, Ok(None)),
            (&["one"], Some("one"), Ok(Some("one"))),
            (&["one"], None, Ok(Some("one"))),
            (&["one"], Some("two"), Err("sign the header")),
            (&[], Some("one"), Err("sign the header")),
            (&["one", "one"], Some("one"), Err("one idempotency-key tag")),
            (&[""], None, Err("1 to")),
            (&[&long], None, Err("1 to")),
        ];
        for (signed, header, expected) in cases {
            let tags = signed.iter().map(|id| tag![IDEMPOTENCY_KEY, id]).collect();
            let event = sign(&Keys::generate(), Kind::HttpAuth, NOW, tags, String::new()).unwrap();
            match (idempotency_key(&event, header), expected) {
                (Ok(id), Ok(expected)) => assert_eq!(id, expected),
                (Err(failure), Err(part)) => assert!(failure.message.contains(part), "{failure}"),
                (came, expected) => panic!("{signed:?} {header:?}: {came:?}, not {expected:?}"),
            }
        }
    }
}
