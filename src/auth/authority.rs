//! Tokens made and checked: what this server alone can say about an `Authorization` header.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::{Caller, Error};
use crate::actor::{AGENT_TOKEN_PREFIX, Scope};
use crate::crypto::jwt::{self, HmacKey, Typ, Unverified};
use crate::crypto::{VerifyingKey, ct_eq, sha256};
use crate::directory::Session;
use crate::directory::limits::ACCESS_TOKEN_SECONDS;
use crate::limits::{SERVICE_TOKEN_SECONDS_MAX, TOKEN_BYTES_MAX};
use crate::syntax::Did;
use crate::vault::MasterKey;

/// The id of this server's service in its DID document.
const PDS: &str = "#atproto_pds";

/// The network's side of every token.
#[derive(Debug)]
pub struct Authority {
    key: HmacKey,
    service_did: String,
    /// Digests have one length, so that comparing them tells nothing of the token's.
    admin_digest: Option<[u8; 32]>,
}

/// What a header shows, as far as it can be told without asking anyone.
#[derive(Debug)]
pub enum Presented {
    /// There is no header.
    Nothing,
    /// The operator's token.
    Admin,
    /// A session's access token, checked; its account may be gone or stopped meanwhile.
    Session {
        /// Whose.
        did: Did,
        /// What it opens.
        scope: Scope,
        /// What the account's count was when it was made.
        generation: i64,
    },
    /// A session's refresh token, checked; the session may be closed.
    Refresh {
        /// Whose.
        did: Did,
        /// Its `jti`.
        id: String,
    },
    /// An agent's token: the directory knows its digest, or not.
    AgentToken {
        /// SHA-256 of the token's text.
        digest: [u8; 32],
    },
    /// A service token: to be checked with its issuer's key.
    Service(ServiceToken),
}

/// A session's tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenPair {
    /// For requests.
    pub access: String,
    /// For the next pair.
    pub refresh: String,
}

impl std::fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenPair(hidden)")
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    scope: String,
    sub: String,
    aud: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    #[serde(default, rename = "gen", skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
    iat: i64,
    exp: i64,
}

impl Authority {
    /// The session key comes of the master key, so it needs no place of its own; whoever replaces the master key
    /// ends all sessions.
    pub fn new(master_key: &MasterKey, service_did: String, admin_token: Option<&str>) -> Self {
        let key = HmacKey::from_bytes(*master_key.derive("session-tokens"));
        let admin_digest =
            admin_token.filter(|token| !token.is_empty()).map(|token| sha256(token.as_bytes()));
        Self { key, service_did, admin_digest }
    }

    /// Makes the tokens of a session.
    ///
    /// # Errors
    /// [`Error::Mint`].
    pub fn mint(&self, session: &Session, now_seconds: i64) -> Result<TokenPair, Error> {
        let claims = |scope: Scope, jti: Option<&str>, exp| Claims {
            scope: scope.as_str().to_owned(),
            sub: session.account.did.as_str().to_owned(),
            aud: self.service_did.clone(),
            generation: jti.is_none().then_some(session.account.generation),
            jti: jti.map(str::to_owned),
            iat: now_seconds,
            exp,
        };
        let sign = |typ, claims: &Claims| {
            jwt::sign_hs256(typ, claims, &self.key).map_err(|error| Error::Mint(error.to_string()))
        };
        let access_ends = now_seconds.saturating_add(ACCESS_TOKEN_SECONDS);
        Ok(TokenPair {
            access: sign(Typ::Access, &claims(session.scope, None, access_ends))?,
            refresh: sign(Typ::Refresh, &claims(Scope::Refresh, Some(&session.id), session.expires_seconds))?,
        })
    }

    /// Reads an `Authorization` header.
    ///
    /// # Errors
    /// [`Error::Expired`] for a session token of ours that was good, [`Error::Required`] for a wrong operator's
    /// password, [`Error::Invalid`] for whatever is no token of ours.
    pub fn check(&self, header: Option<&str>, now_seconds: i64) -> Result<Presented, Error> {
        let Some(header) = header.map(str::trim).filter(|header| !header.is_empty()) else {
            return Ok(Presented::Nothing);
        };
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            self.check_basic(rest)
        } else if scheme.eq_ignore_ascii_case("bearer") {
            self.check_bearer(rest, now_seconds)
        } else {
            Err(Error::Invalid("unknown authorization scheme: use Bearer"))
        }
    }

    fn check_basic(&self, encoded: &str) -> Result<Presented, Error> {
        let decoded =
            if encoded.len() > TOKEN_BYTES_MAX { None } else { BASE64.decode(encoded.as_bytes()).ok() };
        let password = decoded.as_deref().and_then(|decoded| decoded.strip_prefix(b"admin:"));
        match password {
            Some(password) if self.is_admin(password) => Ok(Presented::Admin),
            _ => Err(Error::Required("wrong user or password")),
        }
    }

    fn check_bearer(&self, token: &str, now_seconds: i64) -> Result<Presented, Error> {
        if token.is_empty() {
            return Err(Error::Missing);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Error::Invalid("Token is too long"));
        }
        if self.is_admin(token.as_bytes()) {
            return Ok(Presented::Admin);
        }
        if token.starts_with(AGENT_TOKEN_PREFIX) {
            return Ok(Presented::AgentToken { digest: sha256(token.as_bytes()) });
        }
        match self.claims(token, Typ::Access, now_seconds) {
            Ok((did, scope, claims)) if scope != Scope::Refresh => {
                Ok(Presented::Session { did, scope, generation: claims.generation.unwrap_or(0) })
            }
            Err(jwt::Error::WrongType) => match self.claims(token, Typ::Refresh, now_seconds) {
                Ok((did, Scope::Refresh, Claims { jti: Some(id), .. })) => Ok(Presented::Refresh { did, id }),
                Ok(_) => Err(Error::Invalid("Malformed token")),
                Err(error) => Err(refusal(&error)),
            },
            Err(jwt::Error::WrongAlgorithm) => ServiceToken::parse(token).map(Presented::Service),
            Ok(_) => Err(Error::Invalid("Malformed token")),
            Err(error) => Err(refusal(&error)),
        }
    }

    fn claims(&self, token: &str, typ: Typ, now_seconds: i64) -> Result<(Did, Scope, Claims), jwt::Error> {
        let claims: Claims = jwt::verify_hs256(token, typ, &self.key, now_seconds)?;
        if claims.aud != self.service_did {
            return Err(jwt::Error::Malformed("audience"));
        }
        let did = Did::try_from(claims.sub.as_str()).map_err(|_| jwt::Error::Malformed("subject"))?;
        let scope = Scope::parse(&claims.scope).ok_or(jwt::Error::Malformed("scope"))?;
        Ok((did, scope, claims))
    }

    /// Whether a service token is for this server: its DID alone, as all were once, or with its service's id.
    fn is_audience(&self, aud: &str) -> bool {
        aud.strip_prefix(&self.service_did).is_some_and(|id| id.is_empty() || id == PDS)
    }

    fn is_admin(&self, token: &[u8]) -> bool {
        self.admin_digest.is_some_and(|digest| ct_eq(&digest, &sha256(token)))
    }

    /// Checks all of a service token for method `nsid` but its signature: what costs nobody a question.
    ///
    /// # Errors
    /// [`Error::Expired`], or [`Error::Invalid`] for another audience or method, or one that is good too long.
    pub fn check_service_claims(
        &self,
        token: &ServiceToken,
        nsid: &str,
        now_seconds: i64,
    ) -> Result<(), Error> {
        let unverified = Unverified::parse(&token.text).map_err(|error| refusal(&error))?;
        unverified.check_times(now_seconds).map_err(|error| refusal(&error))?;
        let claims: ServiceClaims = unverified.claims().map_err(|error| refusal(&error))?;
        if !self.is_audience(&claims.aud) {
            return Err(Error::Invalid("service token is for another service"));
        }
        if claims.lxm.as_deref() != Some(nsid) {
            return Err(Error::Invalid("service token is for another method"));
        }
        if claims.exp > now_seconds.saturating_add(SERVICE_TOKEN_SECONDS_MAX + jwt::SKEW_SECONDS) as f64 {
            return Err(Error::Invalid("service token is good for too long: make one for an hour at most"));
        }
        Ok(())
    }

    /// Checks the signature of a service token whose claims are in order.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is of another key.
    pub fn check_service_signature(
        &self,
        token: &ServiceToken,
        key: &VerifyingKey,
        now_seconds: i64,
    ) -> Result<Caller, Error> {
        let unverified = Unverified::parse(&token.text).map_err(|error| refusal(&error))?;
        let _: ServiceClaims = unverified.verify(key, now_seconds).map_err(|error| refusal(&error))?;
        Ok(Caller::Service { did: token.issuer.clone() })
    }
}

/// A service token that is not checked yet.
#[derive(Clone)]
pub struct ServiceToken {
    text: String,
    issuer: Did,
}

#[derive(Deserialize)]
struct ServiceClaims {
    iss: String,
    aud: String,
    lxm: Option<String>,
    exp: f64,
}

impl ServiceToken {
    fn parse(token: &str) -> Result<Self, Error> {
        let unverified = Unverified::parse(token).map_err(|error| refusal(&error))?;
        let claims: ServiceClaims = unverified.claims().map_err(|error| refusal(&error))?;
        let issuer = Did::try_from(claims.iss).map_err(|_| Error::Invalid("Malformed token"))?;
        Ok(Self { text: token.to_owned(), issuer })
    }

    /// Whose key it claims to be signed with.
    pub fn issuer(&self) -> &Did {
        &self.issuer
    }
}

impl std::fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceToken").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

fn refusal(error: &jwt::Error) -> Error {
    match error {
        jwt::Error::Expired => Error::Expired,
        jwt::Error::Malformed(_) => Error::Invalid("Malformed token"),
        _ => Error::Invalid("Token could not be verified"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::{Kind, Status};
    use crate::crypto::SigningKey;
    use crate::directory::Account;
    use crate::syntax::Handle;
    use proptest::prelude::*;

    const NOW: i64 = 1_700_000_000;
    const SERVICE: &str = "did:web:pds.test";

    fn authority() -> Authority {
        Authority::new(&MasterKey::from_bytes([7; 32]), SERVICE.to_owned(), Some("letmein"))
    }

    fn session(scope: Scope) -> Session {
        let account = Account {
            did: Did::try_from("did:plc:alice").unwrap(),
            handle: Handle::try_from("alice.test").unwrap(),
            handle_failed_us: None,
            email: None,
            email_confirmed: false,
            kind: Kind::Person,
            status: Status::Active,
            display_name: None,
            model: None,
            config: None,
            created_us: 0,
            generation: 0,
        };
        Session { account, id: "jti".to_owned(), expires_seconds: NOW + 100_000, scope }
    }

    fn bearer(token: &str) -> Result<Presented, Error> {
        authority().check(Some(&format!("Bearer {token}")), NOW)
    }

    #[test]
    fn tokens_of_a_session_are_known_again_until_they_end() {
        for scope in [Scope::Access, Scope::AppPass, Scope::AppPassPrivileged, Scope::AppPassVault] {
            let pair = authority().mint(&session(scope), NOW).unwrap();
            let access = bearer(&pair.access).unwrap();
            assert!(matches!(access, Presented::Session { did, scope: read, generation: 0 }
                if did == *"did:plc:alice" && read == scope));
            let refresh = bearer(&pair.refresh).unwrap();
            assert!(matches!(refresh, Presented::Refresh { id, .. } if id == "jti"));
            let late = NOW + ACCESS_TOKEN_SECONDS;
            let header = format!("Bearer {}", pair.access);
            assert_eq!(authority().check(Some(&header), late).unwrap_err(), Error::Expired);
            let header = format!("Bearer {}", pair.refresh);
            assert!(authority().check(Some(&header), late).is_ok());
            assert_eq!(authority().check(Some(&header), NOW + 100_000).unwrap_err(), Error::Expired);
        }
    }

    #[test]
    fn a_token_of_another_network_or_audience_is_refused() {
        let foreign = Authority::new(&MasterKey::from_bytes([8; 32]), SERVICE.to_owned(), None);
        let token = foreign.mint(&session(Scope::Access), NOW).unwrap().access;
        assert!(matches!(bearer(&token), Err(Error::Invalid(_))));
        let moved = Authority::new(&MasterKey::from_bytes([7; 32]), "did:web:other.test".to_owned(), None);
        let token = moved.mint(&session(Scope::Access), NOW).unwrap().access;
        assert!(matches!(bearer(&token), Err(Error::Invalid(_))));
    }

    #[test]
    fn the_operator_is_known_in_both_forms_and_only_with_the_whole_token() {
        let basic =
            |text: &str| authority().check(Some(&format!("Basic {}", BASE64.encode(text.as_bytes()))), NOW);
        assert!(matches!(basic("admin:letmein"), Ok(Presented::Admin)));
        assert!(matches!(bearer("letmein"), Ok(Presented::Admin)));
        for wrong in ["admin:", "admin:letmei", "admin:letmein ", "root:letmein", "letmein", ""] {
            assert!(matches!(basic(wrong), Err(Error::Required(_))), "{wrong}");
        }
        let nobody = Authority::new(&MasterKey::from_bytes([7; 32]), SERVICE.to_owned(), Some(""));
        assert!(nobody.check(Some("Basic YWRtaW46"), NOW).is_err(), "an unset token opens nothing");
    }

    #[test]
    fn other_headers_are_told_apart() {
        assert!(matches!(authority().check(None, NOW), Ok(Presented::Nothing)));
        assert!(matches!(authority().check(Some("  "), NOW), Ok(Presented::Nothing)));
        assert!(
            matches!(bearer("zap_abc"), Ok(Presented::AgentToken { digest }) if digest == sha256(b"zap_abc"))
        );
        assert_eq!(bearer("").unwrap_err(), Error::Missing);
        for odd in ["Digest x", "Bearer a.b.c", "Bearer ....", "Basic %", "Bearer \u{0}"] {
            assert!(authority().check(Some(odd), NOW).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_service_token_is_for_one_service_and_one_method() {
        let key = SigningKey::from_bytes(&[5; 32]).unwrap();
        let token = |aud: &str, lxm: &str, exp: i64| {
            let claims = serde_json::json!({"iss": "did:plc:bob", "aud": aud, "lxm": lxm, "exp": exp});
            let Ok(Presented::Service(token)) = bearer(&jwt::sign_es256k(&claims, &key).unwrap()) else {
                panic!("not seen as a service token");
            };
            token
        };
        let check = |token: &ServiceToken, key: &SigningKey| {
            authority().check_service_claims(token, "agent.comms.deliver", NOW)?;
            authority().check_service_signature(token, &key.verifying_key(), NOW)
        };
        let good = token(SERVICE, "agent.comms.deliver", NOW + 60);
        let caller = check(&good, &key).unwrap();
        assert_eq!(caller, Caller::Service { did: Did::try_from("did:plc:bob").unwrap() });
        let named = format!("{SERVICE}#atproto_pds");
        check(&token(&named, "agent.comms.deliver", NOW + 60), &key).unwrap();
        for aud in [format!("{SERVICE}#atproto_labeler"), format!("{SERVICE}#"), format!("{SERVICE}.example")]
        {
            let other = token(&aud, "agent.comms.deliver", NOW + 60);
            assert!(matches!(check(&other, &key), Err(Error::Invalid(_))), "{aud}");
        }
        let other = SigningKey::from_bytes(&[6; 32]).unwrap();
        assert!(matches!(check(&good, &other), Err(Error::Invalid(_))));
        assert!(matches!(
            check(&token("did:web:x.test", "agent.comms.deliver", NOW + 60), &key),
            Err(Error::Invalid(_))
        ));
        assert!(matches!(check(&token(SERVICE, "agent.comms.send", NOW + 60), &key), Err(Error::Invalid(_))));
        assert_eq!(check(&token(SERVICE, "agent.comms.deliver", NOW), &key), Err(Error::Expired));
        let year_9999 = 253_370_764_800;
        assert!(matches!(
            check(&token(SERVICE, "agent.comms.deliver", year_9999), &key),
            Err(Error::Invalid(_))
        ));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in ".{0,200}") {
            let _ = authority().check(Some(&header), NOW);
            let _ = bearer(&header);
        }
    }
}
