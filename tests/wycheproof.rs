//! Project Wycheproof: known attacks on the primitives, against what the program calls. If one fails, a crate below us
//! accepts something it must not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use wycheproof::{TestResult, aead, ecdsa, hkdf};
use zap::crypto::{Error, VerifyingKey};
use zap::vault::unwrap_secret;

#[test]
fn chacha20_poly1305() {
    let mut opened = 0;
    for group in aead::TestSet::load(aead::TestName::ChaCha20Poly1305).unwrap().test_groups {
        for test in group.tests {
            let (Ok(nonce), Ok(tag)) =
                (<[u8; 12]>::try_from(&test.nonce[..]), <[u8; 16]>::try_from(&test.tag[..]))
            else {
                assert!(test.result.must_fail(), "{}", test.tc_id);
                continue;
            };
            let key: [u8; 32] = test.key[..].try_into().unwrap();
            let mut body = test.ct.to_vec();
            let result = ChaCha20Poly1305::new(&key.into()).decrypt_inout_detached(
                &nonce.into(),
                &test.aad,
                body.as_mut_slice().into(),
                &tag.into(),
            );
            assert_eq!(result.is_ok(), test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            if result.is_ok() {
                assert_eq!(body, &test.pt[..]);
                opened += 1;
            }
        }
    }
    assert!(opened > 100);
}

#[test]
fn xchacha20_poly1305_as_keys_are_wrapped() {
    let mut opened = 0;
    for group in aead::TestSet::load(aead::TestName::XChaCha20Poly1305).unwrap().test_groups {
        for test in group.tests.iter().filter(|test| test.nonce.len() == 24) {
            let wrapped = [&test.nonce[..], &test.ct, &test.tag].concat();
            let key: [u8; 32] = test.key[..].try_into().unwrap();
            let result = unwrap_secret(&key, &test.aad, &wrapped, "test");
            assert_eq!(result.is_ok(), test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            if let Ok(secret) = result {
                assert_eq!(*secret, test.pt[..]);
                opened += 1;
            }
        }
    }
    assert!(opened > 100);
}

#[test]
fn hkdf_sha256() {
    for group in hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap().test_groups {
        for test in group.tests {
            let mut okm = vec![0; test.size];
            let result =
                ::hkdf::Hkdf::<sha2::Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut okm);
            assert_eq!(
                result.is_ok(),
                test.result != TestResult::Invalid,
                "{}: {}",
                test.tc_id,
                test.comment
            );
            if result.is_ok() {
                assert_eq!(okm, &test.okm[..], "{}", test.tc_id);
            }
        }
    }
}

fn check_ecdsa(name: ecdsa::TestName, method_type: &str) {
    let mut accepted = 0;
    for group in ecdsa::TestSet::load(name).unwrap().test_groups {
        let text = multibase::encode(multibase::Base::Base58Btc, &group.key.key[..]);
        let key = VerifyingKey::from_verification_method(method_type, &text).unwrap();
        for test in group.tests {
            let either_s = key.verify_jws(&test.msg, &test.sig);
            assert_eq!(
                either_s.is_ok(),
                test.result == TestResult::Valid,
                "{}: {}",
                test.tc_id,
                test.comment
            );
            // Strict is the same, but for the valid ones in the other form.
            match (either_s, key.verify(&test.msg, &test.sig)) {
                (Ok(()), Ok(())) => accepted += 1,
                (Ok(()), strict) => assert_eq!(strict, Err(Error::HighS), "{}", test.tc_id),
                (Err(_), strict) => assert!(strict.is_err(), "{}", test.tc_id),
            }
        }
    }
    assert!(accepted > 50);
}

#[test]
fn ecdsa_secp256k1() {
    check_ecdsa(ecdsa::TestName::EcdsaSecp256k1Sha256P1363, "EcdsaSecp256k1VerificationKey2019");
}

#[test]
fn ecdsa_p256() {
    check_ecdsa(ecdsa::TestName::EcdsaSecp256r1Sha256P1363, "EcdsaSecp256r1VerificationKey2019");
}
