//! Challenges that passkeys answer: made for one browser, for minutes, and kept nowhere.
//!
//! A challenge says when it ends, and has a tag that fits a cookie of the browser it was given to; so a page may be opened by
//! anybody and as often as they like, and fills no table. That none is answered twice is the directory's to see to.

use data_encoding::BASE64URL_NOPAD;
use serde_bytes::ByteBuf;

use super::App;
use crate::crypto::webauthn;
use crate::directory::Challenge;

/// Seconds a challenge may take: as long as what comes after a password.
const CHALLENGE_SECONDS: i64 = crate::directory::limits::HALF_SIGN_IN_SECONDS;

/// Random bytes, and when it ends.
const HEAD_BYTES: usize = 16 + 8;

impl App {
    /// Makes a challenge for the browser that has this cookie.
    #[must_use]
    pub fn passkey_challenge(&self, cookie: &str) -> Vec<u8> {
        let ends_us = self.host.now_us().saturating_add(CHALLENGE_SECONDS * 1_000_000);
        let head = [&self.random::<16>()[..], &ends_us.to_be_bytes()].concat();
        let tag = self.challenge_tag(cookie, &head);
        [head, tag.into_bytes()].concat()
    }

    /// The challenge that a browser says it answered, if it is one of ours for the browser that has this cookie.
    #[must_use]
    pub fn answered_challenge(&self, cookie: &str, client_data: &[u8]) -> Option<Challenge> {
        let bytes = webauthn::claimed_challenge(client_data).ok()?;
        let (head, tag) = bytes.split_at_checked(HEAD_BYTES)?;
        let (_, ends_us) = head.split_last_chunk::<8>()?;
        let ends_us = i64::from_be_bytes(*ends_us);
        let is_ours = crate::crypto::ct_eq(self.challenge_tag(cookie, head).as_bytes(), tag);
        is_ours.then(|| Challenge { bytes: ByteBuf::from(bytes), ends_us })
    }

    fn challenge_tag(&self, cookie: &str, head: &[u8]) -> String {
        self.form_token(cookie, &format!("passkey.{}", BASE64URL_NOPAD.encode(head)))
    }
}
