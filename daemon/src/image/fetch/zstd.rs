//! Zstandard streams (RFC 8878): frames one after another, with bounded memory.

use std::io::{self, Chain, Cursor, Read};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// Largest window that is accepted, which is the memory that decoding takes. Builders of images use up
/// to 8 MiB at their usual levels and 32 MiB at their highest; a frame may ask for terabytes.
const WINDOW_BYTES_MAX: u64 = 32 << 20;

const FRAME_MAGIC: u32 = 0xFD2F_B528;

/// The sixteen magic numbers of frames without content.
const SKIPPABLE_MAGIC: std::ops::RangeInclusive<u32> = 0x184D_2A50..=0x184D_2A5F;

/// Decompresses all frames of `R`. Reads nothing beyond a frame before it is used up.
pub(super) struct ZstdReader<R: Read> {
    state: State<R>,
}

/// Decodes one frame, whose header was read before.
type FrameReader<R> = StreamingDecoder<Chain<Cursor<Vec<u8>>, R>, FrameDecoder>;

enum State<R: Read> {
    Between(R),
    Frame(Box<FrameReader<R>>),
    /// After the last frame, or an error.
    Done,
}

impl<R: Read> ZstdReader<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { state: State::Between(input) }
    }
}

impl<R: Read> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Ok(0),
                State::Between(input) => self.state = next_frame(input)?,
                State::Frame(mut decoder) => match decoder.read(buffer)? {
                    0 => self.state = State::Between(decoder.into_inner().into_inner().1),
                    count => {
                        self.state = State::Frame(decoder);
                        return Ok(count);
                    }
                },
            }
        }
    }
}

/// Reads up to the next frame with content, and its header.
fn next_frame<R: Read>(mut input: R) -> io::Result<State<R>> {
    loop {
        let mut magic = [0; 4];
        if !read_or_end(&mut input, &mut magic)? {
            return Ok(State::Done);
        }
        let magic = u32::from_le_bytes(magic);
        if SKIPPABLE_MAGIC.contains(&magic) {
            let mut length = [0; 4];
            input.read_exact(&mut length)?;
            skip(&mut input, u32::from_le_bytes(length).into())?;
        } else if magic == FRAME_MAGIC {
            let header = checked_header(&mut input)?;
            let decoder =
                StreamingDecoder::new(Cursor::new(header).chain(input)).map_err(io::Error::other)?;
            return Ok(State::Frame(Box::new(decoder)));
        } else {
            return Err(invalid("it is not zstd"));
        }
    }
}

/// The bytes of a frame header (RFC 8878, 3.1.1.1), magic included, if its window is small enough.
fn checked_header(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut header = FRAME_MAGIC.to_le_bytes().to_vec();
    let descriptor = take(input, 1, &mut header)?[0];
    let single_segment = descriptor & 0b10_0000 != 0;
    let mut window = 0;
    if !single_segment {
        let byte = take(input, 1, &mut header)?[0];
        let base = 1_u64 << (10 + (byte >> 3));
        window = base + base / 8 * u64::from(byte & 0b111);
    }
    let dictionary = take(input, [0, 1, 2, 4][usize::from(descriptor & 0b11)], &mut header)?;
    if dictionary.iter().any(|byte| *byte != 0) {
        return Err(invalid("it needs a dictionary"));
    }
    let content_size_bytes = match descriptor >> 6 {
        0 => usize::from(single_segment),
        exponent => 1 << exponent,
    };
    let mut content_size = [0; 8];
    content_size[..content_size_bytes].copy_from_slice(take(input, content_size_bytes, &mut header)?);
    if single_segment {
        window = u64::from_le_bytes(content_size);
    }
    if window > WINDOW_BYTES_MAX {
        return Err(invalid("its zstd window is larger than 32 MiB"));
    }
    Ok(header)
}

/// Appends the next `count` bytes of `input` to `header` and shows them.
fn take<'a>(input: &mut impl Read, count: usize, header: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
    let start = header.len();
    header.resize(start + count, 0);
    input.read_exact(&mut header[start..])?;
    Ok(&header[start..])
}

fn skip(input: &mut impl Read, count: u64) -> io::Result<()> {
    let skipped = io::copy(&mut input.take(count), &mut io::sink())?;
    if skipped == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Fills `buffer`, or reports that there was nothing more to read.
fn read_or_end(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests;
