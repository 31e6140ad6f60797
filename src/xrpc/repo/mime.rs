//! The MIME type of an upload: what its first bytes say, and what its sender says where they say nothing.
//!
//! Clients send the type they have at hand: `@atproto/api` says `application/octet-stream` of a picture, curl says
//! `application/x-www-form-urlencoded` of anything. So the bytes win where they are sure of themselves. They are not
//! always: two bytes are no proof, text may begin like anything, and a container (ZIP, Ogg, XML) is what its sender says
//! as long as that is something such a container can hold.

use http::{HeaderMap, header};

use crate::xrpc::XrpcError;

pub(in crate::xrpc) const MIME_UNKNOWN: &str = "application/octet-stream";
/// RFC 6838 gives type and subtype 127 characters each.
pub(in crate::xrpc) const MIME_BYTES_MAX: usize = 255;

/// The type that the sender gives, without parameters; `None` when it leaves that to us.
pub(super) fn declared(headers: &HeaderMap) -> Result<Option<String>, XrpcError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let mime = value.to_str().ok().and_then(|value| value.split(';').next()).map(str::trim);
    match mime.map(str::to_ascii_lowercase).filter(|mime| mime.len() <= MIME_BYTES_MAX) {
        Some(mime) if says_nothing(&mime) => Ok(None),
        Some(mime) if mime.starts_with("multipart/") => Err(XrpcError::named(
            "InvalidMimeType",
            "the body is a form with the blob in it: send the blob itself, as curl does with --data-binary",
        )),
        Some(mime) if is_mime(&mime) => Ok(Some(mime)),
        _ => Err(XrpcError::named("InvalidMimeType", "the Content-Type is no MIME type")),
    }
}

/// Of types that clients send when they know none.
fn says_nothing(mime: &str) -> bool {
    let is_wildcard =
        mime == "*" || mime.strip_suffix("/*").is_some_and(|family| family == "*" || is_token(family));
    is_wildcard
        || matches!(
            mime,
            "" | MIME_UNKNOWN
                | "binary/octet-stream"
                | "application/binary"
                | "application/unknown"
                | "application/x-unknown"
                | "unknown/unknown"
                | "application/x-www-form-urlencoded"
                | "application/force-download"
                | "application/x-download"
        )
}

/// `type/subtype`, both tokens of RFC 9110.
pub(in crate::xrpc) fn is_mime(text: &str) -> bool {
    text.split_once('/').is_some_and(|(family, subtype)| is_token(family) && is_token(subtype))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b))
}

/// The type of a blob that begins with `head`.
pub(super) fn of_blob(declared: Option<String>, head: &[u8]) -> String {
    match (declared, found(head)) {
        (Some(declared), Some(found)) if may_be(&declared, found) => declared,
        (_, Some(found)) => found.to_owned(),
        (Some(declared), None) => declared,
        (None, None) => MIME_UNKNOWN.to_owned(),
    }
}

/// What the bytes say, in the usual name; `None` when they are not sure.
fn found(head: &[u8]) -> Option<&'static str> {
    if is_text(head) {
        return markup(head);
    }
    if head.get(4..8) == Some(b"ftyp") {
        return media_brand(head);
    }
    let found = infer::get(head)?.mime_type();
    Some(match found {
        "video/x-matroska" | "video/webm" => ebml(head)?,
        "audio/ogg" | "audio/opus" => ogg(head),
        "image/gif" if !head.starts_with(b"GIF8") => return None,
        "image/webp" if !head.starts_with(b"RIFF") => return None,
        "image/bmp" if head.get(6..10) != Some(&[0; 4]) => return None,
        // An icon file lists pictures: few of them, each with a zero after its size.
        "image/vnd.microsoft.icon" if !matches!(head.get(4..10), Some([1..=64, 0, _, _, _, 0])) => {
            return None;
        }
        "image/jxl" if head.starts_with(&[0xff, 0x0a]) => return None,
        "audio/mpeg" if !head.starts_with(b"ID3") => return None,
        "application/vnd.microsoft.portable-executable" if !is_portable_executable(head) => return None,
        "application/x-executable" if !head.starts_with(b"\x7fELF") => return None,
        // Known by two or three bytes only, or by many types' first bytes.
        "audio/aac"
        | "application/x-llvm"
        | "application/x-x509-ca-cert"
        | "application/x-compress"
        | "application/x-cpio"
        | "application/octet-stream" => return None,
        // infer calls each file of Microsoft's old container by the first of its names.
        "application/msword" => "application/x-ole-storage",
        "application/font-woff" if head.starts_with(b"wOF2") => "font/woff2",
        "application/font-woff" => "font/woff",
        "application/font-sfnt" if head.starts_with(b"OTTO") => "font/otf",
        "application/font-sfnt" => "font/ttf",
        "audio/x-flac" => "audio/flac",
        "audio/x-wav" => "audio/wav",
        "audio/x-aiff" => "audio/aiff",
        found => found,
    })
}

/// Whether these are words rather than bytes: UTF-8 without control characters, perhaps cut within a character.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            let valid = head.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
        Err(_) => return false,
    };
    text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1b}'))
}

/// Formats that are text and still know themselves. Neither Markdown with a bit of HTML nor a script does.
fn markup(head: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let begins = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    if begins("<!doctype html") || begins("<html") {
        Some("text/html")
    } else if text.starts_with("<svg") || (begins("<?xml") && text.contains("<svg")) {
        Some("image/svg+xml")
    } else if begins("<?xml") {
        Some("text/xml")
    } else if text.starts_with("%PDF-") {
        Some("application/pdf")
    } else if text.starts_with("%!PS") {
        Some("application/postscript")
    } else if text.starts_with("{\\rtf") {
        Some("application/rtf")
    } else {
        None
    }
}

/// Of a file of ISO 14496-12, by the brand it names first, or, where that is a general one, by its others.
fn media_brand(head: &[u8]) -> Option<&'static str> {
    let bytes = usize::try_from(u32::from_be_bytes(*head.first_chunk()?)).ok()?;
    let brands = head.get(8..bytes.min(head.len()))?;
    let major = brands.first_chunk::<4>()?;
    let has = |brand: &[u8; 4]| brands.chunks_exact(4).any(|other| other == brand);
    Some(match major {
        b"avif" | b"avis" => "image/avif",
        b"heic" | b"heix" | b"heim" | b"heis" => "image/heic",
        b"mif1" | b"msf1" if has(b"avif") || has(b"avis") => "image/avif",
        b"mif1" | b"msf1" if has(b"heic") || has(b"heix") => "image/heic",
        b"mif1" | b"msf1" => "image/heif",
        b"qt  " => "video/quicktime",
        b"M4A " | b"M4B " | b"M4P " => "audio/mp4",
        [b'3', b'g', b'p' | b'r' | b's' | b'e', _] => "video/3gpp",
        [b'3', b'g', b'2', _] => "video/3gpp2",
        [b'i', b's', b'o', _] | [b'm', b'p', b'4', _] | [b'M', b'4', b'V', _] | [b'c', b'm', b'f', _] => {
            "video/mp4"
        }
        b"avc1" | b"hvc1" | b"av01" | b"dash" | b"mmp4" | b"MSNV" | b"F4V " | b"F4P " | b"mp71" => {
            "video/mp4"
        }
        _ => return None,
    })
}

/// Of an EBML file, by the document type in its header (RFC 8794: the element 0x4282).
fn ebml(head: &[u8]) -> Option<&'static str> {
    let header = head.get(..64).unwrap_or(head);
    let at = header.windows(2).position(|id| id == [0x42, 0x82])?;
    let name = header.get(at + 3..)?;
    if name.starts_with(b"webm") {
        Some("video/webm")
    } else if name.starts_with(b"matroska") {
        Some("video/x-matroska")
    } else {
        None
    }
}

/// Of an Ogg file, by its first stream (RFC 5334).
fn ogg(head: &[u8]) -> &'static str {
    let first = head.get(28..).unwrap_or_default();
    let is_video =
        first.starts_with(b"\x80theora") || first.starts_with(b"\x01video") || first.starts_with(b"fishead");
    if is_video { "video/ogg" } else { "audio/ogg" }
}

fn is_portable_executable(head: &[u8]) -> bool {
    let at = head.get(60..64).and_then(|at| at.try_into().ok()).map(u32::from_le_bytes);
    let at = at.and_then(|at| usize::try_from(at).ok());
    at.and_then(|at| head.get(at..)).is_some_and(|header| header.starts_with(b"PE\0\0"))
}

/// Whether a blob that looks like `found` may be what its sender says: the same under another name, or what that
/// container holds. A type that has a signature of its own is not in a container.
fn may_be(declared: &str, found: &str) -> bool {
    let (family, subtype) = declared.split_once('/').unwrap_or_default();
    let is_in = |families: &[&str]| families.contains(&family) && !infer::is_mime_supported(declared);
    let is_one = |subtypes: &[&str]| subtypes.contains(&subtype);
    match found {
        "application/zip" => {
            is_in(&["application", "model"])
                || subtype.ends_with("+zip")
                || subtype == "openraster"
                // Which of these it is says an entry that may lie far behind.
                || subtype.starts_with("vnd.openxmlformats-officedocument.")
                || subtype.starts_with("vnd.oasis.opendocument.")
        }
        "application/gzip"
        | "application/zstd"
        | "application/x-bzip2"
        | "application/x-xz"
        | "application/x-lz4" => is_in(&["application"]),
        "application/x-ole-storage" => {
            is_in(&["application"]) || is_one(&["msword", "vnd.ms-excel", "vnd.ms-powerpoint"])
        }
        "application/vnd.sqlite3" => is_in(&["application"]),
        "text/xml" | "image/svg+xml" => {
            family == "text" || subtype.ends_with("+xml") || is_one(&["xml"]) || is_in(&["application"])
        }
        "text/html" => family == "text" || subtype.ends_with("+xml") || is_one(&["xml"]),
        "application/pdf" => is_one(&["illustrator"]),
        "application/postscript" => is_in(&["application"]) || is_one(&["x-eps", "eps"]),
        // The tags before the sound are the same in front of any.
        "audio/mpeg" => family == "audio",
        "audio/ogg" | "video/ogg" => {
            is_one(&[
                "ogg",
                "opus",
                "vorbis",
                "speex",
                "x-vorbis+ogg",
                "x-opus+ogg",
                "x-speex+ogg",
                "x-theora+ogg",
            ]) || (family == "audio" && subtype == "flac")
        }
        "video/webm" => is_one(&["webm"]),
        "video/x-matroska" => is_one(&["x-matroska", "matroska", "matroska-3d"]),
        "video/mp4" => is_one(&["mp4", "x-m4v", "iso.segment", "3gpp"]),
        "audio/mp4" => family == "audio" && is_one(&["mp4", "m4a", "x-m4a", "aac", "x-m4b"]),
        "video/3gpp" | "video/3gpp2" => is_one(&["3gpp", "3gpp2"]),
        "image/heic" | "image/heif" => is_one(&["heic", "heif", "heic-sequence", "heif-sequence"]),
        "image/avif" => is_one(&["avif", "avif-sequence"]),
        "image/tiff" => is_in(&["image"]) && is_one_of_raw(subtype),
        "image/png" => is_one(&["apng", "vnd.mozilla.apng"]),
        _ if found.starts_with("font/") => family == "font" || subtype.contains("font"),
        _ if found.starts_with("application/vnd.openxmlformats-") => {
            subtype.starts_with("vnd.openxmlformats-") || subtype.starts_with("vnd.ms-")
        }
        _ if found.starts_with("application/vnd.oasis.") => subtype.starts_with("vnd.oasis."),
        _ => false,
    }
}

/// Cameras write what they see as TIFF with a name of their own.
fn is_one_of_raw(subtype: &str) -> bool {
    subtype == "dng" || subtype.starts_with("x-") || subtype.starts_with("vnd.")
}

#[cfg(test)]
mod tests;
