use super::*;
use crate::testing::Authenticator;

const CHALLENGE: &[u8] = b"a challenge of the server";
const EXPECTED: Expected<'_> =
    Expected { challenge: CHALLENGE, origin: "http://localhost:2583", rp_id: "localhost" };
const ES256: u8 = 0x26;

fn make(authenticator: &Authenticator) -> Result<NewCredential, Error> {
    let client_data = authenticator.client_data("webauthn.create", CHALLENGE);
    check_new(EXPECTED, &client_data, &authenticator.attestation(&authenticator.own_cose()))
}

fn sign(authenticator: &Authenticator) -> Result<Signed, Error> {
    let key = make(&Authenticator::new(1)).unwrap().public_key;
    let client_data = authenticator.client_data("webauthn.get", CHALLENGE);
    let signature = authenticator.sign(&client_data);
    check_signed(EXPECTED, &key, &client_data, &authenticator.data(), &signature)
}

#[test]
fn a_key_that_was_made_signs() {
    let mut authenticator = Authenticator { count: 7, ..Authenticator::new(1) };
    let made = make(&authenticator).unwrap();
    assert_eq!((made.id.as_slice(), made.sign_count, made.backup_eligible), (&[1; 16][..], 7, false));
    authenticator.flags |= BACKUP_ELIGIBLE | BACKED_UP;
    assert_eq!(sign(&authenticator), Ok(Signed { sign_count: 7, backup_eligible: true }));
}

/// Ed25519 beside P-256: read, kept and read again, and good for what it signed alone.
#[test]
fn a_key_of_ed25519_signs_too() {
    let it = Authenticator::eddsa(1);
    let key = make(&it).unwrap().public_key;
    assert!(key.multikey().starts_with("z6Mk"));
    let key = PublicKey::from_multikey(&key.multikey()).unwrap();
    let client_data = it.client_data("webauthn.get", CHALLENGE);
    let check = |client_data: &[u8], signature: &[u8]| {
        check_signed(EXPECTED, &key, client_data, &it.data(), signature).map(drop)
    };
    let signature = it.sign(&client_data);
    check(&client_data, &signature).unwrap();
    let others = [Authenticator::eddsa(2).sign(&client_data), it.sign(b"something else")];
    for other in others {
        assert_eq!(check(&client_data, &other), Err(Error::SignatureMismatch));
    }
    for length in [0, 63] {
        assert_eq!(check(&client_data, &signature[..length]), Err(Error::Malformed("the signature")));
    }
    assert_eq!(
        check(&client_data, &Authenticator::new(1).sign(&client_data)),
        Err(Error::Malformed("the signature"))
    );
    // The point at nothing, for which anything is a signature.
    let cose = [b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20\x01", &[0; 31][..]].concat();
    let client_data = it.client_data("webauthn.create", CHALLENGE);
    let weak = check_new(EXPECTED, &client_data, &it.attestation(&cose)).map(drop);
    assert_eq!(weak, Err(Error::Malformed("the key")));
}

#[test]
fn what_is_anothers_or_of_nobody_is_refused_by_name() {
    let good = Authenticator::new(1);
    let changed = |change: fn(&mut Authenticator)| {
        let mut authenticator = good.clone();
        change(&mut authenticator);
        authenticator
    };
    for (authenticator, error) in [
        (changed(|it| it.origin = "http://localhost:2584".to_owned()), Error::WrongOrigin),
        (changed(|it| it.origin = "https://localhost:2583".to_owned()), Error::WrongOrigin),
        (changed(|it| it.origin = "http://localhost:2583/".to_owned()), Error::WrongOrigin),
        (changed(|it| it.rp_id = "evil.test".to_owned()), Error::WrongRpId),
        (changed(|it| it.flags = 0b100), Error::NotPresent),
        (changed(|it| it.flags = 0b001), Error::NotVerified),
        (changed(|it| it.flags |= BACKED_UP), Error::Contradiction),
    ] {
        assert_eq!(make(&authenticator), Err(error));
        assert_eq!(sign(&authenticator), Err(error));
    }
    // Another key signs for this one's name.
    assert_eq!(sign(&Authenticator::new(2)), Err(Error::SignatureMismatch));
}

#[test]
fn what_a_browser_did_for_something_else_is_refused() {
    let it = Authenticator::new(1);
    let attestation = it.attestation(&it.cose(ES256));
    let key = make(&it).unwrap().public_key;
    let signed = |client_data: &[u8]| {
        check_signed(EXPECTED, &key, client_data, &it.data(), &it.sign(client_data)).map(drop)
    };
    let made = |client_data: &[u8]| check_new(EXPECTED, client_data, &attestation).map(drop);
    let framed = |kind| {
        let text = String::from_utf8(it.client_data(kind, CHALLENGE)).unwrap();
        text.replace("\"crossOrigin\":false", "\"crossOrigin\":true").into_bytes()
    };
    assert_eq!(made(&it.client_data("webauthn.get", CHALLENGE)), Err(Error::WrongType));
    assert_eq!(signed(&it.client_data("webauthn.create", CHALLENGE)), Err(Error::WrongType));
    assert_eq!(made(&it.client_data("webauthn.create", b"another")), Err(Error::WrongChallenge));
    assert_eq!(signed(&it.client_data("webauthn.get", b"another")), Err(Error::WrongChallenge));
    assert_eq!(made(&framed("webauthn.create")), Err(Error::WrongOrigin));
    assert_eq!(signed(&framed("webauthn.get")), Err(Error::WrongOrigin));
    let long = [&it.client_data("webauthn.get", CHALLENGE)[..], &[b' '; CLIENT_DATA_BYTES_MAX]].concat();
    assert_eq!(signed(&long), Err(Error::Malformed("the client data")));
    assert_eq!(claimed_challenge(&it.client_data("webauthn.get", CHALLENGE)).unwrap(), CHALLENGE);
}

/// What breaks: half of all signatures of half of all authenticators.
#[test]
fn a_signature_may_have_a_high_s_and_is_of_these_bytes_alone() {
    let it = Authenticator { high_s: true, ..Authenticator::new(1) };
    sign(&it).unwrap();
    let key = make(&it).unwrap().public_key;
    let client_data = it.client_data("webauthn.get", CHALLENGE);
    let (data, signature) = (it.data(), it.sign(&client_data));
    let counted = Authenticator { count: 1, ..it.clone() }.data();
    let other = check_signed(EXPECTED, &key, &client_data, &counted, &signature);
    assert_eq!(other, Err(Error::SignatureMismatch), "the counter is signed too");
    for end in 0..signature.len() {
        let cut = check_signed(EXPECTED, &key, &client_data, &data, &signature[..end]);
        assert_eq!(cut, Err(Error::Malformed("the signature")), "{end}");
    }
    let long = [&data[..], &[0; AUTHENTICATOR_DATA_BYTES_MAX]].concat();
    let long = check_signed(EXPECTED, &key, &client_data, &long, &signature);
    assert_eq!(long, Err(Error::Malformed("the authenticator data")));
    for end in 0..data.len() {
        assert!(check_signed(EXPECTED, &key, &client_data, &data[..end], &signature).is_err(), "{end}");
    }
}

#[test]
fn an_attestation_that_is_cut_longer_or_of_another_key_is_refused() {
    let it = Authenticator::new(1);
    let client_data = it.client_data("webauthn.create", CHALLENGE);
    let made = |attestation: &[u8]| check_new(EXPECTED, &client_data, attestation).map(drop);
    let whole = it.attestation(&it.cose(ES256));
    for end in 0..whole.len() {
        assert!(matches!(made(&whole[..end]), Err(Error::Malformed(_))), "{end}");
    }
    assert!(matches!(made(&[&whole[..], b"\0"].concat()), Err(Error::Malformed(_))));
    assert!(matches!(made(&vec![0; ATTESTATION_BYTES_MAX + 1]), Err(Error::Malformed(_))));
    let more = it.attestation(&[&it.cose(ES256)[..], b"\0"].concat());
    assert!(matches!(made(&more), Err(Error::Malformed(_))), "more than the flags say");
    assert_eq!(made(&it.attestation(&it.cose(0x27))), Err(Error::WrongAlgorithm), "EdDSA over P-256");
    let mut off_the_curve = it.cose(ES256);
    *off_the_curve.last_mut().unwrap() ^= 1;
    assert_eq!(made(&it.attestation(&off_the_curve)), Err(Error::Malformed("the key")));
    let nameless = Authenticator { id: Vec::new(), ..it.clone() };
    let long = Authenticator { id: vec![1; CREDENTIAL_ID_BYTES_MAX + 1], ..it.clone() };
    for it in [nameless, long] {
        assert!(matches!(made(&it.attestation(&it.cose(ES256))), Err(Error::Malformed(_))));
    }
    made(&whole).unwrap();
}
