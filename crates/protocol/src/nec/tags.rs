//! Tags on which a verdict hangs. Where a rule asks for one value, two are an error: a reader that
//! takes the first and a reader that takes the last must not come to different verdicts.

use nostr::event::Event;
use units::UnixSecs;

use super::NecError;
use crate::event::tags_named;

/// The value of the only tag named `name`; none if there is no such tag.
///
/// # Errors
/// [`NecError::Event`] if there are several, or if it has no value.
pub(super) fn single<'e>(event: &'e Event, name: &str) -> Result<Option<&'e str>, NecError> {
    only(tags_named(event, name), || format!("`{name}`"))
}

/// The value of the only tag `[name, value, marker]`; none if there is no such tag.
///
/// # Errors
/// As [`single`].
pub(super) fn marked<'e>(event: &'e Event, name: &str, marker: &str) -> Result<Option<&'e str>, NecError> {
    let marked = tags_named(event, name).filter(|tag| tag.get(2).is_some_and(|third| third == marker));
    only(marked, || format!("`{name}` with {marker:?}"))
}

fn only<'e>(
    mut tags: impl Iterator<Item = &'e [String]>,
    name: impl Fn() -> String,
) -> Result<Option<&'e str>, NecError> {
    let Some(first) = tags.next() else { return Ok(None) };
    if tags.next().is_some() {
        return Err(NecError::Event(format!("more than one tag {}", name())));
    }
    match first.get(1) {
        Some(value) if !value.is_empty() => Ok(Some(value)),
        Some(_) | None => Err(NecError::Event(format!("the tag {} has no value", name()))),
    }
}

/// The NIP-40 expiration of `what`, which must have one.
///
/// # Errors
/// [`NecError::Event`] if there is none, or more than one, or if it is not a number of seconds.
pub(super) fn expiration(event: &Event, what: &str) -> Result<UnixSecs, NecError> {
    match optional_expiration(event)? {
        Some(until) => Ok(until),
        None => Err(NecError::Event(format!("{what} has no `expiration`"))),
    }
}

/// The NIP-40 expiration of an event that may have none.
///
/// # Errors
/// [`NecError::Event`] if there is more than one, or if it is not a number of seconds.
pub(super) fn optional_expiration(event: &Event) -> Result<Option<UnixSecs>, NecError> {
    let Some(text) = single(event, "expiration")? else { return Ok(None) };
    // `parse` alone would take a sign.
    let secs = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    match secs {
        Some(secs) => Ok(Some(UnixSecs(secs))),
        None => Err(NecError::Event(format!("`expiration` {text:?} is not a time in Unix seconds"))),
    }
}

/// True for text as SHA-256 is written everywhere in these events: 64 small hex digits.
pub(super) fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
