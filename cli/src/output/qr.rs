//! An invoice that a phone can read from the terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// The QR code of a BOLT11 invoice; none if it is too long for one.
pub(crate) fn of_invoice(invoice: &str) -> Option<String> {
    // Capitals have a denser encoding, and BOLT11 reads the same in them.
    let link = format!("LIGHTNING:{}", invoice.to_ascii_uppercase());
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    // Terminals are dark more often than not; readers want dark on light.
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_a_square_of_blocks() {
        let code = of_invoice(&format!("lnbcrt1{}", "q".repeat(300))).unwrap();
        let lines: Vec<_> = code.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert!(width.abs_diff(2 * lines.len()) <= 1, "{width} × {}", lines.len());
        assert!(code.chars().all(|c| matches!(c, ' ' | '\n' | '█' | '▀' | '▄')));
    }

    #[test]
    fn text_that_is_too_long_has_no_code() {
        assert_eq!(of_invoice(&"q".repeat(7_089)), None);
    }
}
