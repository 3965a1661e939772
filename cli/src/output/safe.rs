//! Text of strangers, before it reaches a terminal.
//!
//! Whatever comes from a relay, a server or a wallet may hold control characters that move the cursor,
//! rename the window or answer in the user's name, and direction marks that make one text look like
//! another. They are replaced, not passed on.

use std::borrow::Cow;

/// Stands where a character was that must not reach a terminal.
const REPLACEMENT: char = '\u{fffd}';

/// What begins a secret that people paste by mistake.
const SECRET_PREFIXES: [&str; 3] = ["nsec1", "nostr+walletconnect:", "bunker://"];

/// Not for terminals: control characters, line and paragraph separators, direction marks, and
/// characters without width.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// One line of text without anything that a terminal would act on.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unsafe) {
        return Cow::Owned(text.chars().map(|c| if is_unsafe(c) { REPLACEMENT } else { c }).collect());
    }
    Cow::Borrowed(text)
}

/// JSON in which such characters are escaped: the same value, safe to look at.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if is_unsafe(c) {
            // They occur within strings only: the writer of JSON puts none between tokens.
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// The text with what looks like a secret taken out.
pub(crate) fn without_secrets(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = SECRET_PREFIXES.iter().filter_map(|prefix| rest.find(prefix)).min() {
        let (before, secret) = rest.split_at(at);
        clean.push_str(before);
        clean.push('…');
        let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | ',' | ';' | ')');
        rest = secret.find(ends).map_or("", |end| &secret[end..]);
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        for (text, expected) in [
            ("plain, ünïcode ✓", "plain, ünïcode ✓"),
            ("\u{1b}]0;pwned\u{7}x", "�]0;pwned�x"),
            ("a\nb\tc\rd", "a�b�c�d"),
            ("\u{9b}2J", "�2J"),
            ("abc\u{202e}cod.exe", "abc�cod.exe"),
            ("a\u{200b}b\u{e0041}", "a�b�"),
        ] {
            assert_eq!(line(text), expected);
        }
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({"name": "\u{9b}31m\u{7f}\u{202e}\u{e0041}é\n"});
        let text = value.to_string();
        let escaped = json(&text);
        assert!(!escaped.chars().any(is_unsafe), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
        assert!(matches!(json("{\"a\":1}"), Cow::Borrowed(_)));
    }

    #[test]
    fn secrets_are_taken_out_wherever_they_stand() {
        for (text, expected) in [
            ("nothing to hide", "nothing to hide"),
            ("unexpected argument 'nsec1abc' found", "unexpected argument '…' found"),
            ("nsec1a nsec1b", "… …"),
            ("nostr+walletconnect://w?relay=wss://r&secret=s", "…"),
            ("(bunker://k?secret=s) and nsec1z", "(…) and …"),
        ] {
            assert_eq!(without_secrets(text), expected);
        }
    }
}
