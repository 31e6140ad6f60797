//! Checking a password, at whichever door it is given.

use std::sync::Arc;

use super::{App, Error};
use crate::crypto::{password, sha256};
use crate::directory::{Account, Credentials, GetCredentials, Proof, Who};
use crate::limits::PASSWORD_BYTES_MAX;
use crate::seam::Hidden;

/// What a password turned out to be.
pub struct SignIn {
    /// Whose.
    pub account: Account,
    /// Which of the account's credentials.
    pub proof: Proof,
}

impl App {
    /// Checks a password against all that the account has: its own, its app passwords, its agent's tokens. `None` for
    /// a wrong one, and for an account that does not exist, after the same time. How often that may be tried, by this
    /// `client`, is the directory's to say.
    ///
    /// # Errors
    /// Of the directory; [`Error::Busy`] when too many are checked already.
    pub async fn check_password(
        self: &Arc<Self>,
        who: Option<Who>,
        client: Option<String>,
        given: Hidden<String>,
    ) -> Result<Option<SignIn>, Error> {
        if given.expose().len() > PASSWORD_BYTES_MAX {
            return Ok(None);
        }
        // What can be nobody's name is no secret.
        let Some(who) = who else { return Ok(None) };
        let digest = sha256(given.expose().as_bytes());
        match self.directory(GetCredentials { who, digest, client }).await? {
            Some(Credentials { account, app_password: Some(_), .. }) => {
                Ok(Some(SignIn { account, proof: Proof::AppPassword(digest) }))
            }
            Some(Credentials { account, agent_token: Some(token), .. }) => {
                self.settle_token(&token, digest).await?;
                Ok(Some(SignIn { account, proof: Proof::AgentToken(digest) }))
            }
            Some(Credentials { account, password_hash: Some(stored), .. }) => {
                let proof = Proof::Password(sha256(stored.expose().as_bytes()));
                let verified =
                    self.compute(move || password::verify_password(given.expose(), stored.expose())).await?;
                Ok(verified.is_ok().then_some(SignIn { account, proof }))
            }
            _ => {
                let salt = self.random();
                let _ = self.compute(move || password::hash_password(given.expose(), salt)).await?;
                Ok(None)
            }
        }
    }
}
