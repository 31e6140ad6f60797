//! Texts of strangers, as people may see them on a page.

/// A text as one line, without what turns text around or hides in it.
pub(super) fn shown(text: &str, chars_max: usize) -> String {
    let is_plain = |char: &char| {
        !char.is_control()
            && !matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().filter(is_plain).take(chars_max).collect::<String>().trim().to_owned()
}
