use super::*;
use http::HeaderValue;
use proptest::prelude::*;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF";
const PDF: &[u8] = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n";

fn of_header(value: &'static str) -> Result<Option<String>, XrpcError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
    declared(&headers)
}

#[test]
fn a_declared_type_is_read_without_its_parameters() {
    assert_eq!(of_header("image/PNG"), Ok(Some("image/png".to_owned())));
    assert_eq!(of_header("text/plain; charset=utf-8"), Ok(Some("text/plain".to_owned())));
    assert_eq!(of_header("image/svg+xml"), Ok(Some("image/svg+xml".to_owned())));
    assert_eq!(declared(&HeaderMap::new()), Ok(None));
    for bad in ["image", "image/", "/png", "a b/c", "a/b/c", "a b/*", "image/png, image/png"] {
        assert_eq!(of_header(bad).unwrap_err().name, "InvalidMimeType", "{bad:?}");
    }
}

#[test]
fn wildcards_and_types_for_anything_leave_it_to_the_bytes() {
    for nothing in [
        "*/*",
        "*",
        "image/*",
        "",
        "; q=1",
        "application/octet-stream",
        "binary/octet-stream",
        "application/x-www-form-urlencoded",
    ] {
        assert_eq!(of_header(nothing), Ok(None), "{nothing:?}");
    }
}

#[test]
fn a_form_around_a_blob_is_refused() {
    for form in ["multipart/form-data; boundary=x", "multipart/mixed"] {
        let refused = of_header(form).unwrap_err();
        assert_eq!(refused.name, "InvalidMimeType");
        assert!(refused.message.contains("the blob itself"), "{}", refused.message);
    }
}

/// The type of `bytes` that come as `sent`, or with none.
fn taken(sent: &str, bytes: &[u8]) -> String {
    of_blob((!sent.is_empty()).then(|| sent.to_owned()), bytes)
}

fn zip(first_entry: &str) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04".to_vec();
    bytes.resize(26, 0);
    bytes.extend_from_slice(&[u8::try_from(first_entry.len()).unwrap(), 0, 0, 0]);
    bytes.extend_from_slice(first_entry.as_bytes());
    bytes
}

fn brand(major: &str, others: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(16 + others.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(format!("ftyp{major}\0\0\0\0{others}").as_bytes());
    bytes
}

fn ebml(doctype: &str) -> Vec<u8> {
    let mut bytes = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82".to_vec();
    bytes.push(0x80 | u8::try_from(doctype.len()).unwrap());
    bytes.extend_from_slice(doctype.as_bytes());
    bytes.resize(64, 0);
    bytes
}

fn ogg(stream: &[u8]) -> Vec<u8> {
    let mut bytes = b"OggS".to_vec();
    bytes.resize(28, 0);
    bytes.extend_from_slice(stream);
    bytes.resize(64, 0);
    bytes
}

#[test]
fn bytes_win_over_what_their_sender_says() {
    for (sent, bytes, right) in [
        ("image/png", PDF, "application/pdf"),
        ("image/png", JPEG, "image/jpeg"),
        ("image/jpg", JPEG, "image/jpeg"),
        ("image/x-png", PNG, "image/png"),
        ("text/plain", PNG, "image/png"),
        ("", PNG, "image/png"),
        ("image/png", b"<!DOCTYPE html><script>", "text/html"),
        ("image/png", b"  <HTML>", "text/html"),
        ("image/jpeg", &zip("notes.txt"), "application/zip"),
        ("audio/x-wav", b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        ("application/pdf", b"\x1f\x8b\x08\0\0\0\0\0", "application/gzip"),
    ] {
        assert_eq!(taken(sent, bytes), right, "{sent}");
    }
}

#[test]
fn a_sender_is_believed_where_the_bytes_say_nothing() {
    for (sent, bytes) in [
        ("text/plain", b"just words" as &[u8]),
        ("text/markdown", b"<p align=center>a picture</p>"),
        ("text/x-python", b"#!/usr/bin/env python3\n"),
        ("application/json", b"{}"),
        ("application/vnd.ipld.car", b"\x3a\xa2\x65roots\x81\xd8\x2a"),
        ("application/pgp-keys", b"-----BEGIN PGP PUBLIC KEY BLOCK-----"),
        ("image/png", b""),
    ] {
        assert_eq!(taken(sent, bytes), sent);
    }
    assert_eq!(taken("", b"just words"), MIME_UNKNOWN);
    assert_eq!(taken("", b""), MIME_UNKNOWN);
}

#[test]
fn two_bytes_and_words_are_no_proof() {
    for words in
        ["BM is short for", "MZ", "GIFs are fun", "ID3 tags", "BZh", "%! what", "0123 of WEBP", "8BPSyche"]
    {
        assert_eq!(taken("text/plain", words.as_bytes()), "text/plain", "{words}");
        assert_eq!(taken("", words.as_bytes()), MIME_UNKNOWN, "{words}");
    }
    for noise in [
        b"MZ\x90\xff\x03\x81",
        b"BM\x90\xff\x03\x81",
        b"\xff\x0a\x90\xff\x03\x81",
        b"\x30\x82\x90\xff\x03\x81",
    ] {
        assert_eq!(taken("", noise), MIME_UNKNOWN, "{noise:?}");
        assert_eq!(taken("application/cbor", noise), "application/cbor", "{noise:?}");
    }
    let mut program = b"MZ\x90\0".to_vec();
    program.resize(60, 0);
    program.extend_from_slice(&[64, 0, 0, 0]);
    program.extend_from_slice(b"PE\0\0");
    assert_eq!(taken("image/png", &program), "application/vnd.microsoft.portable-executable");
}

#[test]
fn a_container_is_what_its_sender_says_of_what_it_can_hold() {
    let document = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let svg = b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\">";
    for (sent, bytes, right) in [
        ("", zip("notes.txt"), "application/zip"),
        ("application/java-archive", zip("META-INF/MANIFEST.MF"), "application/java-archive"),
        (document, zip("[Content_Types].xml"), document),
        ("", zip("word/document.xml"), document),
        ("application/zip", zip("word/document.xml"), document),
        ("video/mp4", zip("notes.txt"), "application/zip"),
        ("application/x-tgz", b"\x1f\x8b\x08\0".to_vec(), "application/x-tgz"),
        ("", svg.to_vec(), "image/svg+xml"),
        ("application/rss+xml", b"<?xml version=\"1.0\"?><rss>".to_vec(), "application/rss+xml"),
        ("image/png", svg.to_vec(), "image/svg+xml"),
        ("", ebml("webm"), "video/webm"),
        ("", ebml("matroska"), "video/x-matroska"),
        ("audio/webm", ebml("webm"), "audio/webm"),
        ("video/webm", ebml("matroska"), "video/x-matroska"),
        ("", ogg(b"\x80theora"), "video/ogg"),
        ("", ogg(b"OpusHead"), "audio/ogg"),
        ("audio/opus", ogg(b"OpusHead"), "audio/opus"),
        ("image/png", ogg(b"OpusHead"), "audio/ogg"),
        ("audio/aac", b"ID3\x04\0\0\0\0\0\0".to_vec(), "audio/aac"),
        ("image/x-nikon-nef", b"II*\0\x08\0\0\0\0\0\0".to_vec(), "image/x-nikon-nef"),
        ("image/png", b"II*\0\x08\0\0\0\0\0\0".to_vec(), "image/tiff"),
    ] {
        assert_eq!(taken(sent, &bytes), right, "{sent} {:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn films_sounds_and_pictures_of_one_container_are_told_apart_by_brand() {
    for (sent, bytes, right) in [
        ("", brand("isom", "isomiso2avc1mp41"), "video/mp4"),
        ("", brand("iso9", ""), "video/mp4"),
        ("", brand("M4V ", ""), "video/mp4"),
        ("video/x-m4v", brand("M4V ", ""), "video/x-m4v"),
        ("audio/mp4", brand("isom", ""), "audio/mp4"),
        ("", brand("M4A ", ""), "audio/mp4"),
        ("audio/x-m4a", brand("M4A ", ""), "audio/x-m4a"),
        ("video/mp4", brand("qt  ", ""), "video/quicktime"),
        ("", brand("avif", ""), "image/avif"),
        ("", brand("mif1", "avifmiaf"), "image/avif"),
        ("", brand("mif1", "heic"), "image/heic"),
        ("image/heif", brand("heic", "mif1"), "image/heif"),
        ("", brand("3gp4", ""), "video/3gpp"),
        ("image/png", brand("mp42", ""), "video/mp4"),
        ("image/x-canon-cr3", brand("crx ", ""), "image/x-canon-cr3"),
    ] {
        assert_eq!(taken(sent, &bytes), right, "{sent} {:?}", String::from_utf8_lossy(&bytes));
    }
}

proptest! {
    #[test]
    fn any_bytes_have_a_type(start in 0_usize..8, rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let starts: [&[u8]; 8] =
            [b"", b"PK\x03\x04", b"\x1a\x45\xdf\xa3", b"\0\0\0\x20ftyp", b"OggS", b"\x50\x2a\x4d\x18", b"MZ", b"<?xml"];
        let bytes = [starts[start], &rest].concat();
        prop_assert!(is_mime(&of_blob(None, &bytes)));
    }
}
