//! What proves an account's owner when credentials are made.

use serde::{Deserialize, Serialize};

use crate::syntax::Did;

/// What showed that an account's owner asks. Whatever makes credentials says what it rests on, and that is looked at in the
/// same transaction: it may have ended since it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// A session, or a signup of just now: the account's count was this.
    Generation(i64),
    /// The agent's token with this digest.
    AgentToken([u8; 32]),
    /// The app password with this digest.
    AppPassword([u8; 32]),
    /// A browser that is signed in with a cookie of this digest.
    Browser([u8; 32]),
    /// The account's own password, when this was its hash's digest. It signs in nobody who has a second factor.
    Password([u8; 32]),
    /// The same, and what was needed beside it ([`PassFactor`](super::PassFactor)).
    TwoFactors([u8; 32]),
    /// The passkey whose name has this digest.
    Passkey([u8; 32]),
}

impl Proof {
    /// Whether it began with [`GetCredentials`](super::GetCredentials), where tries are counted.
    pub(super) fn has_knocked(&self) -> bool {
        match self {
            Self::Password(_) | Self::TwoFactors(_) | Self::AgentToken(_) | Self::AppPassword(_) => true,
            Self::Generation(_) | Self::Browser(_) | Self::Passkey(_) => false,
        }
    }
}

/// Asks whether a proof still holds; [`TokenRevoked`](super::Error::TokenRevoked) when it does not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Prove {
    /// Whose account it is to open.
    pub did: Did,
    /// The proof.
    pub proof: Proof,
}
