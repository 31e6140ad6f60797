//! A text as a picture that a camera reads: SVG in the page, which loads nothing and has no style of its own.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the dark ones, which cameras need.
const MARGIN: usize = 4;

/// `None` for a text that is too long for any.
pub(super) fn svg(text: &str, label: &'static str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let side = width + 2 * MARGIN;
    let mut dark = String::new();
    for (at, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            let (x, y) = (at % width + MARGIN, at / width + MARGIN);
            write!(dark, "M{x} {y}h1v1h-1z").ok()?;
        }
    }
    Some(format!(
        "<svg class=\"qr\" viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"{label}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>\
         <path fill=\"#000\" d=\"{dark}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_three_finders_and_says_nothing_of_the_text() {
        let svg = svg("otpauth://totp/<x>", "A code").unwrap();
        assert!(!svg.contains("otpauth") && !svg.contains("style=") && svg.contains("aria-label=\"A code\""));
        let side: usize = svg.split_once("0 0 ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
        let last = side - MARGIN - 1;
        for (x, y) in [(MARGIN, MARGIN), (last, MARGIN), (MARGIN, last)] {
            assert!(svg.contains(&format!("M{x} {y}h1")), "{x} {y}");
        }
        assert!(!svg.contains("M3 ") && super::svg(&"x".repeat(5_000), "").is_none());
    }
}
