//! What agents keep and send, read and written by another implementation: `tests/python/formats.py`, made from
//! `docs/formats.md`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use zap::actor::Kind;
use zap::archive::{Kdf, Manifest, Secrets};
use zap::lexicon::{Bytes, CidLink};
use zap::native::clock::system_random;
use zap::native::sql::Database;
use zap::seam::Hidden;
use zap::store::migrate::migrate;
use zap::vault::{AuthorKey, Envelope, Header, Keyring, LetterKey, MasterKey, seal_letter};

const DID: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const PASSPHRASE: &str = "correct horse battery";
const BODY: &[u8] = b"\xa1etext\x6btea at four";
const NOW_US: u64 = 1_790_000_000_000_000;

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn unhex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// What the program answers; `None` where there is no Python.
fn ask(args: &[&str], input: &Value) -> Option<String> {
    let mut command = Command::new(crate::python::python()?);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/formats.py")).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = command.spawn().unwrap();
    program.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let done = program.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(String::from_utf8(done.stdout).unwrap())
}

fn header() -> Header {
    Header {
        id: "3mabcdefghijk".to_owned(),
        from: DID.to_owned(),
        to: DID.to_owned(),
        from_key: "author1".to_owned(),
        to_key: "letter1".to_owned(),
        conversation: "3mabcdefghijk".to_owned(),
        seq: 1,
        prev: None,
        sent_us: NOW_US,
        expires_us: NOW_US + 1_000_000,
    }
}

fn manifest() -> Manifest {
    Manifest {
        v: 1,
        did: DID.parse().unwrap(),
        handle: "alice.test".parse().unwrap(),
        kind: Kind::Agent,
        display_name: None,
        model: None,
        config: None,
        root: CidLink(Manifest::cid(b"\xa0")),
        rev: "3jzfcijpj2z2a".parse().unwrap(),
        blobs: Vec::new(),
        kdf: Kdf { memory_kib: 64, passes: 1, ..Kdf::new([3; 16]) },
        sealed: Bytes::default(),
    }
}

/// What breaks: whoever implements the page has something else than what we write.
#[test]
fn the_known_answers_are_those_of_another_implementation() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let Some(said) = ask(&["check", folder], &Value::Null) else { return };
    assert!(said.contains("are as they should be"), "{said}");
}

#[test]
fn what_one_implementation_writes_the_other_reads() {
    let rng = &mut system_random();
    let (letter_key, author) = (LetterKey::generate(rng), AuthorKey::generate(rng));
    let letter = seal_letter(&header(), BODY, &author, &letter_key.public().unwrap(), rng).unwrap();
    let database = Database::in_memory().unwrap();
    migrate(&database, zap::account::MIGRATIONS).unwrap();
    let master = MasterKey::from_bytes([9; 32]);
    let mut keyring = Keyring::create(&database, DID, &master, 1, rng).unwrap();
    keyring.rotate(&database, 2, rng).unwrap();
    let sealed = keyring.seal_new(BODY, rng).unwrap();
    sealed.key.write(&database).unwrap();
    let copy = keyring.copy(&database, 10).unwrap().unwrap();
    let mut manifest = manifest();
    let key: Hidden<[u8; 32]> = manifest.kdf.derive(PASSPHRASE).unwrap();
    let block = manifest.seal(&key, &Secrets::new([1; 32], copy, None, None), rng).unwrap();

    let given = json!({
        "letterSeed": hex(letter_key.as_bytes()), "authorKey": hex(&author.public()), "letter": hex(&letter),
        "manifest": hex(&block), "passphrase": PASSPHRASE, "record": hex(&sealed.record), "rkey": sealed.key.rkey,
    });
    let Some(read) = ask(&["read"], &given) else { return };
    let read: Value = serde_json::from_str(&read).unwrap();
    assert_eq!((unhex(&read["body"]), unhex(&read["plaintext"])), (BODY.to_vec(), BODY.to_vec()));

    let rkey = "0123456789abcdef";
    manifest.sealed = Bytes::default();
    let given = json!({
        "did": DID, "id": header().id, "body": hex(BODY), "sent": NOW_US, "expires": NOW_US + 1_000_000,
        "toKey": "letter1", "fromKey": "author1", "authorSeed": hex(author.as_bytes()),
        "letterKey": hex(&letter_key.public().unwrap()), "rkey": rkey,
        "manifest": hex(&manifest.encode().unwrap()), "passphrase": PASSPHRASE,
    });
    let written: Value = serde_json::from_str(&ask(&["write"], &given).unwrap()).unwrap();
    let opened = Envelope::decode(&unhex(&written["letter"])).unwrap().open(&letter_key).unwrap();
    let letter = opened.verified(&author.public()).unwrap();
    assert_eq!((&letter.header, letter.body.as_slice()), (&header(), BODY));
    let archive = Manifest::decode(&unhex(&written["manifest"])).unwrap();
    let secrets = archive.open(&key).unwrap();
    let elsewhere = Database::in_memory().unwrap();
    migrate(&elsewhere, zap::account::MIGRATIONS).unwrap();
    let keyring = Keyring::restore(&elsewhere, DID, &master, &secrets.keyring(), 1, rng).unwrap();
    let record = unhex(&written["record"]);
    assert_eq!(keyring.open_record(&elsewhere, rkey, &record).unwrap().as_slice(), BODY);
}
