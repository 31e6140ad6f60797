//! The words for an account that everything above shares: who owns it, whether it may act, what its tokens open.
//!
//! The directory stores them, the account's own cell repeats its status, tokens carry a scope, and the edge looks at
//! all three; so they are nobody's but the protocol's, and lie below all of these.

use serde::{Deserialize, Serialize};

use crate::syntax::{Did, Handle};

/// As much of an account as requests need: small, to be cached in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSummary {
    /// Who it is.
    pub did: Did,
    /// Its name, in lower case.
    pub handle: Handle,
    /// Whether the name, on a domain of its owner, leads here no more.
    pub handle_fails: bool,
    /// Whether it may act.
    pub status: Status,
    /// Whether a person or an agent owns it.
    pub kind: Kind,
    /// Counts the ends of what proves its owner; rises.
    pub generation: i64,
}

impl AccountSummary {
    /// The name as others are told it: [`Handle::invalid`] while it leads here no more.
    pub fn shown_handle(&self) -> Handle {
        if self.handle_fails { Handle::invalid() } else { self.handle.clone() }
    }
}

/// Who owns an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Someone who signed up.
    Person,
    /// A program, made by the network's operator.
    Agent,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Agent => "agent",
        }
    }

    /// The kind that a word is for.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Person, Self::Agent].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whether an account may act and be seen, in the protocol's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Reserved; nobody sees it yet.
    Pending,
    /// All is well.
    Active,
    /// The owner put it to rest, or is moving in or out.
    Deactivated,
    /// The moderators stopped it for a time.
    Suspended,
    /// The moderators removed it.
    Takendown,
    /// Gone for good.
    Deleted,
}

impl Status {
    const ALL: [Self; 6] =
        [Self::Pending, Self::Active, Self::Deactivated, Self::Suspended, Self::Takendown, Self::Deleted];

    /// The protocol's word, as in `#account` events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Suspended => "suspended",
            Self::Takendown => "takendown",
            Self::Deleted => "deleted",
        }
    }

    /// Whether the repo is served to the world.
    pub fn is_active(self) -> bool {
        self == Self::Active
    }

    /// Whether the moderators hold it, so that its owner can't change its status.
    pub fn is_moderated(self) -> bool {
        matches!(self, Self::Suspended | Self::Takendown)
    }

    /// The status that a word is for.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// What an agent's token begins with, so that people and secret scanners know it.
pub const AGENT_TOKEN_PREFIX: &str = "zap_";

/// What a session token opens: the `scope` claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// All of the account.
    #[serde(rename = "com.atproto.access")]
    Access,
    /// The account's public records.
    #[serde(rename = "com.atproto.appPass")]
    AppPass,
    /// As [`Scope::AppPass`], and private messages of other services.
    #[serde(rename = "com.atproto.appPassPrivileged")]
    AppPassPrivileged,
    /// As [`Scope::AppPass`], and the agent's memories. Ours: the protocol has no such thing.
    #[serde(rename = "agent.vault.appPass")]
    AppPassVault,
    /// What is left to an account that was taken down: its data, a report, and moving away.
    #[serde(rename = "com.atproto.takendown")]
    Takendown,
    /// The next pair of tokens, nothing else.
    #[serde(rename = "com.atproto.refresh")]
    Refresh,
}

impl Scope {
    const ALL: [Self; 6] = [
        Self::Access,
        Self::AppPass,
        Self::AppPassPrivileged,
        Self::AppPassVault,
        Self::Takendown,
        Self::Refresh,
    ];

    /// The claim's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "com.atproto.access",
            Self::AppPass => "com.atproto.appPass",
            Self::AppPassPrivileged => "com.atproto.appPassPrivileged",
            Self::AppPassVault => "agent.vault.appPass",
            Self::Takendown => "com.atproto.takendown",
            Self::Refresh => "com.atproto.refresh",
        }
    }

    /// Reads the claim's text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_have_one_text_in_claims_and_code() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
        assert_eq!(Scope::parse("com.atproto.everything"), None);
    }
}
