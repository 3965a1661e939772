//! Documents as people keep them: raw, in base64, in hex.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::cose::{CoseError, DOCUMENT_BYTES_MAX};
use crate::verify::VerifyError;

/// The largest input worth decoding: hex doubles a document, line breaks add little.
const INPUT_BYTES_MAX: usize = 4 * DOCUMENT_BYTES_MAX;

/// The first byte of a COSE_Sign1 in every spelling that the verifier takes: an array of four, the same
/// with its length in one to eight bytes of its own, an array of indefinite length; tag 18, and that with
/// its number in bytes of its own. None of them is a character, so text cannot be mistaken for it.
const FIRST_BYTES: [u8; 11] = [0x84, 0x98, 0x99, 0x9a, 0x9b, 0x9f, 0xd2, 0xd8, 0xd9, 0xda, 0xdb];

/// Both alphabets, padded or not.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Turns a file's or an event's content into the bytes of a document: a raw COSE_Sign1 as it is, or the
/// base64 (either alphabet) or hex of one, with any white space.
///
/// # Errors
/// [`VerifyError::CoseMalformed`] if it is none of these.
pub fn decode_input(input: &[u8]) -> Result<Cow<'_, [u8]>, VerifyError> {
    if input.len() > INPUT_BYTES_MAX {
        return Err(CoseError::TooLarge { length: input.len() }.into());
    }
    if starts_a_document(input) {
        return Ok(Cow::Borrowed(input));
    }
    let text: Vec<u8> = input.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    // No text is both: in base64 a document begins with one of "hmn02", and the hex digits among them
    // begin no document.
    let decoded = [hex::decode(&text).ok(), STANDARD.decode(&text).ok(), URL_SAFE.decode(&text).ok()];
    let document = decoded.into_iter().flatten().find(|bytes| starts_a_document(bytes));
    document.map(Cow::Owned).ok_or(VerifyError::CoseMalformed(CoseError::NotADocument))
}

fn starts_a_document(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| FIRST_BYTES.contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_document_is_decoded() {
        // Begins like a document, and has the characters in which the two alphabets differ.
        let raw: Vec<u8> = [0x84, 0x44, 0xfb, 0xff, 0xfe, 0x3e, 0x3f].repeat(30);
        let base64 = STANDARD.encode(&raw);
        assert!(base64.contains('+') && base64.contains('/'));
        let wrapped: String = base64.chars().enumerate().fold(String::new(), |mut text, (at, character)| {
            if at % 64 == 0 {
                text.push_str("\r\n");
            }
            text.push(character);
            text
        });
        for form in [
            raw.clone(),
            base64.clone().into_bytes(),
            base64.trim_end_matches('=').into(),
            URL_SAFE.encode(&raw).into_bytes(),
            format!("  {wrapped}\n").into_bytes(),
            hex::encode(&raw).into_bytes(),
            format!("{}\n", hex::encode_upper(&raw)).into_bytes(),
        ] {
            assert_eq!(decode_input(&form).as_deref(), Ok(&raw[..]), "{}", String::from_utf8_lossy(&form));
        }
        for first in FIRST_BYTES {
            assert_eq!(decode_input(hex::encode([first, 0]).as_bytes()).as_deref(), Ok(&[first, 0][..]));
        }
    }

    #[test]
    fn the_largest_document_in_hex_fits() {
        let largest = hex::encode(vec![0x84; DOCUMENT_BYTES_MAX]);
        assert!(decode_input(largest.as_bytes()).is_ok());
        assert!(decode_input(&vec![0x84; INPUT_BYTES_MAX]).is_ok());
    }

    #[test]
    fn anything_else_is_malformed() {
        let too_large = vec![0x84; INPUT_BYTES_MAX + 1];
        for bad in [&b""[..], b" ", b"hello", b"{}", b"00ff", b"hEX!", &[0xff, 0xfe], b"84 4", &too_large] {
            let error = decode_input(bad).map(drop).unwrap_err();
            assert_eq!(error.code(), "cose_malformed", "{}", String::from_utf8_lossy(bad));
        }
    }
}
