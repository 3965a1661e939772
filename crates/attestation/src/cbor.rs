//! CBOR (RFC 8949): a strict, bounded reader and a small writer, for what the Nitro Security Module
//! speaks and nothing else.
//!
//! What the reader takes and refuses:
//! - Maps and arrays may be of definite or of indefinite length: real documents have both.
//! - Byte and text strings must be of definite length: no NSM has ever sent another, and only so can
//!   they be borrowed from the input.
//! - An integer or a length may be spelt longer than it has to be (RFC 8949 §3 calls that well-formed);
//!   so known keys are compared by value, and a second spelling does not make a second key. (Inside a
//!   value that is passed over, keys are compared by their bytes.)
//! - A count larger than the bytes that follow, reserved heads, invalid UTF-8, nesting deeper than
//!   [`MAX_DEPTH`] and bytes after the end are errors. No input panics, and none makes the reader
//!   allocate more than a small multiple of its size.

mod error;
mod reader;
mod writer;

pub use error::CborError;
pub use reader::{Items, MAX_DEPTH, MAX_SKIPPED_ENTRIES, Reader};
pub use writer::Writer;

/// Major types (RFC 8949 §3.1): the top three bits of an item's first byte.
mod major {
    pub(super) const UINT: u8 = 0;
    pub(super) const NEGATIVE: u8 = 1;
    pub(super) const BYTES: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const ARRAY: u8 = 4;
    pub(super) const MAP: u8 = 5;
    pub(super) const TAG: u8 = 6;
    pub(super) const SIMPLE: u8 = 7;
}

/// Whole first bytes of simple values, and the one that ends an indefinite item.
mod simple {
    pub(super) const FALSE: u8 = 0xf4;
    pub(super) const TRUE: u8 = 0xf5;
    pub(super) const NULL: u8 = 0xf6;
    pub(super) const BREAK: u8 = 0xff;
}

/// The value of the low five bits that says "of indefinite length".
const INDEFINITE: u8 = 31;

#[cfg(test)]
mod tests;
