//! The protocol's own fixtures for keys and trees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

mod common;

use common::fixture;
use repo_mst::key;
use serde::Deserialize;

#[derive(Deserialize)]
struct KeyHeight {
    key: String,
    height: u32,
}

#[test]
fn key_heights() {
    let Some(text) = fixture("mst/key_heights.json") else { return };
    for case in serde_json::from_str::<Vec<KeyHeight>>(&text).unwrap() {
        assert_eq!(key::height(case.key.as_bytes()), case.height, "{}", case.key);
    }
}

/// The file has keys `A0` to `Z5`: the digit is the height.
#[test]
fn example_keys_stand_where_their_names_say() {
    let Some(text) = fixture("mst/example_keys.txt") else { return };
    for line in text.lines() {
        let digit = line.chars().nth(1).unwrap().to_digit(10).unwrap();
        assert_eq!(key::height(line.as_bytes()), digit, "{line}");
        assert_eq!(key::validate(line), Ok(()), "{line}");
    }
}
