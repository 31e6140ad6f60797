//! Tokens: texts of this server that clients carry and need not read.
//!
//! | text | says | rests |
//! |---|---|---|
//! | access token | whose, for what, bound to which key, when it ends | nowhere |
//! | refresh token | which session, the how-manieth of it, what its permission sets open | the session knows its last number |
//! | `request_uri` | what was asked for | nowhere |
//!
//! All are signed with a key that comes of the master key, and their kinds don't mix ([`Typ`]). An access token lives five
//! minutes and says, as a session's does, how many of its account's credentials had ended when it was made.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::request::{AuthorizationRequest, URN};
use super::scope::Sets;
use super::{ACCESS_SECONDS, Code, Error, REQUEST_SECONDS};
use crate::crypto::jwt::{self, HmacKey, Typ};
use crate::crypto::sha256;
use crate::syntax::Did;

/// What tokens are made and checked with.
#[derive(Debug)]
pub struct Tokens {
    key: HmacKey,
    issuer: String,
    audience: String,
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Whose account.
    pub sub: Did,
    /// What it allows.
    pub scope: String,
    /// Which client's.
    pub client_id: String,
    /// Which session's.
    pub sid: String,
    /// How many of the account's credentials had ended.
    #[serde(rename = "gen")]
    pub generation: i64,
    /// The key it is bound to.
    pub cnf: Confirmation,
}

/// The key that a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Its thumbprint.
    pub jkt: String,
}

/// What a refresh token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshToken {
    /// Which session.
    pub sid: String,
    /// The how-manieth.
    pub number: i64,
    /// What the session's permission sets opened when it was made: what they still do if they can't be found any more.
    #[serde(default, skip_serializing_if = "Sets::is_empty")]
    pub sets: Sets,
}

#[derive(Serialize, Deserialize)]
struct Signed<T> {
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    /// Two of one second are not the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(flatten)]
    says: T,
}

impl Tokens {
    /// With a key of the network's, for this origin and service.
    #[must_use]
    pub fn new(key: HmacKey, issuer: String, audience: String) -> Self {
        Self { key, issuer, audience }
    }

    /// Makes an access token; `random` makes it one of its own.
    ///
    /// # Errors
    /// [`Code::ServerError`].
    pub fn access(&self, says: AccessToken, random: &[u8; 16], now_seconds: i64) -> Result<String, Error> {
        let jti = Some(BASE64URL_NOPAD.encode(random));
        self.sign(Typ::Access, says, jti, now_seconds, now_seconds.saturating_add(ACCESS_SECONDS))
    }

    /// Reads an access token.
    ///
    /// # Errors
    /// [`Code::InvalidToken`].
    pub fn read_access(&self, text: &str, now_seconds: i64) -> Result<AccessToken, Error> {
        self.read(Typ::Access, text, now_seconds).map_err(|error| match error {
            jwt::Error::Expired => Code::InvalidToken.because("the access token has expired"),
            _ => Code::InvalidToken.because("the access token is none of this server's"),
        })
    }

    /// Makes a refresh token of a session that ends then.
    ///
    /// # Errors
    /// [`Code::ServerError`].
    pub fn refresh(
        &self,
        says: RefreshToken,
        now_seconds: i64,
        expires_seconds: i64,
    ) -> Result<String, Error> {
        self.sign(Typ::OauthRefresh, says, None, now_seconds, expires_seconds)
    }

    /// Reads a refresh token.
    ///
    /// # Errors
    /// [`Code::InvalidGrant`].
    pub fn read_refresh(&self, text: &str, now_seconds: i64) -> Result<RefreshToken, Error> {
        self.read(Typ::OauthRefresh, text, now_seconds).map_err(|error| match error {
            jwt::Error::Expired => Code::InvalidGrant.because("the refresh token has expired"),
            _ => Code::InvalidGrant.because("the refresh token is none of this server's"),
        })
    }

    /// The session that a token is of, whichever kind it is, also one that has expired is of none.
    #[must_use]
    pub fn session_of(&self, text: &str, now_seconds: i64) -> Option<String> {
        let refresh = self.read_refresh(text, now_seconds).map(|token| token.sid);
        refresh.or_else(|_| self.read_access(text, now_seconds).map(|token| token.sid)).ok()
    }

    /// Makes the `request_uri` of a request; `random` makes it one of its own.
    ///
    /// # Errors
    /// [`Code::ServerError`].
    pub fn request(
        &self,
        request: &AuthorizationRequest,
        random: &[u8; 16],
        now_seconds: i64,
    ) -> Result<String, Error> {
        let (jti, ends) = (Some(BASE64URL_NOPAD.encode(random)), now_seconds.saturating_add(REQUEST_SECONDS));
        Ok(URN.to_owned() + &self.sign(Typ::OauthRequest, request, jti, now_seconds, ends)?)
    }

    /// Reads a `request_uri`, whose sign-in may begin until it ends, and a name for it that is short.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`].
    pub fn read_request(&self, uri: &str, now_seconds: i64) -> Result<(AuthorizationRequest, String), Error> {
        let text = uri.strip_prefix(URN).unwrap_or_default();
        let request = self.read(Typ::OauthRequest, text, now_seconds).map_err(|error| match error {
            jwt::Error::Expired => {
                Code::InvalidRequest.because("the request has expired: begin again in the application")
            }
            _ => Code::InvalidRequest.because("request_uri is none of this server's"),
        })?;
        Ok((request, BASE64URL_NOPAD.encode(&sha256(text.as_bytes()))))
    }

    fn sign<T: Serialize>(
        &self,
        typ: Typ,
        says: T,
        jti: Option<String>,
        iat: i64,
        exp: i64,
    ) -> Result<String, Error> {
        let signed = Signed { iss: self.issuer.clone(), aud: self.audience.clone(), iat, exp, jti, says };
        jwt::sign_hs256(typ, &signed, &self.key).map_err(|error| Code::ServerError.because(error.to_string()))
    }

    fn read<T: serde::de::DeserializeOwned>(
        &self,
        typ: Typ,
        text: &str,
        now_seconds: i64,
    ) -> Result<T, jwt::Error> {
        let signed: Signed<T> = jwt::verify_hs256(text, typ, &self.key, now_seconds)?;
        if signed.iss != self.issuer || signed.aud != self.audience {
            return Err(jwt::Error::Malformed("audience"));
        }
        Ok(signed.says)
    }
}
