//! What a call needs of its caller's scope.

use std::fmt;

use super::super::methods::{ANY, is_agents, is_chat, is_privileged};
use super::permission::{
    AccountAction, AccountAttr, IdentityAttr, Names, Permission, RepoAction, accepts_mime,
};

/// What a call needs. Its text is the narrowest scope that would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// To write a record.
    Repo {
        /// Where.
        collection: &'a str,
        /// How.
        action: RepoAction,
    },
    /// To call a method of a service, this one or another.
    Rpc {
        /// The method; `*` for any.
        lxm: &'a str,
        /// The service: a DID and, behind `#`, its id.
        aud: &'a str,
    },
    /// To upload a blob.
    Blob {
        /// Its MIME type.
        mime: &'a str,
    },
    /// To see or change something of the account.
    Account {
        /// What.
        attr: AccountAttr,
        /// Which of the two.
        action: AccountAction,
    },
    /// To change the DID document.
    Identity {
        /// What of it.
        attr: IdentityAttr,
    },
}

/// Where the keys of memories stand.
const VAULT: &str = "agent.vault.";

impl Need<'_> {
    /// Whether no scope at all is enough.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Repo { collection, .. } if collection.starts_with(VAULT))
    }

    pub(super) fn is_met_by(&self, permission: &Permission) -> bool {
        match (self, permission) {
            (Self::Repo { .. } | Self::Blob { .. }, Permission::TransitionGeneric) => true,
            (Self::Repo { collection, action }, Permission::Repo { collections, actions }) => {
                actions.contains(action) && collections.has(collection)
            }
            (Self::Rpc { lxm, .. }, Permission::TransitionGeneric) => !is_privileged(lxm),
            (Self::Rpc { lxm, .. }, Permission::TransitionChat) => is_chat(lxm),
            (Self::Rpc { lxm, aud }, Permission::Rpc { methods, aud: allowed }) => {
                let is_method = match methods {
                    Names::All => !is_agents(lxm),
                    Names::These(methods) => methods.contains(*lxm),
                };
                is_method && (allowed == "*" || allowed == aud)
            }
            (Self::Blob { mime }, Permission::Blob { accept }) => {
                accept.iter().any(|accept| accepts_mime(accept, mime))
            }
            (
                Self::Account { attr: AccountAttr::Email, action: AccountAction::Read },
                Permission::TransitionEmail,
            ) => true,
            (Self::Account { attr, action }, Permission::Account { attr: of, action: may }) => {
                attr == of && may >= action
            }
            (Self::Identity { attr }, Permission::Identity { attr: of }) => {
                attr == of || *of == IdentityAttr::All
            }
            (
                Self::Repo { .. }
                | Self::Rpc { .. }
                | Self::Blob { .. }
                | Self::Account { .. }
                | Self::Identity { .. },
                _,
            ) => false,
        }
    }
}

impl fmt::Display for Need<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |name: &str| Names::These([name.to_owned()].into());
        let permission = match *self {
            Self::Repo { collection, action } => {
                Permission::Repo { collections: one(collection), actions: [action].into() }
            }
            Self::Rpc { lxm, aud } => {
                let methods = if lxm == ANY { Names::All } else { one(lxm) };
                Permission::Rpc { methods, aud: aud.to_owned() }
            }
            Self::Blob { mime } => Permission::Blob { accept: [mime.to_owned()].into() },
            Self::Account { attr, action } => Permission::Account { attr, action },
            Self::Identity { attr } => Permission::Identity { attr },
        };
        permission.fmt(f)
    }
}
