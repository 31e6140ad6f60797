//! The agents' registry beyond their accounts: tokens, and when an agent was last at work.
//!
//! An agent's token is 32 random bytes, `zap_` and base64url: a full session of that one account that does not
//! expire and can be revoked. Only its digest rests here.

use serde::{Deserialize, Serialize};

use super::Error;
use super::account::{self, read_did};
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

/// Asks whose token has this digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FindAgentToken {
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
    let secret = data_encoding::BASE64URL_NOPAD.encode(&env.random::<32>());
    let token = format!("{AGENT_TOKEN_PREFIX}{secret}");
    sql.execute(
        "INSERT INTO agent_token (digest, did, created_us) VALUES (?, ?, ?)",
        &[Value::Blob(&sha256(token.as_bytes())), did.as_str().into(), env.now_us.into()],
    )?;
    sql.execute("UPDATE account SET token_owed = 0 WHERE did = ?", &[did.as_str().into()])?;
    Ok(Hidden::new(token))
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

pub(super) fn find_token(sql: &dyn Sql, digest: &[u8; 32]) -> Result<Option<Did>, Error> {
    let sought = [Value::Blob(digest)];
    Ok(query_first(sql, "SELECT did FROM agent_token WHERE digest = ?", &sought, |row| read_did(row, 0))?)
}

pub(super) fn revoke_tokens(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    sql.execute("DELETE FROM agent_token WHERE did = ?", &[did.as_str().into()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::DeleteAccount;
    use super::super::testing::Cell;
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
            assert_eq!(cell.ask(FindAgentToken { digest }), Ok(Some(did.clone())));
        }
        cell.ask(RevokeAgentTokens { did: alice }).unwrap();
        assert_eq!(cell.ask(FindAgentToken { digest: of_alice }), Ok(None));
        assert_eq!(cell.ask(FindAgentToken { digest: also_of_alice }), Ok(None));
        cell.ask(DeleteAccount { did: bob, code: None }).unwrap();
        assert_eq!(cell.ask(FindAgentToken { digest: of_bob }), Ok(None));
    }
}
