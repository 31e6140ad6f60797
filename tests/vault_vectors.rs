//! The fixed vectors of suite 1, which another implementation can build to. The test makes each from its inputs and
//! opens it; the derivation is computed a second time here, from the description rather than from our code.
//!
//! After a deliberate change of format: `cargo test --test vault_vectors -- --ignored write_the_file`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zap::vault::{
    Context, DataKey, Sealed, SealedRecord, encode_record, open, open_stream, seal, seal_stream,
};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/suite1.json");
/// Longer byte strings are given by their SHA-256.
const HEX_BYTES_MAX: usize = 1024;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    description: Vec<String>,
    vectors: Vec<Vector>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    comment: String,
    form: String,
    data_key: String,
    salt: String,
    did: String,
    collection: String,
    rkey: String,
    version: u64,
    plaintext_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<String>,
    aad: String,
    okm: String,
    commit: String,
    ciphertext_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<String>,
    ciphertext_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn short_hex(bytes: &[u8]) -> Option<String> {
    (bytes.len() <= HEX_BYTES_MAX).then(|| hex(bytes))
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

fn description() -> Vec<String> {
    [
        "Suite 1 of agent.vault.sealed. Bytes are in lower case hexadecimal; above 1024 bytes only their SHA-256 is given.",
        "Byte i of each plaintext is i mod 251.",
        "padded = plaintext || 0x80 || zeros up to PADME(plaintext length + 1), at least 256.",
        "aad = dag-cbor [1, did, collection, rkey, version].",
        "okm = HKDF-SHA256(salt, ikm = dataKey, info = label || SHA-256(aad), 64); key = okm[0..32], commit = okm[32..64].",
        "form inline: label = agent.vault.sealed/1; ciphertext = ChaCha20-Poly1305(key, nonce 0, padded, aad) || tag.",
        "form stream: label = agent.vault.sealed/1/stream; chunks of 65536 bytes, each with its tag; nonce = 7 zero bytes || chunk number (4, big-endian) || 1 for the last chunk, else 0; aad the same for each.",
        "record = the agent.vault.sealed record in canonical DAG-CBOR (form inline).",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn make(comment: &str, form: &str, number: u8, len: usize) -> (Vector, Sealed) {
    let (key, salt) = ([number; 32], [number | 0x80; 32]);
    let context = Context {
        did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
        collection: "agent.vault.sealed",
        rkey: "0123456789abcdef",
        version: u64::from(number) * 100,
    };
    let data_key = DataKey::from_bytes(key);
    let (sealed, label) = match form {
        "inline" => (seal(&data_key, &context, &plaintext(len), salt).unwrap(), "agent.vault.sealed/1"),
        _ => {
            (seal_stream(&data_key, &context, &plaintext(len), salt).unwrap(), "agent.vault.sealed/1/stream")
        }
    };
    let aad =
        serde_ipld_dagcbor::to_vec(&(1, context.did, context.collection, context.rkey, context.version))
            .unwrap();
    let mut okm = [0; 64];
    let info = [label.as_bytes(), &Sha256::digest(&aad)].concat();
    Hkdf::<Sha256>::new(Some(&salt), &key).expand(&info, &mut okm).unwrap();
    assert_eq!(okm[32..], sealed.commit, "the commitment is not as described");
    let record = (form == "inline").then(|| encode_record(&SealedRecord::inline(sealed.clone())));
    let vector = Vector {
        comment: comment.to_owned(),
        form: form.to_owned(),
        data_key: hex(&key),
        salt: hex(&salt),
        did: context.did.to_owned(),
        collection: context.collection.to_owned(),
        rkey: context.rkey.to_owned(),
        version: context.version,
        plaintext_length: len,
        plaintext: short_hex(&plaintext(len)),
        aad: hex(&aad),
        okm: hex(&okm),
        commit: hex(&sealed.commit),
        ciphertext_length: sealed.ciphertext.len(),
        ciphertext: short_hex(&sealed.ciphertext),
        ciphertext_sha256: hex(&Sha256::digest(&sealed.ciphertext)),
        record: record.and_then(|block| short_hex(&block)),
    };
    (vector, sealed)
}

fn all() -> Vec<(Vector, Sealed)> {
    [
        ("empty", "inline", 0),
        ("short", "inline", 11),
        ("longest that fits the floor", "inline", 255),
        ("one more than the floor", "inline", 256),
        ("about one KiB", "inline", 1_000),
        ("longest inline", "inline", 65_535),
        ("shortest that needs a stream", "stream", 65_536),
        ("two full chunks", "stream", 131_071),
        ("four chunks", "stream", 200_000),
    ]
    .into_iter()
    .zip(1..)
    .map(|((comment, form, len), number)| make(comment, form, number, len))
    .collect()
}

/// Breaks if records written by earlier versions, or by other implementations, would no longer open.
#[test]
fn the_file_is_what_we_make_and_open() {
    let file: File = serde_json::from_slice(&std::fs::read(PATH).unwrap()).unwrap();
    let made = all();
    assert_eq!(file.vectors.len(), made.len());
    for (given, (vector, sealed)) in file.vectors.iter().zip(&made) {
        assert_eq!(given, vector, "{}", given.comment);
        let key: [u8; 32] =
            data_encoding::HEXLOWER.decode(given.data_key.as_bytes()).unwrap().try_into().unwrap();
        let context = Context {
            did: &given.did,
            collection: &given.collection,
            rkey: &given.rkey,
            version: given.version,
        };
        let opened = match given.form.as_str() {
            "inline" => open(&DataKey::from_bytes(key), &context, sealed),
            _ => open_stream(&DataKey::from_bytes(key), &context, sealed),
        };
        assert_eq!(*opened.unwrap(), plaintext(given.plaintext_length), "{}", given.comment);
    }
}

#[test]
#[ignore = "writes the file"]
fn write_the_file() {
    let vectors = all().into_iter().map(|(vector, _)| vector).collect();
    let file = File { description: description(), vectors };
    std::fs::write(PATH, serde_json::to_string_pretty(&file).unwrap() + "\n").unwrap();
}
