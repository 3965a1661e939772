//! Writing: items one after another, each head as short as it can be.

use super::{INDEFINITE, major, simple};

/// Builds CBOR. The caller keeps the promises it makes: `array(2)` must be followed by two items.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Starts with nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { out: Vec::new() }
    }

    /// Starts with room for `capacity_bytes`.
    #[must_use]
    pub fn with_capacity(capacity_bytes: usize) -> Self {
        Self { out: Vec::with_capacity(capacity_bytes) }
    }

    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// An unsigned integer.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(major::UINT, value)
    }

    /// An integer of either sign.
    pub fn int(&mut self, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(value) => self.uint(value),
            // Major type 1 holds −1 − n, which is the bitwise complement.
            Err(_) => self.head(major::NEGATIVE, (!value).unsigned_abs()),
        }
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.bytes_head(value.len());
        self.out.extend_from_slice(value);
        self
    }

    /// The head of a byte string of `length` bytes, which the caller puts behind it.
    pub fn bytes_head(&mut self, length: usize) -> &mut Self {
        self.head(major::BYTES, length as u64)
    }

    /// Items that are encoded already, as they are.
    pub fn raw(&mut self, items: &[u8]) -> &mut Self {
        self.out.extend_from_slice(items);
        self
    }

    /// A byte string, or `null`.
    pub fn optional_bytes(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => self.bytes(value),
            None => self.null(),
        }
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(major::TEXT, value.len() as u64);
        self.out.extend_from_slice(value.as_bytes());
        self
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.out.push(if value { simple::TRUE } else { simple::FALSE });
        self
    }

    /// `null`.
    pub fn null(&mut self) -> &mut Self {
        self.out.push(simple::NULL);
        self
    }

    /// A tag; the tagged item follows.
    pub fn tag(&mut self, number: u64) -> &mut Self {
        self.head(major::TAG, number)
    }

    /// An array of `length` items, which follow.
    pub fn array(&mut self, length: usize) -> &mut Self {
        self.head(major::ARRAY, length as u64)
    }

    /// A map of `length` entries, each a key and a value, which follow.
    pub fn map(&mut self, length: usize) -> &mut Self {
        self.head(major::MAP, length as u64)
    }

    /// An array of indefinite length; [`Self::end`] follows the last item.
    pub fn array_indefinite(&mut self) -> &mut Self {
        self.out.push(major::ARRAY << 5 | INDEFINITE);
        self
    }

    /// A map of indefinite length; [`Self::end`] follows the last entry.
    pub fn map_indefinite(&mut self) -> &mut Self {
        self.out.push(major::MAP << 5 | INDEFINITE);
        self
    }

    /// Ends the innermost array or map of indefinite length.
    pub fn end(&mut self) -> &mut Self {
        self.out.push(simple::BREAK);
        self
    }

    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let first = major << 5;
        let [_, _, _, _, b4, b5, b6, b7] = value.to_be_bytes();
        match value {
            0..=23 => self.out.push(first | b7),
            24..=0xff => self.out.extend_from_slice(&[first | 24, b7]),
            0x100..=0xffff => self.out.extend_from_slice(&[first | 25, b6, b7]),
            0x1_0000..=0xffff_ffff => self.out.extend_from_slice(&[first | 26, b4, b5, b6, b7]),
            _ => {
                self.out.push(first | 27);
                self.out.extend_from_slice(&value.to_be_bytes());
            }
        }
        self
    }
}
