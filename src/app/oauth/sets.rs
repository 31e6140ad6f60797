//! What permission sets open, now.
//!
//! A set is looked at three times: when a client asks (it has to be there), when somebody signs in for that (what the page
//! then says is what the first tokens open), and at each refresh. It may have grown meanwhile, which is what sets are for:
//! it grows within its namespace, and never into the vault, for what is under `agent.` is this server's own to say. A set
//! that is gone leaves a session what it had.

use futures::future::join_all;

use super::super::App;
use super::super::lexicons::LexiconError;
use crate::host::Net;
use crate::lexicon;
use crate::oauth::scope::{GRANTED_BYTES_MAX, Permission, Set, Sets};
use crate::oauth::{self, Code, Scope};
use crate::syntax::Nsid;

/// What begins the names of this server's own methods, those that open what is private among them.
const OWN: &str = "agent.";

impl App {
    /// What all sets of a scope open.
    ///
    /// # Errors
    /// What the client is told.
    pub async fn find_sets(&self, scope: &str, net: Option<Net>) -> Result<Sets, oauth::Error> {
        let scope = Scope::parse(scope);
        let mut sets = Sets::default();
        let found = join_all(scope.includes().map(|include| self.find_set(include, net))).await;
        for (include, found) in scope.includes().zip(found) {
            let set = found.map_err(|error| {
                tracing::warn!(%include, %error, "a permission set is refused");
                refused(include, &error)
            })?;
            sets.insert(include, set);
        }
        if !fits(&scope.to_string(), &sets) {
            let why =
                format!("the permission sets open more than fits into a token ({GRANTED_BYTES_MAX} bytes)");
            return Err(Code::InvalidScope.because(why));
        }
        Ok(sets)
    }

    /// What the sets of a scope open, as far as it is remembered: nobody is asked, for a page that only shows it.
    pub fn known_sets(&self, scope: &str) -> Sets {
        let mut sets = Sets::default();
        for include in Scope::parse(scope).includes() {
            let Permission::Include { nsid, aud } = include else { continue };
            let Ok(nsid) = Nsid::try_from(nsid.as_str()) else { continue };
            let document = if nsid.as_str().starts_with(OWN) {
                lexicon::own_document(&nsid)
            } else {
                self.lexicons.remembered(&nsid, self.host.now_us()).map(|lexicon| lexicon.schema.clone())
            };
            if let Some(Ok(set)) = document.map(|document| Set::read(&nsid, aud.as_deref(), &document)) {
                sets.insert(include, set);
            }
        }
        sets
    }

    /// What a session's sets open now; where that can't be found, what they opened before.
    pub(super) async fn renew_sets(&self, last: &Sets, net: Option<Net>) -> Sets {
        let known: Vec<(Permission, Set)> =
            last.iter().map(|(include, set)| (include, set.clone())).collect();
        let found = join_all(known.iter().map(|(include, _)| self.find_set(include, net))).await;
        let mut sets = Sets::default();
        for ((include, before), found) in known.into_iter().zip(found) {
            let set = match found {
                Ok(set) => set,
                Err(error) => {
                    tracing::warn!(%include, %error, "a permission set stays what it was");
                    before.clone()
                }
            };
            if set.scope != before.scope {
                tracing::info!(%include, before = %before.scope, now = %set.scope, "a permission set has changed");
            }
            sets.insert(&include, set);
        }
        sets
    }

    async fn find_set(&self, include: &Permission, net: Option<Net>) -> Result<Set, LexiconError> {
        let Permission::Include { nsid, aud } = include else { return Err(LexiconError::NotASet) };
        let nsid = Nsid::try_from(nsid.as_str()).map_err(|_| LexiconError::NotASet)?;
        let own;
        let found;
        let document = if nsid.as_str().starts_with(OWN) {
            own = lexicon::own_document(&nsid).ok_or(LexiconError::NotOurs)?;
            &own
        } else {
            found = self.find_lexicon(&nsid, net).await?;
            &found.schema
        };
        Set::read(&nsid, aud.as_deref(), document).map_err(|_| LexiconError::NotASet)
    }
}

/// Whether a scope and what its sets open fit into a token.
pub(super) fn fits(scope: &str, sets: &Sets) -> bool {
    scope.len() + sets.bytes() <= GRANTED_BYTES_MAX
}

fn refused(include: &Permission, error: &LexiconError) -> oauth::Error {
    let code = match error {
        LexiconError::Busy => Code::TemporarilyUnavailable,
        _ => Code::InvalidScope,
    };
    code.because(format!("{include} can't be resolved: {error}"))
}
