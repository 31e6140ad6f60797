//! What a letter promises, and that it is made of what the standards say.

use super::*;
use crate::vault::tests::rng;
use proptest::prelude::*;
use serde_json::{Value, json};

const SENT_US: u64 = 1_790_000_000_000_000;

fn header() -> Header {
    Header {
        id: "3mabcdefghijk".to_owned(),
        from: "did:plc:alice".to_owned(),
        to: "did:plc:bob".to_owned(),
        from_key: "author1".to_owned(),
        to_key: "letter1".to_owned(),
        conversation: "3maaaaaaaaaaa".to_owned(),
        seq: 2,
        prev: Some([7; 32]),
        sent_us: SENT_US,
        expires_us: SENT_US + 1_000_000,
    }
}

struct Pair {
    author: AuthorKey,
    recipient: LetterKey,
}

fn pair() -> Pair {
    Pair { author: AuthorKey::generate(&mut rng(1)), recipient: LetterKey::generate(&mut rng(2)) }
}

impl Pair {
    fn seal(&self, header: &Header, body: &[u8]) -> Vec<u8> {
        let recipient = self.recipient.public().unwrap();
        seal_letter(header, body, &self.author, &recipient, &mut rng(3)).unwrap()
    }

    fn read(&self, letter: &[u8]) -> Result<Letter, Error> {
        Envelope::decode(letter)?.open(&self.recipient)?.verified(&self.author.public())
    }
}

#[test]
fn a_letter_opens_for_its_recipient_as_it_was_written() {
    let pair = pair();
    for header in [header(), Header { prev: None, seq: 1, ..header() }] {
        for body in [b"".as_slice(), b"\xa1a", &[0x80; 1000], &[0; LETTER_BODY_BYTES_MAX]] {
            let letter = pair.seal(&header, body);
            assert!(letter.len() <= LETTER_BYTES_MAX);
            let read = pair.read(&letter).unwrap();
            assert_eq!((&read.header, read.body.as_slice()), (&header, body));
        }
    }
    let long = vec![0; LETTER_BODY_BYTES_MAX + 1];
    let recipient = pair.recipient.public().unwrap();
    let refused = seal_letter(&header(), &long, &pair.author, &recipient, &mut rng(3)).unwrap_err();
    assert!(matches!(refused, Error::TooLong { .. }));
    let no_key = seal_letter(&header(), b"", &pair.author, &recipient[1..], &mut rng(3)).unwrap_err();
    assert_eq!(no_key, Error::Malformed("public letter key"));
}

/// What breaks: the length of a short message can be read off its letter.
#[test]
fn short_letters_look_alike() {
    let pair = pair();
    let lengths: Vec<_> = (0..200).map(|len| pair.seal(&header(), &vec![b'x'; len]).len()).collect();
    assert!(lengths.iter().all(|len| *len == lengths[0]), "{lengths:?}");
}

/// What breaks: a recipient passes a letter on as if it had been written to another, or says that another wrote it.
#[test]
fn a_letter_is_its_authors_and_its_recipients_alone() {
    let pair = pair();
    let letter = pair.seal(&header(), b"tea at four");
    let other = LetterKey::generate(&mut rng(9));
    assert_eq!(Envelope::decode(&letter).unwrap().open(&other).unwrap_err(), Error::Ciphertext);
    let opened = Envelope::decode(&letter).unwrap().open(&pair.recipient).unwrap();
    assert_eq!(opened.author(), ("did:plc:alice", "author1"));
    let forged = opened.verified(&AuthorKey::generate(&mut rng(8)).public()).unwrap_err();
    assert_eq!(forged, Error::Signature);

    // Bob seals what Alice signed to Carol: encapsulated key, recipient, and key id are under the signature.
    let opened = Envelope::decode(&letter).unwrap().open(&pair.recipient).unwrap();
    let carol = LetterKey::generate(&mut rng(4));
    for header in [header(), Header { to: "did:plc:carol".to_owned(), ..header() }] {
        let public = Public::from_bytes(&carol.public().unwrap()).unwrap();
        let info = info(&header.to, &header.to_key);
        let (enc, mut context) = setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeS::Base,
            &public,
            &info,
            &mut rng(5),
        )
        .unwrap();
        let plaintext = encode_plaintext(&opened.signed, &opened.signature);
        let aad = aad(&header.id, &header.from, header.expires_us);
        let ciphertext = context.seal(&padding::pad(&plaintext, LETTER_FLOOR, TAG_LEN), &aad).unwrap();
        let passed_on = encode_letter(&header, &enc.to_bytes(), &ciphertext);
        let refused = Envelope::decode(&passed_on).unwrap().open(&carol).unwrap_err();
        assert_eq!(
            refused,
            Error::Malformed("a letter that says one thing outside and another inside"),
            "to {}",
            header.to
        );
    }
}

/// What breaks: what a server reads off the envelope, to deliver once or to drop, is not what the author wrote.
#[test]
fn nothing_on_the_envelope_can_be_changed() {
    let pair = pair();
    let good = Envelope::decode(&pair.seal(&header(), b"tea at four")).unwrap();
    let text = |text: &str| text.to_owned();
    let changes = [
        Envelope { id: text("3mabcdefghijl"), ..good.clone() },
        Envelope { from: text("did:plc:mallory"), ..good.clone() },
        Envelope { to: text("did:plc:carol"), ..good.clone() },
        Envelope { key: text("letter2"), ..good.clone() },
        Envelope { expires_us: good.expires_us + 1, ..good.clone() },
    ];
    for changed in changes {
        assert_eq!(changed.open(&pair.recipient).unwrap_err(), Error::Ciphertext, "{changed:?}");
    }
    good.open(&pair.recipient).unwrap();
}

#[test]
fn what_is_no_letter_is_refused_by_name() {
    let pair = pair();
    let letter = pair.seal(&header(), b"tea at four");
    let at_suite = letter.windows(6).position(|bytes| bytes == b"suite\x01").unwrap() + 5;
    let mut newer = letter.clone();
    newer[at_suite] = 2;
    assert_eq!(Envelope::decode(&newer).unwrap_err(), Error::Suite(2));
    let mut longer = letter.clone();
    longer.push(0);
    for malformed in [b"".as_slice(), b"\xa0", b"\x80", &letter[..letter.len() - 1], &longer] {
        assert_eq!(Envelope::decode(malformed).unwrap_err(), Error::Malformed("not a letter"));
    }
    let large = vec![0; LETTER_BYTES_MAX + 1];
    assert!(matches!(Envelope::decode(&large).unwrap_err(), Error::TooLong { .. }));
    let mut hollow = Envelope::decode(&letter).unwrap();
    hollow.ciphertext.clear();
    assert_eq!(hollow.open(&pair.recipient).unwrap_err(), Error::Ciphertext);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Breaks if any bit of a letter could be changed and it still opens.
    #[test]
    fn any_flipped_bit_is_noticed(body in prop::collection::vec(any::<u8>(), 0..300), at: prop::sample::Index, bit in 0_u8..8) {
        let pair = pair();
        let mut letter = pair.seal(&header(), &body);
        let at = at.index(letter.len());
        letter[at] ^= 1_u8 << bit;
        prop_assert!(pair.read(&letter).is_err(), "byte {}", at);
    }

    /// Breaks if bytes of a stranger could do more than be refused.
    #[test]
    fn any_bytes_are_refused(letter in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(pair().read(&letter).is_err());
    }
}

/// The same letter twice has nothing in common: neither key nor nonce comes again.
#[test]
fn no_two_seals_are_alike() {
    let pair = pair();
    let public = pair.recipient.public().unwrap();
    let mut rng = rng(3);
    let mut seal = || seal_letter(&header(), b"x", &pair.author, &public, &mut rng).unwrap();
    let (one, two) = (Envelope::decode(&seal()).unwrap(), Envelope::decode(&seal()).unwrap());
    assert_ne!(one.enc_hash(), two.enc_hash());
    assert_ne!(one.ciphertext, two.ciphertext);
}

fn vectors(name: &str) -> Option<Value> {
    let path = format!("{}/../shared/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("SKIPPED: ../shared/vectors is not there");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn hex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// draft-connolly-cfrg-xwing-kem-10: a seed has the public key that others derive from it.
#[test]
fn a_letter_key_is_the_one_of_the_x_wing_draft() {
    let Some(vectors) = vectors("xwing_draft10.json") else { return };
    for vector in vectors.as_array().unwrap() {
        let key = LetterKey::from_bytes(hex(&vector["seed"]).try_into().unwrap());
        let public = key.public().unwrap();
        assert_eq!(public.len(), LETTER_KEY_LEN);
        assert_eq!(public, hex(&vector["pk"]));
    }
}

/// draft-ietf-hpke-pq, suite 0x647A with HKDF-SHA256 and ChaCha20-Poly1305: what others sealed opens.
#[test]
fn the_suite_opens_what_others_sealed() {
    let Some(vector) = vectors("hpke_pq_0x647a.json") else { return };
    let private = Private::from_bytes(&hex(&vector["skRm"])).unwrap();
    assert_eq!(Kem::sk_to_pk(&private).to_bytes().to_vec(), hex(&vector["pkRm"]));
    let enc = Encapsulated::from_bytes(&hex(&vector["enc"])).unwrap();
    let mut context = setup_receiver::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        &private,
        &enc,
        &hex(&vector["info"]),
    )
    .unwrap();
    for encryption in vector["encryptions"].as_array().unwrap() {
        let opened = context.open(&hex(&encryption["ct"]), &hex(&encryption["aad"])).unwrap();
        assert_eq!(opened, hex(&encryption["pt"]));
    }
}

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/letter1.json");

fn to_hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// A letter that opens, with what is in it.
fn good(comment: &str, header: &Header, body: &[u8]) -> Value {
    let letter = pair().seal(header, body);
    let envelope = Envelope::decode(&letter).unwrap();
    let content = encode_content(header, body, &envelope.enc_hash());
    json!({
        "comment": comment, "opens": true, "letter": to_hex(&letter), "body": to_hex(body), "content": to_hex(&content),
        "info": to_hex(&info(&header.to, &header.to_key)), "aad": to_hex(&envelope.aad()),
    })
}

/// The known answers, good and bad, all made from fixed randomness.
fn known_answers() -> Value {
    let pair = pair();
    let header = header();
    let letter = pair.seal(&header, b"tea at four");
    let envelope = Envelope::decode(&letter).unwrap();
    let bad = |comment: &str, letter: &[u8]| {
        assert!(pair.read(letter).is_err(), "{comment}");
        json!({ "comment": comment, "opens": false, "letter": to_hex(letter) })
    };
    let outside = |header: Header| encode_letter(&header, &envelope.enc, &envelope.ciphertext);
    let text = |text: &str| text.to_owned();
    let flipped = |at: usize| {
        let mut letter = letter.clone();
        letter[at] ^= 1;
        letter
    };
    let of_another = {
        let public = pair.recipient.public().unwrap();
        seal_letter(&header, b"tea at four", &AuthorKey::generate(&mut rng(8)), &public, &mut rng(3)).unwrap()
    };
    let mut with_more = letter.clone();
    with_more[0] = 0xa9;
    with_more.extend_from_slice(b"\x69signature\x40");
    let at_suite = letter.windows(6).position(|bytes| bytes == b"suite\x01").unwrap() + 5;
    let mut newer = letter.clone();
    newer[at_suite] = 2;
    let at_enc = letter.windows(4).position(|bytes| bytes == b"\x63enc").unwrap() + 10;
    json!({
        "description": [
            "Letters of suite 1: docs/formats.md. Bytes are in lower case hexadecimal.",
            "All are sealed to letterSeed and signed by authorSeed, but for those that do not open.",
        ],
        "letterSeed": to_hex(pair.recipient.as_bytes()), "letterKey": to_hex(&pair.recipient.public().unwrap()),
        "authorSeed": to_hex(pair.author.as_bytes()), "authorKey": to_hex(&pair.author.public()),
        "vectors": [
            good("short", &header, b"tea at four"),
            good("empty, the first of its conversation", &Header { seq: 1, prev: None, ..header.clone() }, b""),
            good("over the floor", &header, &[b'x'; 1000]),
            bad("another id outside", &outside(Header { id: text("3mabcdefghijl"), ..header.clone() })),
            bad("another sender outside", &outside(Header { from: text("did:plc:mallory"), ..header.clone() })),
            bad("another recipient outside", &outside(Header { to: text("did:plc:carol"), ..header.clone() })),
            bad("another key outside", &outside(Header { to_key: text("letter2"), ..header.clone() })),
            bad("a later end outside", &outside(Header { expires_us: header.expires_us + 1, ..header.clone() })),
            bad("signed by another", &of_another),
            bad("one more key", &with_more),
            bad("suite 2", &newer),
            bad("a bit of enc", &flipped(at_enc)),
            bad("a bit of the ciphertext", &flipped(20)),
            bad("cut", &letter[..letter.len() - 1]),
        ],
    })
}

/// Breaks if letters written by earlier versions, or by other implementations, would no longer open.
#[test]
fn the_known_answers_are_what_we_seal() {
    let file: Value = serde_json::from_slice(&std::fs::read(FILE).unwrap()).unwrap();
    assert_eq!(file, known_answers(), "after a deliberate change of format: write_the_known_answers");
}

#[test]
#[ignore = "writes the file"]
fn write_the_known_answers() {
    std::fs::write(FILE, serde_json::to_string_pretty(&known_answers()).unwrap() + "\n").unwrap();
}
