//! Reading: the caller says what it expects, item by item, and gets that or an error.

use super::{CborError, INDEFINITE, major, simple};

/// How deep arrays, maps and tags may nest inside a value that is skipped. What the NSM's messages
/// hold is three levels deep; the rest is room for fields that do not exist yet.
pub const MAX_DEPTH: u8 = 8;

/// How many entries a map inside a skipped value may have: each key is compared with those before it.
pub const MAX_SKIPPED_ENTRIES: usize = 64;

/// Reads CBOR items from a byte slice, front to back.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

/// How much of an array or a map is still to come. Made by [`Reader::array`] and [`Reader::map`],
/// asked by [`Reader::more`].
#[derive(Debug)]
pub struct Items {
    /// Entries left, or `None` for "until the break".
    left: Option<u64>,
}

/// The first byte of an item and the number that goes with it.
struct Head {
    at: usize,
    major: u8,
    /// The low five bits of the first byte.
    info: u8,
    value: u64,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `input`.
    #[must_use]
    pub const fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// The offset of the next item.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Ends reading.
    ///
    /// # Errors
    /// [`CborError::TrailingBytes`] if anything is left.
    pub const fn finish(self) -> Result<(), CborError> {
        if self.at == self.input.len() { Ok(()) } else { Err(CborError::TrailingBytes { at: self.at }) }
    }

    /// Reads an unsigned integer.
    ///
    /// # Errors
    /// [`CborError`] if the next item is anything else.
    pub fn uint(&mut self) -> Result<u64, CborError> {
        self.expect(major::UINT, "an unsigned integer").map(|head| head.value)
    }

    /// Reads an unsigned integer that fits 16 bits.
    ///
    /// # Errors
    /// [`CborError`] if the next item is anything else.
    pub fn uint16(&mut self) -> Result<u16, CborError> {
        let at = self.at;
        u16::try_from(self.uint()?).map_err(|_| CborError::OutOfRange { at })
    }

    /// Reads an integer of either sign.
    ///
    /// # Errors
    /// [`CborError`] if the next item is anything else, or does not fit 64 bits with a sign.
    pub fn int(&mut self) -> Result<i64, CborError> {
        let head = self.head()?;
        let magnitude = i64::try_from(head.value).map_err(|_| CborError::OutOfRange { at: head.at })?;
        match head.major {
            major::UINT => Ok(magnitude),
            // Major type 1 holds −1 − n.
            major::NEGATIVE => Ok(-1 - magnitude),
            _ => Err(CborError::WrongType { at: head.at, expected: "an integer" }),
        }
    }

    /// Reads a byte string of definite length.
    ///
    /// # Errors
    /// [`CborError`] if the next item is anything else.
    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let head = self.expect(major::BYTES, "a byte string")?;
        self.string(&head)
    }

    /// Reads a text string of definite length.
    ///
    /// # Errors
    /// [`CborError`] if the next item is anything else, or not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let head = self.expect(major::TEXT, "a text string")?;
        let bytes = self.string(&head)?;
        std::str::from_utf8(bytes).map_err(|_| CborError::NotUtf8 { at: head.at })
    }

    /// Reads `true` or `false`.
    ///
    /// # Errors
    /// [`CborError`] if the next item is anything else.
    pub fn bool(&mut self) -> Result<bool, CborError> {
        match self.peek()? {
            simple::TRUE => self.advance(1).map(|_| true),
            simple::FALSE => self.advance(1).map(|_| false),
            _ => Err(CborError::WrongType { at: self.at, expected: "true or false" }),
        }
    }

    /// Takes a `null` if one is next, and says whether it did.
    ///
    /// # Errors
    /// [`CborError::UnexpectedEnd`] if nothing is next.
    pub fn take_null(&mut self) -> Result<bool, CborError> {
        if self.peek()? != simple::NULL {
            return Ok(false);
        }
        self.advance(1)?;
        Ok(true)
    }

    /// Takes a tag if one is next, and returns its number.
    ///
    /// # Errors
    /// [`CborError`] if nothing is next, or its head is broken.
    pub fn take_tag(&mut self) -> Result<Option<u64>, CborError> {
        if self.peek()? >> 5 != major::TAG {
            return Ok(None);
        }
        self.expect(major::TAG, "a tag").map(|head| Some(head.value))
    }

    /// True if the next item is a text string.
    ///
    /// # Errors
    /// [`CborError::UnexpectedEnd`] if nothing is next.
    pub fn text_is_next(&self) -> Result<bool, CborError> {
        self.peek().map(|first| first >> 5 == major::TEXT)
    }

    /// Begins an array; each [`Self::more`] then stands before one item.
    ///
    /// # Errors
    /// [`CborError`] if the next item is no array, or claims more items than bytes follow.
    pub fn array(&mut self) -> Result<Items, CborError> {
        self.container(major::ARRAY, "an array", 1)
    }

    /// Begins a map; each [`Self::more`] then stands before one key and its value.
    ///
    /// # Errors
    /// [`CborError`] if the next item is no map, or claims more entries than bytes follow.
    pub fn map(&mut self) -> Result<Items, CborError> {
        self.container(major::MAP, "a map", 2)
    }

    /// Says whether the array or map goes on, and takes the break at the end of an indefinite one.
    ///
    /// # Errors
    /// [`CborError::UnexpectedEnd`] if the input ends before the break.
    pub fn more(&mut self, items: &mut Items) -> Result<bool, CborError> {
        match items.left.as_mut() {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if self.peek()? == simple::BREAK => {
                self.advance(1)?;
                items.left = Some(0);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// Passes over one item of any type, checked like every other.
    ///
    /// # Errors
    /// [`CborError`] if it is malformed, too deep, or has a map with a duplicate key or with more than
    /// [`MAX_SKIPPED_ENTRIES`] entries.
    pub fn skip(&mut self) -> Result<(), CborError> {
        self.skip_at_depth(MAX_DEPTH)
    }

    fn skip_at_depth(&mut self, depth_left: u8) -> Result<(), CborError> {
        let at = self.at;
        let deeper = || depth_left.checked_sub(1).ok_or(CborError::TooDeep { at });
        match self.peek()? >> 5 {
            major::BYTES => self.bytes().map(|_| ()),
            major::TEXT => self.text().map(|_| ()),
            major::ARRAY => {
                let depth_left = deeper()?;
                let mut items = self.array()?;
                while self.more(&mut items)? {
                    self.skip_at_depth(depth_left)?;
                }
                Ok(())
            }
            major::MAP => self.skip_map(deeper()?),
            major::TAG => {
                let depth_left = deeper()?;
                self.take_tag()?;
                self.skip_at_depth(depth_left)
            }
            // Integers, simple values and floats: the head holds all of them. A break is not a value.
            _ => match self.head()?.info {
                INDEFINITE => Err(CborError::Reserved { at }),
                _ => Ok(()),
            },
        }
    }

    fn skip_map(&mut self, depth_left: u8) -> Result<(), CborError> {
        let map_at = self.at;
        let mut items = self.map()?;
        let mut keys: Vec<&[u8]> = Vec::new();
        while self.more(&mut items)? {
            let at = self.at;
            self.skip_at_depth(depth_left)?;
            let key = self.input.get(at..self.at).unwrap_or_default();
            if keys.contains(&key) {
                return Err(CborError::DuplicateKey { at });
            }
            if keys.len() == MAX_SKIPPED_ENTRIES {
                return Err(CborError::TooManyItems { at: map_at });
            }
            keys.push(key);
            self.skip_at_depth(depth_left)?;
        }
        Ok(())
    }

    fn container(
        &mut self,
        major: u8,
        expected: &'static str,
        entry_bytes_min: u64,
    ) -> Result<Items, CborError> {
        let head = self.expect_any_length(major, expected)?;
        if head.info == INDEFINITE {
            return Ok(Items { left: None });
        }
        let bytes_left = (self.input.len() - self.at) as u64;
        if head.value > bytes_left / entry_bytes_min {
            return Err(CborError::TooManyItems { at: head.at });
        }
        Ok(Items { left: Some(head.value) })
    }

    fn string(&mut self, head: &Head) -> Result<&'a [u8], CborError> {
        let end = CborError::UnexpectedEnd { at: head.at };
        self.advance(usize::try_from(head.value).map_err(|_| end)?).map_err(|_| end)
    }

    fn expect(&mut self, major: u8, expected: &'static str) -> Result<Head, CborError> {
        let head = self.expect_any_length(major, expected)?;
        match head.info {
            INDEFINITE => Err(CborError::IndefiniteString { at: head.at }),
            _ => Ok(head),
        }
    }

    fn expect_any_length(&mut self, major: u8, expected: &'static str) -> Result<Head, CborError> {
        if self.peek()? >> 5 != major {
            return Err(CborError::WrongType { at: self.at, expected });
        }
        self.head()
    }

    fn head(&mut self) -> Result<Head, CborError> {
        let at = self.at;
        let first = self.peek()?;
        self.advance(1)?;
        let info = first & 0x1f;
        let value = match info {
            0..=23 => u64::from(info),
            24 => u64::from_be_bytes(self.widened::<1>(at)?),
            25 => u64::from_be_bytes(self.widened::<2>(at)?),
            26 => u64::from_be_bytes(self.widened::<4>(at)?),
            27 => u64::from_be_bytes(self.widened::<8>(at)?),
            INDEFINITE if matches!(first >> 5, major::BYTES..=major::MAP | major::SIMPLE) => 0,
            _ => return Err(CborError::Reserved { at }),
        };
        // RFC 8949 §3.3: a simple value below 32 must not be spelt with a second byte.
        if first >> 5 == major::SIMPLE && info == 24 && value < 32 {
            return Err(CborError::Reserved { at });
        }
        Ok(Head { at, major: first >> 5, info, value })
    }

    /// Reads `N` bytes as the low end of a big-endian number of eight.
    fn widened<const N: usize>(&mut self, head_at: usize) -> Result<[u8; 8], CborError> {
        let bytes = self.advance(N).map_err(|_| CborError::UnexpectedEnd { at: head_at })?;
        let mut wide = [0; 8];
        wide[8 - N..].copy_from_slice(bytes);
        Ok(wide)
    }

    fn peek(&self) -> Result<u8, CborError> {
        self.input.get(self.at).copied().ok_or(CborError::UnexpectedEnd { at: self.at })
    }

    fn advance(&mut self, count: usize) -> Result<&'a [u8], CborError> {
        let end = CborError::UnexpectedEnd { at: self.at };
        let stop = self.at.checked_add(count).ok_or(end)?;
        let taken = self.input.get(self.at..stop).ok_or(end)?;
        self.at = stop;
        Ok(taken)
    }
}
