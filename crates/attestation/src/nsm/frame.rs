//! How messages travel over a socket: four bytes of length, big-endian, then the message.

use std::io::{self, ErrorKind, Read, Write};

const LENGTH_BYTES: usize = 4;

/// Writes one message.
///
/// # Errors
/// [`io::Error`] of the stream; [`ErrorKind::InvalidInput`] if the length does not fit four bytes.
pub fn write(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    // One write, so that a message is one segment where that matters.
    stream.write_all(&[&length.to_be_bytes()[..], message].concat())?;
    stream.flush()
}

/// Reads one message of at most `max_bytes`, or `None` if the stream ends where a message would begin.
///
/// # Errors
/// [`io::Error`] of the stream; [`ErrorKind::UnexpectedEof`] if it ends inside a message;
/// [`ErrorKind::InvalidData`] if the message is larger, of which nothing is then read.
pub fn read(stream: &mut impl Read, max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; LENGTH_BYTES];
    let mut filled = 0;
    while let Some(rest) = length.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > max_bytes {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("a message of {length} bytes, where at most {max_bytes} are allowed"),
        ));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message)?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_follow_one_another() {
        let mut stream = Vec::new();
        write(&mut stream, b"abc").unwrap();
        write(&mut stream, b"").unwrap();
        assert_eq!(stream, b"\0\0\0\x03abc\0\0\0\0");
        let mut stream = stream.as_slice();
        assert_eq!(read(&mut stream, 3).unwrap(), Some(b"abc".to_vec()));
        assert_eq!(read(&mut stream, 3).unwrap(), Some(Vec::new()));
        assert_eq!(read(&mut stream, 3).unwrap(), None);
    }

    /// Fails once in the given way, then reads.
    struct Failing<'b>(Option<ErrorKind>, &'b [u8]);

    impl Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.take().map_or_else(|| self.1.read(buffer), |kind| Err(kind.into()))
        }
    }

    #[test]
    fn an_interrupted_read_goes_on_and_a_failed_one_does_not() {
        let read_after = |kind| read(&mut Failing(Some(kind), b"\0\0\0\x01a"), 9);
        assert_eq!(read_after(ErrorKind::Interrupted).unwrap(), Some(b"a".to_vec()));
        assert_eq!(read_after(ErrorKind::TimedOut).unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_broken_message_is_an_error() {
        for (bytes, kind) in [
            (&b"\0\0\0"[..], ErrorKind::UnexpectedEof),
            (b"\0\0\0\x03ab", ErrorKind::UnexpectedEof),
            (b"\0\0\0\x04abcd", ErrorKind::InvalidData),
            (b"\xff\xff\xff\xffabcd", ErrorKind::InvalidData),
        ] {
            assert_eq!(read(&mut &bytes[..], 3).map_err(|error| error.kind()), Err(kind), "{bytes:?}");
        }
    }
}
