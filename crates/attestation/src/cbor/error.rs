//! What can be wrong with CBOR.

/// Why bytes are not the CBOR that was asked for. `at` is an offset in bytes from the start of the
/// input.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CborError {
    /// The input ends inside an item.
    #[error("the CBOR ends in the middle of an item that starts at byte {at}")]
    UnexpectedEnd {
        /// Where the item starts.
        at: usize,
    },
    /// Another type of item stands here.
    #[error("expected {expected} at byte {at}")]
    WrongType {
        /// Where the item starts.
        at: usize,
        /// What was asked for.
        expected: &'static str,
    },
    /// A head that RFC 8949 reserves, or a break where none may stand.
    #[error("the CBOR has a reserved or misplaced head at byte {at}")]
    Reserved {
        /// Where the head stands.
        at: usize,
    },
    /// A byte or text string of indefinite length.
    #[error("a string of indefinite length at byte {at}: strings must state their length")]
    IndefiniteString {
        /// Where the string starts.
        at: usize,
    },
    /// A text string that is not UTF-8.
    #[error("the text at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Where the string starts.
        at: usize,
    },
    /// An integer outside the range that was asked for.
    #[error("the integer at byte {at} is out of range")]
    OutOfRange {
        /// Where the integer starts.
        at: usize,
    },
    /// More entries than the input can hold, or than a skipped map may have.
    #[error("the array or map at byte {at} claims more entries than it may have")]
    TooManyItems {
        /// Where the array or map starts.
        at: usize,
    },
    /// A key twice in one map.
    #[error("the map key at byte {at} occurs a second time")]
    DuplicateKey {
        /// Where the second occurrence starts.
        at: usize,
    },
    /// Arrays, maps and tags nested too deep.
    #[error("the CBOR is nested deeper than allowed at byte {at}")]
    TooDeep {
        /// Where the item starts that is one level too deep.
        at: usize,
    },
    /// Bytes after the end of the item.
    #[error("there are bytes after the end of the CBOR, from byte {at} on")]
    TrailingBytes {
        /// The first byte too many.
        at: usize,
    },
}
