//! Text for people, made line by line. Everything that is put on a page is made safe for a terminal
//! here, so that no caller can forget it.

use std::fmt::Display;

use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use units::{Msat, UnixSecs};

use super::{Table, safe, time};

/// Wide enough for the longest name of a field.
const NAME_CHARS: usize = 14;

const BOLD: &str = "\u{1b}[1m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// How a page looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Style {
    /// With colours.
    pub(crate) colour: bool,
    /// For a terminal, where pictures can be shown.
    pub(crate) terminal: bool,
}

/// A page in the making.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    style: Style,
    now: UnixSecs,
}

impl Page {
    /// An empty page that shows times as seen at `now`.
    pub(crate) const fn new(style: Style, now: UnixSecs) -> Self {
        Self { text: String::new(), style, now }
    }

    /// The text.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// When times are seen.
    pub(crate) const fn now(&self) -> UnixSecs {
        self.now
    }

    /// True if a terminal shows it.
    pub(crate) const fn on_terminal(&self) -> bool {
        self.style.terminal
    }

    /// A plain line.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.push("", &text);
    }

    /// A line that says that all is well.
    pub(crate) fn good(&mut self, text: impl Display) {
        self.push(GREEN, &text);
    }

    /// A line that should be read.
    pub(crate) fn warn(&mut self, text: impl Display) {
        self.push(YELLOW, &text);
    }

    /// An empty line.
    pub(crate) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A name and its value.
    pub(crate) fn field(&mut self, name: &str, value: impl Display) {
        let name = format!("{name:NAME_CHARS$}");
        self.coloured(DIM, &name);
        let value = value.to_string();
        let value = safe::line(&value);
        self.text.extend([" ", &*value, "\n"]);
    }

    /// A name and its value, if there is one.
    pub(crate) fn maybe(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    /// A key, as people write it.
    pub(crate) fn key(&mut self, name: &str, key: &PublicKey) {
        self.field(name, npub(key));
    }

    /// A moment, both ways.
    pub(crate) fn time(&mut self, name: &str, at: UnixSecs) {
        self.field(name, time::both_ways(at, self.now));
    }

    /// An amount.
    pub(crate) fn sats(&mut self, name: &str, amount: Msat) {
        self.field(name, format!("{amount} sat"));
    }

    /// A table.
    pub(crate) fn table(&mut self, table: &Table) {
        self.push(BOLD, &table.heading());
        for row in table.rows() {
            self.push("", &row);
        }
    }

    /// A picture of ours, line breaks and all.
    pub(crate) fn picture(&mut self, picture: &str) {
        self.text.push_str(picture);
        self.text.push('\n');
    }

    /// JSON of ours, for people to copy: written so that it stays the same value.
    pub(crate) fn json(&mut self, json: &str) {
        self.text.push_str(&safe::json(json));
        self.text.push('\n');
    }

    fn push(&mut self, colour: &str, text: &dyn Display) {
        let text = text.to_string();
        self.coloured(colour, &safe::line(&text));
        self.text.push('\n');
    }

    fn coloured(&mut self, colour: &str, text: &str) {
        if self.style.colour && !colour.is_empty() {
            self.text.extend([colour, text, PLAIN]);
        } else {
            self.text.push_str(text);
        }
    }
}

/// A key as people write it.
pub(crate) fn npub(key: &PublicKey) -> String {
    key.to_bech32().unwrap_or_else(|_| key.to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(colour: bool) -> String {
        let mut page = Page::new(Style { colour, terminal: colour }, UnixSecs(100));
        page.good("fine");
        page.field("name", "a\u{1b}[2Jb");
        page.maybe("none", None::<&str>);
        page.time("until", UnixSecs(160));
        page.sats("price", Msat::new(1_500));
        page.into_text()
    }

    #[test]
    fn page_is_plain_without_a_terminal() {
        assert_eq!(
            page(false),
            "fine\nname           a�[2Jb\nuntil          1970-01-01 00:02:40 UTC (in 1 min)\nprice          1.5 sat\n"
        );
    }

    #[test]
    fn colours_are_ours_alone() {
        let text = page(true);
        assert!(text.starts_with("\u{1b}[32mfine\u{1b}[0m\n"), "{text:?}");
        assert!(text.contains("a�[2Jb"), "{text:?}");
    }
}
