//! Checking a password, at whichever door it is given; and what it is given with.

use http::HeaderValue;

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

/// Characters of the name of a program that is no browser.
const PROGRAM_CHARS_MAX: usize = 32;

/// What a program says it is, as its owner would: of a browser no more than two of the words below, of others the name they
/// begin with. What is in it goes into mails, so it is letters, digits and little else.
pub fn device(user_agent: &HeaderValue) -> Option<String> {
    const BROWSERS: [(&str, &str); 6] = [
        ("Firefox/", "Firefox"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let text = user_agent.to_str().ok()?;
    let named = |words: &[(&str, &'static str)]| {
        words.iter().find(|(mark, _)| text.contains(mark)).map(|(_, word)| *word)
    };
    match (named(&BROWSERS), named(&SYSTEMS)) {
        (Some(browser), Some(system)) => Some(format!("{browser} on {system}")),
        (Some(word), None) | (None, Some(word)) => Some(word.to_owned()),
        (None, None) => {
            let is_plain = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
            let name: String = text.chars().take_while(is_plain).take(PROGRAM_CHARS_MAX).collect();
            (!name.is_empty()).then_some(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_few_plain_words() {
        let said = |text: &str| device(&HeaderValue::from_bytes(text.as_bytes()).unwrap());
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        assert_eq!(said(firefox).as_deref(), Some("Firefox on Linux"));
        assert_eq!(said("Bluesky/1.110 (unknown)").as_deref(), Some("Bluesky"));
        assert_eq!(said("a.b-c_d<script>").as_deref(), Some("a.b-c_d"));
        assert_eq!(said(&"x".repeat(5_000)), Some("x".repeat(PROGRAM_CHARS_MAX)));
        assert_eq!([said(""), said("<b>"), said("\u{e9}")], [None, None, None]);
    }
}
