//! Why the network did not do what it was asked. Serialisable: a flow may run elsewhere than its caller waits.
//!
//! Each variant is one case that somebody tells apart; nobody looks at texts.

use serde::{Deserialize, Serialize};

use crate::host::{Failed, HostError};
use crate::identity::IdentityError;
use crate::store::SqlError;
use crate::{account, archive, directory, moving, sequencer};

const GOES_ON: &str = "the change is recorded, and is finished when it answers";

/// Why the network did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// An account's cell refused.
    #[error(transparent)]
    Account(account::Error),
    /// The directory refused.
    #[error(transparent)]
    Directory(directory::Error),
    /// A cell can't be reached.
    #[error("a cell can't be reached: {0}")]
    Unreachable(String),
    /// Too many wait for the same already; this step has not happened.
    #[error("the server is busy: try again in a moment")]
    Busy,
    /// The host is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// Storage failed outside a cell.
    #[error("storage: {0}")]
    Storage(String),
    /// The disk is full.
    #[error("storage is full")]
    Full,
    /// Another server could not be reached, or answered nonsense; what was asked of it has not happened.
    #[error("{0}")]
    Upstream(String),
    /// Another server understood what it was asked and did not do it.
    #[error("{0}")]
    Refused(String),
    /// The PLC directory did not say whether it took an operation. The change is recorded and goes on when it does.
    #[error("{0}")]
    Unsettled(String),
    /// A DID or handle that could not be found or read.
    #[error("{0}")]
    Identity(String),
    /// Nobody has the handle.
    #[error("Unable to resolve handle")]
    HandleNotFound,
    /// There is no such DID, or it has ended.
    #[error("Unable to resolve DID")]
    DidNotFound,
    /// The handle is under no domain of this service, and nobody shows that it is theirs.
    #[error("Not a supported handle domain")]
    UnsupportedDomain,
    /// The handle's domain names another DID, or none.
    #[error("External handle did not resolve to DID")]
    HandleElsewhere,
    /// The DID document, which is not ours to change, does not name the handle.
    #[error("DID is not properly configured for handle")]
    HandleNotInDocument,
    /// Not a password that is taken.
    #[error("{0}")]
    InvalidPassword(String),
    /// Not a key that could recover anything.
    #[error("recovery key: {0}")]
    InvalidRecoveryKey(String),
    /// Whoever sets it could read memories.
    #[error(
        "the admin token opens nobody's memories, so it sets neither password nor address of an agent, or of an account \
         that has memories: its owner does"
    )]
    OpensMemories,
    /// There is no such agent.
    #[error("There is no such agent on this network")]
    AgentNotFound,
    /// The DID document names another server.
    #[error("DID document pds endpoint does not match service endpoint")]
    HostedElsewhere,
    /// The DID document names another key than the repo is signed with.
    #[error(
        "DID document verification method does not match expected signing key: \
         com.atproto.identity.getRecommendedDidCredentials says which it should have"
    )]
    SignedElsewhere,
    /// A key that nothing of the account is signed with.
    #[error(
        "the account's repo is signed with another key, which stays where it is: a document that names this one makes          all that is signed worthless. com.atproto.identity.getRecommendedDidCredentials says which it is"
    )]
    AnotherSigningKey,
    /// The agent was exported to move and is nowhere else yet.
    #[error(
        "the agent was exported to move and is not anywhere else yet: its archive would be worth nothing. Import \
         it first, or end the move with com.atproto.server.activateAccount"
    )]
    OnTheMove,
    /// A service that is called by a name has none of that name, or is nowhere.
    #[error("could not resolve proxy did service url")]
    NoSuchService,
    /// The account can't be moved, and why.
    #[error("{0}")]
    NotMovable(String),
    /// An archive that can't be taken.
    #[error("{0}")]
    InvalidArchive(String),
    /// A passphrase of a length that is not taken.
    #[error("{0}")]
    InvalidPassphrase(String),
    /// The DID has an account here that is at work.
    #[error("the DID has an account here that is not deactivated")]
    AccountExists,
    /// A promise of ours was broken: a bug.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Whether a change that failed with this is over. One that is not stays recorded, and goes on later. Another server
    /// that can't be reached ends a change that has just begun, when nothing has happened yet, and none that goes on.
    pub fn is_final(&self, has_just_begun: bool) -> bool {
        match self {
            Error::Unreachable(_)
            | Error::Busy
            | Error::Stopping
            | Error::Storage(_)
            | Error::Full
            | Error::Unsettled(_) => false,
            Error::Upstream(_) => has_just_begun,
            Error::Account(account::Error::Sql(_)) | Error::Directory(directory::Error::Sql(_)) => false,
            Error::Account(_)
            | Error::Directory(_)
            | Error::Refused(_)
            | Error::Identity(_)
            | Error::HandleNotFound
            | Error::DidNotFound
            | Error::UnsupportedDomain
            | Error::HandleElsewhere
            | Error::HandleNotInDocument
            | Error::InvalidPassword(_)
            | Error::InvalidRecoveryKey(_)
            | Error::OpensMemories
            | Error::AgentNotFound
            | Error::HostedElsewhere
            | Error::SignedElsewhere
            | Error::AnotherSigningKey
            | Error::OnTheMove
            | Error::NotMovable(_)
            | Error::InvalidArchive(_)
            | Error::InvalidPassphrase(_)
            | Error::NoSuchService
            | Error::AccountExists
            | Error::Internal(_) => true,
        }
    }

    /// Whether it is that the disk is full.
    pub fn is_full(&self) -> bool {
        matches!(
            self,
            Error::Full
                | Error::Account(account::Error::Sql(SqlError::Full))
                | Error::Directory(directory::Error::Sql(SqlError::Full))
        )
    }

    /// As the caller of a change is told that stays recorded.
    pub(super) fn into_unsettled(self) -> Self {
        match self {
            Error::Upstream(why) => Error::Unsettled(format!("{why}: {GOES_ON}")),
            error => error,
        }
    }

    /// The PLC directory did not say whether it took an operation.
    pub(super) fn unanswered() -> Self {
        Error::Unsettled(format!("the PLC directory does not answer: {GOES_ON}"))
    }
}

impl<E: Into<Error>> From<Failed<E>> for Error {
    fn from(failed: Failed<E>) -> Self {
        match failed {
            Failed::Cell(error) => error.into(),
            Failed::Unreachable(why) => Error::Unreachable(why),
            Failed::Busy => Error::Busy,
            Failed::Stopping => Error::Stopping,
            Failed::Mismatch => Error::Internal("the answer is to another question".to_owned()),
        }
    }
}

impl From<account::Error> for Error {
    fn from(error: account::Error) -> Self {
        Error::Account(error)
    }
}

impl From<directory::Error> for Error {
    fn from(error: directory::Error) -> Self {
        Error::Directory(error)
    }
}

impl From<sequencer::Error> for Error {
    fn from(error: sequencer::Error) -> Self {
        Error::Storage(error.to_string())
    }
}

impl From<HostError> for Error {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Storage(what) => Error::Storage(what),
            HostError::Full => Error::Full,
            HostError::Unreachable(what) => Error::Unreachable(what),
            HostError::Upstream(what) => Error::Upstream(what),
            HostError::Busy => Error::Busy,
            HostError::Stopping => Error::Stopping,
        }
    }
}

impl From<IdentityError> for Error {
    fn from(error: IdentityError) -> Self {
        let text = error.to_string();
        match error {
            IdentityError::Unreachable(_) => Error::Upstream(text),
            IdentityError::Encode(_) => Error::Internal(text),
            IdentityError::Syntax(_)
            | IdentityError::Operation(_)
            | IdentityError::Key(_)
            | IdentityError::Signature
            | IdentityError::GenesisHash { .. }
            | IdentityError::Misordered
            | IdentityError::LateRecovery
            | IdentityError::UnsupportedDid(_)
            | IdentityError::ServiceUrl
            | IdentityError::NotFound
            | IdentityError::Document(_) => Error::Identity(text),
        }
    }
}

impl From<archive::Error> for Error {
    fn from(error: archive::Error) -> Self {
        match error {
            archive::Error::Passphrase => Error::InvalidPassphrase(error.to_string()),
            other => account::Error::from(moving::Error::from(other)).into(),
        }
    }
}
