//! From the code to the session's end.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::super::Error;
use super::super::account::{self, read_did};
use super::super::credentials;
use super::super::limits::OAUTH_SESSIONS_MAX;
use super::consent::{self, Granted, after};
use crate::crypto::{ct_eq, sha256};
use crate::env::Env;
use crate::oauth::scope::Sets;
use crate::oauth::{CONFIDENTIAL_REFRESH_SECONDS, CONFIDENTIAL_SESSION_SECONDS, PUBLIC_SESSION_SECONDS};
use crate::seam::Hidden;
use crate::store::{Row, Sql, SqlError, Value, query_first};
use crate::syntax::Did;

/// Exchanges a code for a session.
#[derive(Clone, Serialize, Deserialize)]
pub struct RedeemCode {
    /// SHA-256 of the code.
    pub code: [u8; 32],
    /// What the code was asked for with.
    pub holder: Holder,
    /// Where the code was sent.
    pub redirect_uri: String,
    /// What the challenge is the SHA-256 of (PKCE).
    pub verifier: Hidden<String>,
}

/// Asks for a session's next tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefreshOauthSession {
    /// Which session.
    pub id: String,
    /// The refresh token's number.
    pub number: i64,
    /// Who shows it.
    pub holder: Holder,
    /// The keys that a confidential client has now: a session that began with another one is lost with that.
    pub client_keys: Vec<String>,
}

/// Who shows a code or a refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Which client.
    pub client_id: String,
    /// The key that a confidential client showed.
    pub client_key: Option<String>,
    /// The key of its proof of possession.
    pub dpop_jkt: String,
}

/// Ends a session of this client; answers whose it was. Nothing happens when there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CloseOauthSession {
    /// Which session.
    pub id: String,
    /// The client that asks.
    pub client_id: String,
}

/// What a client's next tokens say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthSession {
    /// Which session.
    pub id: String,
    /// Whose account.
    pub did: Did,
    /// How many of its credentials have ended.
    pub generation: i64,
    /// Which client's.
    pub client_id: String,
    /// What was granted.
    pub scope: String,
    /// What its permission sets opened on the page of consent. The session does not keep it: its tokens do, and none is here
    /// for a session that goes on.
    #[serde(default)]
    pub sets: Sets,
    /// The key that tokens are bound to.
    pub dpop_jkt: String,
    /// The number of the refresh token that is good.
    pub number: i64,
    /// When that ends, in seconds since the epoch.
    pub expires_seconds: i64,
}

/// What comes of a code or a refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exchange {
    /// Tokens.
    Granted(OauthSession),
    /// None.
    Refused {
        /// Why, for the client's developer.
        why: String,
        /// Whose session ended with that: it was shown again what may be shown once.
        ended: Option<Did>,
    },
}

impl Exchange {
    fn refused(why: &str) -> Self {
        Self::Refused { why: why.to_owned(), ended: None }
    }

    /// Whose session ended with it.
    pub fn ended(&self) -> Option<Did> {
        match self {
            Self::Granted(_) => None,
            Self::Refused { ended, .. } => ended.clone(),
        }
    }
}

pub(in super::super) fn redeem(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    ask: &RedeemCode,
) -> Result<Exchange, Error> {
    if let Some(session) = find(sql, BY_CODE, Value::Blob(&ask.code))? {
        end(sql, &session)?;
        return Ok(Exchange::Refused {
            why: "the code was used before: its session has ended".to_owned(),
            ended: Some(session.did),
        });
    }
    // The code is over with this, right or wrong: whoever has it must not try again.
    let Some(Granted { did, request, client_name }) = consent::take(sql, env, &ask.code)? else {
        return Ok(Exchange::refused("the code is wrong, was used, or has expired"));
    };
    let asked =
        Holder { client_id: request.client_id, client_key: request.client_key, dpop_jkt: request.dpop_jkt };
    if let Some(why) = differs(&asked, &ask.holder) {
        return Ok(Exchange::refused(why));
    }
    if request.redirect_uri != ask.redirect_uri {
        return Ok(Exchange::refused("redirect_uri is not the one that the code was sent to"));
    }
    let challenge = BASE64URL_NOPAD.encode(&sha256(ask.verifier.expose().as_bytes()));
    if !ct_eq(challenge.as_bytes(), request.code_challenge.as_bytes()) {
        return Ok(Exchange::refused("code_verifier does not fit code_challenge"));
    }
    let account = account::require(sql, &did)?;
    if account.status.is_moderated() {
        return Ok(Exchange::refused("the account has been taken down"));
    }
    if !consent::use_challenge(sql, env, &challenge)? {
        return Ok(Exchange::refused("code_challenge was used before"));
    }
    make_room(sql, env, &did)?;
    let lives =
        if asked.client_key.is_some() { CONFIDENTIAL_SESSION_SECONDS } else { PUBLIC_SESSION_SECONDS };
    let session = Stored {
        id: BASE64URL_NOPAD.encode(&env.random::<16>()),
        did,
        holder: asked,
        scope: request.scope,
        number: 1,
        refreshed_us: env.now_us,
        expires_us: after(env, lives),
    };
    sql.execute(
        "INSERT INTO oauth_session (id, did, client_id, client_key, dpop_jkt, scope, code, number, created_us,
           refreshed_us, expires_us, client_name)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            session.id.as_str().into(),
            session.did.as_str().into(),
            session.holder.client_id.as_str().into(),
            Value::optional_text(session.holder.client_key.as_deref()),
            session.holder.dpop_jkt.as_str().into(),
            session.scope.as_str().into(),
            Value::Blob(&ask.code),
            session.number.into(),
            env.now_us.into(),
            env.now_us.into(),
            session.expires_us.into(),
            Value::optional_text(client_name.as_deref()),
        ],
    )?;
    let sets = request.sets;
    Ok(Exchange::Granted(OauthSession { sets, ..session.granted(account.generation) }))
}

pub(in super::super) fn refresh(
    sql: &dyn Sql,
    env: &Env<'_>,
    ask: &RefreshOauthSession,
) -> Result<Exchange, Error> {
    let Some(mut session) = find(sql, BY_ID, ask.id.as_str().into())? else {
        return Ok(Exchange::refused("the session has ended"));
    };
    if session.ends_us() <= env.now_us {
        return Ok(Exchange::refused("the session has expired"));
    }
    if ask.number < session.number {
        end(sql, &session)?;
        return Ok(Exchange::Refused {
            why: "the refresh token was used before: its session has ended".to_owned(),
            ended: Some(session.did),
        });
    }
    // A higher number than any that was given is from before a backup was put back.
    if ask.number > session.number {
        return Ok(Exchange::refused("the refresh token is none of this session's"));
    }
    if session.holder.client_id == ask.holder.client_id
        && session.holder.client_key.as_ref().is_some_and(|key| !ask.client_keys.contains(key))
    {
        end(sql, &session)?;
        return Ok(Exchange::Refused {
            why: "the key that the session began with is gone from the client's document: it has ended"
                .to_owned(),
            ended: Some(session.did),
        });
    }
    if let Some(why) = differs(&session.holder, &ask.holder) {
        return Ok(Exchange::refused(why));
    }
    let account = account::require(sql, &session.did)?;
    if account.status.is_moderated() {
        return Ok(Exchange::refused("the account has been taken down"));
    }
    session.number += 1;
    session.refreshed_us = env.now_us;
    sql.execute(
        "UPDATE oauth_session SET number = ?, refreshed_us = ? WHERE id = ?",
        &[session.number.into(), env.now_us.into(), session.id.as_str().into()],
    )?;
    Ok(Exchange::Granted(session.granted(account.generation)))
}

pub(in super::super) fn close(sql: &dyn Sql, ask: &CloseOauthSession) -> Result<Option<Did>, Error> {
    let found = find(sql, BY_ID, ask.id.as_str().into())?;
    let is_its = |session: &Stored| session.holder.client_id == ask.client_id;
    let Some(session) = found.filter(is_its) else { return Ok(None) };
    end(sql, &session)?;
    Ok(Some(session.did))
}

/// Ends a session for its owner.
pub(in super::super) fn close_own(sql: &dyn Sql, did: &Did, id: &str) -> Result<(), Error> {
    match find(sql, BY_ID, id.into())? {
        Some(session) if session.did == *did => end(sql, &session),
        _ => Ok(()),
    }
}

/// Ends a session and, since they rest nowhere, all access tokens of its account; the other sessions make new ones. Nobody
/// can do that for ever: a session begins with its owner's consent.
fn end(sql: &dyn Sql, session: &Stored) -> Result<(), Error> {
    sql.execute("DELETE FROM oauth_session WHERE id = ?", &[session.id.as_str().into()])?;
    credentials::count_end(sql, &session.did)
}

/// In what they differ, said without the values.
fn differs(own: &Holder, shown: &Holder) -> Option<&'static str> {
    if own.client_id != shown.client_id {
        Some("it was given to another client")
    } else if own.client_key != shown.client_key {
        Some("the client showed another key when it began")
    } else if own.dpop_jkt != shown.dpop_jkt {
        Some("it is bound to another DPoP key")
    } else {
        None
    }
}

struct Stored {
    id: String,
    did: Did,
    holder: Holder,
    scope: String,
    number: i64,
    refreshed_us: i64,
    expires_us: i64,
}

impl Stored {
    /// When it ends unless it is refreshed.
    fn ends_us(&self) -> i64 {
        let unused = match self.holder.client_key {
            Some(_) => {
                self.refreshed_us.saturating_add(CONFIDENTIAL_REFRESH_SECONDS.saturating_mul(1_000_000))
            }
            None => i64::MAX,
        };
        self.expires_us.min(unused)
    }

    fn granted(self, generation: i64) -> OauthSession {
        OauthSession {
            expires_seconds: self.ends_us().div_euclid(1_000_000),
            id: self.id,
            did: self.did,
            generation,
            client_id: self.holder.client_id,
            scope: self.scope,
            sets: Sets::default(),
            dpop_jkt: self.holder.dpop_jkt,
            number: self.number,
        }
    }
}

const BY_ID: &str = "SELECT id, did, client_id, client_key, dpop_jkt, scope, number, refreshed_us, expires_us
    FROM oauth_session WHERE id = ?";
const BY_CODE: &str =
    "SELECT id, did, client_id, client_key, dpop_jkt, scope, number, refreshed_us, expires_us
    FROM oauth_session WHERE code = ?";

fn find(sql: &dyn Sql, statement: &'static str, value: Value<'_>) -> Result<Option<Stored>, Error> {
    Ok(query_first(sql, statement, &[value], read)?)
}

fn read(row: &dyn Row) -> Result<Stored, SqlError> {
    let holder = Holder {
        client_id: row.text(2)?.to_owned(),
        client_key: row.optional_text(3)?.map(str::to_owned),
        dpop_jkt: row.text(4)?.to_owned(),
    };
    Ok(Stored {
        id: row.text(0)?.to_owned(),
        did: read_did(row, 1)?,
        holder,
        scope: row.text(5)?.to_owned(),
        number: row.integer(6)?,
        refreshed_us: row.integer(7)?,
        expires_us: row.integer(8)?,
    })
}

/// Removes what has expired, and of very many the ones unused longest.
fn make_room(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<(), Error> {
    sql.execute(
        "DELETE FROM oauth_session WHERE did = ? AND expires_us <= ?",
        &[did.as_str().into(), env.now_us.into()],
    )?;
    sql.execute(
        "DELETE FROM oauth_session WHERE did = ? AND id NOT IN
           (SELECT id FROM oauth_session WHERE did = ? ORDER BY refreshed_us DESC LIMIT ?)",
        &[did.as_str().into(), did.as_str().into(), (OAUTH_SESSIONS_MAX - 1).into()],
    )?;
    Ok(())
}
