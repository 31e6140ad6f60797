//! The agents' registry beyond their accounts: tokens, and when an agent was last at work.
//!
//! An agent's token is 32 random bytes, `zap_` and base64url: a full session of that one account that does not
//! expire and can be revoked. Only its digest rests here.
//!
//! A token that takes the place of the others ends them when it is first used: until then its maker may not have it.

use serde::{Deserialize, Serialize};

use super::Error;
use super::account::{self, read_did};
use super::proof::Proof;
use crate::actor::AGENT_TOKEN_PREFIX;
use crate::crypto::sha256;
use crate::directory::limits::AGENT_TOKENS_MAX;
use crate::env::Env;
use crate::seam::Hidden;
use crate::store::{Sql, Value, query_first};
use crate::syntax::Did;

/// Makes a token for an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IssueAgentToken {
    /// Whose.
    pub did: Did,
}

/// Makes the first token of an agent whose maker has not had it yet; `None` for any other account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimAgentToken {
    /// Whose.
    pub did: Did,
}

/// Makes a token that ends an agent's others, and their sessions, with its first use. One that was made so before and
/// never used is gone at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RotateAgentToken {
    /// Whose.
    pub did: Did,
    /// Who asks: the token outlives what it is made with.
    pub proof: Proof,
}

/// Asks whose token has this digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FindAgentToken {
    /// SHA-256 of the token's text.
    pub digest: [u8; 32],
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentToken {
    /// The agent's account.
    pub did: Did,
    /// Whether it is used for the first time, and the others are to end now: see [`SettleAgentToken`].
    pub ends_others: bool,
}

/// Owes an agent a token, to whoever showed its keys: the one that an import gave may have been lost with its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OweAgentToken {
    /// Whose.
    pub did: Did,
}

/// Ends an agent's other tokens and all its sessions, if the token with this digest is to; nothing otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SettleAgentToken {
    /// SHA-256 of the token's text.
    pub digest: [u8; 32],
}

/// Removes all tokens of an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RevokeAgentTokens {
    /// Whose.
    pub did: Did,
}

pub(super) fn issue_token(sql: &dyn Sql, env: &mut Env<'_>, did: &Did) -> Result<Hidden<String>, Error> {
    account::require(sql, did)?;
    let tokens =
        query_first(sql, "SELECT count(*) FROM agent_token WHERE did = ?", &[did.as_str().into()], |row| {
            row.integer(0)
        })?;
    if tokens.unwrap_or_default() >= AGENT_TOKENS_MAX {
        return Err(Error::OverLimit("the number of tokens".into()));
    }
    insert(sql, env, did, false)
}

/// Has no limit of its own: there is one at most, and it ends the others.
pub(super) fn rotate_token(sql: &dyn Sql, env: &mut Env<'_>, did: &Did) -> Result<Hidden<String>, Error> {
    sql.execute("DELETE FROM agent_token WHERE did = ? AND ends_others = 1", &[did.as_str().into()])?;
    insert(sql, env, did, true)
}

fn insert(sql: &dyn Sql, env: &mut Env<'_>, did: &Did, ends_others: bool) -> Result<Hidden<String>, Error> {
    let secret = data_encoding::BASE64URL_NOPAD.encode(&env.random::<32>());
    let token = format!("{AGENT_TOKEN_PREFIX}{secret}");
    sql.execute(
        "INSERT INTO agent_token (digest, did, created_us, ends_others) VALUES (?, ?, ?, ?)",
        &[
            Value::Blob(&sha256(token.as_bytes())),
            did.as_str().into(),
            env.now_us.into(),
            i64::from(ends_others).into(),
        ],
    )?;
    sql.execute("UPDATE account SET token_owed = 0 WHERE did = ?", &[did.as_str().into()])?;
    Ok(Hidden::new(token))
}

pub(super) fn owe_token(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    let statement = "UPDATE account SET token_owed = 1 WHERE did = ? AND kind = 'agent'";
    Ok(sql.execute(statement, &[did.as_str().into()])?)
}

pub(super) fn is_token_owed(sql: &dyn Sql, did: &Did) -> Result<bool, Error> {
    let owed = "SELECT token_owed FROM account WHERE did = ?";
    Ok(query_first(sql, owed, &[did.as_str().into()], |row| row.integer(0))? == Some(1))
}

pub(super) fn claim_token(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    did: &Did,
) -> Result<Option<Hidden<String>>, Error> {
    let owed = "SELECT token_owed FROM account WHERE did = ? AND status = 'active'";
    match query_first(sql, owed, &[did.as_str().into()], |row| row.integer(0))? {
        Some(1) => issue_token(sql, env, did).map(Some),
        _ => Ok(None),
    }
}

pub(super) fn find_token(sql: &dyn Sql, digest: &[u8; 32]) -> Result<Option<AgentToken>, Error> {
    let statement = "SELECT did, ends_others FROM agent_token WHERE digest = ?";
    Ok(query_first(sql, statement, &[Value::Blob(digest)], |row| {
        Ok(AgentToken { did: read_did(row, 0)?, ends_others: row.integer(1)? != 0 })
    })?)
}

/// Removes all tokens of the agent but the one with this digest.
pub(super) fn keep_only(sql: &dyn Sql, did: &Did, digest: &[u8; 32]) -> Result<(), Error> {
    let kept = Value::Blob(digest);
    sql.execute("DELETE FROM agent_token WHERE did = ? AND digest != ?", &[did.as_str().into(), kept])?;
    Ok(sql.execute("UPDATE agent_token SET ends_others = 0 WHERE digest = ?", &[kept])?)
}

pub(super) fn revoke_tokens(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    sql.execute("DELETE FROM agent_token WHERE did = ?", &[did.as_str().into()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::super::{DeleteAccount, GetAccount, OpenSession, RotateSession, Who};
    use super::*;

    #[test]
    fn the_first_token_is_claimed_once_and_by_nobody_after_another() {
        let mut cell = Cell::new();
        let (alice, bob) = (cell.agent("alice.test"), cell.agent("bob.test"));
        assert!(cell.ask(ClaimAgentToken { did: alice.clone() }).unwrap().is_some());
        assert!(cell.ask(ClaimAgentToken { did: alice }).unwrap().is_none());
        cell.ask(IssueAgentToken { did: bob.clone() }).unwrap();
        assert!(cell.ask(ClaimAgentToken { did: bob }).unwrap().is_none());
        let person = cell.person("carol.test", "carol@example.com");
        assert!(cell.ask(ClaimAgentToken { did: person }).unwrap().is_none());
    }

    #[test]
    fn a_rotated_token_ends_the_others_with_its_first_use() {
        let mut cell = Cell::new();
        let alice = cell.agent("alice.test");
        let digest = |token: Hidden<String>| sha256(token.expose().as_bytes());
        let old = digest(cell.ask(IssueAgentToken { did: alice.clone() }).unwrap());
        let proof = Proof::AgentToken(old);
        let session = cell
            .ask(OpenSession {
                did: alice.clone(),
                proof: proof.clone(),
                client: None,
                device: None,
                allow_takendown: false,
            })
            .unwrap();
        let lost = digest(cell.ask(RotateAgentToken { did: alice.clone(), proof: proof.clone() }).unwrap());
        let new = digest(cell.ask(RotateAgentToken { did: alice.clone(), proof }).unwrap());
        assert_eq!(cell.ask(FindAgentToken { digest: lost }), Ok(None), "nobody had it");

        cell.ask(SettleAgentToken { digest: old }).unwrap();
        let found = |digest, cell: &mut Cell| cell.ask(FindAgentToken { digest }).unwrap();
        assert!(found(old, &mut cell).is_some_and(|old| !old.ends_others), "it works until then");
        assert!(found(new, &mut cell).is_some_and(|new| new.ends_others));

        cell.ask(SettleAgentToken { digest: new }).unwrap();
        assert_eq!(found(old, &mut cell), None);
        assert_eq!(found(new, &mut cell), Some(AgentToken { did: alice.clone(), ends_others: false }));
        assert_eq!(cell.ask(RotateSession { id: session.id }), Err(Error::TokenRevoked));
        let counted = |cell: &mut Cell| {
            cell.ask(GetAccount { who: Who::Did(alice.clone()) }).unwrap().unwrap().generation
        };
        let generation = counted(&mut cell);
        assert!(generation > session.account.generation, "access tokens from before open nothing");
        cell.ask(SettleAgentToken { digest: new }).unwrap();
        assert_eq!(counted(&mut cell), generation, "once");
    }

    #[test]
    fn a_token_opens_its_own_account_until_it_is_revoked() {
        let mut cell = Cell::new();
        let (alice, bob) = (cell.agent("alice.test"), cell.agent("bob.test"));
        let mut issue = |did: &Did| {
            let token = cell.ask(IssueAgentToken { did: did.clone() }).unwrap();
            assert!(token.expose().starts_with("zap_") && token.expose().len() == 47);
            sha256(token.expose().as_bytes())
        };
        let (of_alice, also_of_alice, of_bob) = (issue(&alice), issue(&alice), issue(&bob));
        for (digest, did) in [(of_alice, &alice), (also_of_alice, &alice), (of_bob, &bob)] {
            assert_eq!(
                cell.ask(FindAgentToken { digest }),
                Ok(Some(AgentToken { did: did.clone(), ends_others: false }))
            );
        }
        cell.ask(RevokeAgentTokens { did: alice }).unwrap();
        assert_eq!(cell.ask(FindAgentToken { digest: of_alice }), Ok(None));
        assert_eq!(cell.ask(FindAgentToken { digest: also_of_alice }), Ok(None));
        cell.ask(DeleteAccount { did: bob, code: None }).unwrap();
        assert_eq!(cell.ask(FindAgentToken { digest: of_bob }), Ok(None));
    }
}
