//! BCP 47 language tags (RFC 5646, section 2.1), with the protocol's narrowing that the primary language is two or
//! three lower-case letters.

use super::SyntaxError;

const LANGUAGE_BYTES_MAX: usize = 128;

/// The tags of RFC 5646 that the grammar does not produce, in lower case.
const GRANDFATHERED: [&str; 26] = [
    "art-lojban",
    "cel-gaulish",
    "en-gb-oed",
    "i-ami",
    "i-bnn",
    "i-default",
    "i-enochian",
    "i-hak",
    "i-klingon",
    "i-lux",
    "i-mingo",
    "i-navajo",
    "i-pwn",
    "i-tao",
    "i-tay",
    "i-tsu",
    "no-bok",
    "no-nyn",
    "sgn-be-fr",
    "sgn-be-nl",
    "sgn-ch-de",
    "zh-guoyu",
    "zh-hakka",
    "zh-min",
    "zh-min-nan",
    "zh-xiang",
];

super::string_newtype!(
    /// A language tag: `en`, `pt-BR`, `zh-Hant`.
    Language,
    validate_language
);

/// Checks a tag's grammar, and that no variant and no extension is given twice.
///
/// # Errors
/// [`SyntaxError::Language`] with the rule that was broken.
pub fn validate_language(text: &str) -> Result<(), SyntaxError> {
    if text.len() > LANGUAGE_BYTES_MAX {
        return Err(SyntaxError::Language("longer than 128 bytes"));
    }
    if GRANDFATHERED.iter().any(|tag| text.eq_ignore_ascii_case(tag)) {
        return Ok(());
    }
    let mut tags: Vec<&str> = text.split('-').rev().collect();
    if !tags.iter().all(|tag| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric()))
    {
        return Err(SyntaxError::Language("subtag must be 1 to 8 letters and digits"));
    }
    if tags.last().is_some_and(|tag| !tag.eq_ignore_ascii_case("x")) {
        let primary = tags.pop().unwrap_or_default();
        if !(2..=3).contains(&primary.len()) || !primary.bytes().all(|b| b.is_ascii_lowercase()) {
            return Err(SyntaxError::Language("language must be two or three lower-case letters"));
        }
        for _ in 0..3 {
            take_if(&mut tags, |tag| is_alpha(tag, 3)); // extended language
        }
        take_if(&mut tags, |tag| is_alpha(tag, 4)); // script
        take_if(&mut tags, |tag| is_alpha(tag, 2) || is_digits(tag, 3)); // region
        take_variants(&mut tags)?;
        take_extensions(&mut tags)?;
    }
    take_private_use(&mut tags)?;
    if tags.is_empty() { Ok(()) } else { Err(SyntaxError::Language("subtag out of place")) }
}

/// `tags` is held in reverse, so that the next subtag is its last.
fn take_if<'a>(tags: &mut Vec<&'a str>, wanted: impl Fn(&str) -> bool) -> Option<&'a str> {
    if tags.last().is_some_and(|tag| wanted(tag)) { tags.pop() } else { None }
}

fn take_variants(tags: &mut Vec<&str>) -> Result<(), SyntaxError> {
    let mut seen: Vec<&str> = Vec::new();
    let is_variant =
        |tag: &str| tag.len() >= 5 || (tag.len() == 4 && tag.starts_with(|c: char| c.is_ascii_digit()));
    while let Some(variant) = take_if(tags, is_variant) {
        if seen.iter().any(|other| other.eq_ignore_ascii_case(variant)) {
            return Err(SyntaxError::Language("variant given twice"));
        }
        seen.push(variant);
    }
    Ok(())
}

fn take_extensions(tags: &mut Vec<&str>) -> Result<(), SyntaxError> {
    let mut seen: Vec<&str> = Vec::new();
    while let Some(singleton) = take_if(tags, |tag| tag.len() == 1 && !tag.eq_ignore_ascii_case("x")) {
        if seen.iter().any(|other| other.eq_ignore_ascii_case(singleton)) {
            return Err(SyntaxError::Language("extension given twice"));
        }
        seen.push(singleton);
        let mut empty = true;
        while take_if(tags, |tag| tag.len() >= 2).is_some() {
            empty = false;
        }
        if empty {
            return Err(SyntaxError::Language("extension is empty"));
        }
    }
    Ok(())
}

fn take_private_use(tags: &mut Vec<&str>) -> Result<(), SyntaxError> {
    if take_if(tags, |tag| tag.eq_ignore_ascii_case("x")).is_some() {
        if tags.is_empty() {
            return Err(SyntaxError::Language("private use is empty"));
        }
        tags.clear();
    }
    Ok(())
}

fn is_alpha(tag: &str, length: usize) -> bool {
    tag.len() == length && tag.bytes().all(|b| b.is_ascii_alphabetic())
}

fn is_digits(tag: &str, length: usize) -> bool {
    tag.len() == length && tag.bytes().all(|b| b.is_ascii_digit())
}
