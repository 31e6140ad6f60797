//! One permission, by resource.

use std::collections::BTreeSet;
use std::fmt;

use super::text::{self, Text};
use crate::syntax::{validate_did, validate_nsid};

/// One permission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// To be who the account is; every grant has it.
    Atproto,
    /// As a plain app password: all public records, blobs, and methods of other services but private messages.
    TransitionGeneric,
    /// To see the e-mail address.
    TransitionEmail,
    /// Private messages of the Bluesky app.
    TransitionChat,
    /// To write records.
    Repo {
        /// Of which collections.
        collections: Names,
        /// What may be done; never nothing.
        actions: BTreeSet<RepoAction>,
    },
    /// To call methods of services in the account's name.
    Rpc {
        /// Which methods.
        methods: Names,
        /// A DID and a service's id, or `*` for any service.
        aud: String,
    },
    /// To upload blobs.
    Blob {
        /// MIME types, `type/*`, or `*/*`; in lower case.
        accept: BTreeSet<String>,
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
    /// What a permission set lists, which somebody published.
    Include {
        /// The set.
        nsid: String,
        /// The service that the set's methods are of.
        aud: Option<String>,
    },
}

/// All names, or some.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Names {
    /// `*`.
    All,
    /// NSIDs; never none.
    These(BTreeSet<String>),
}

/// What is done to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepoAction {
    /// There was none.
    Create,
    /// There was one.
    Update,
    /// There is none after.
    Delete,
}

/// What of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountAttr {
    /// The e-mail address.
    Email,
    /// The repo as a whole.
    Repo,
    /// Whether it is active.
    Status,
}

/// Seeing or changing; who may change may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountAction {
    /// To see it.
    Read,
    /// To change it.
    Manage,
}

/// What of a DID document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdentityAttr {
    /// The handle.
    Handle,
    /// All of it, its keys too.
    All,
}

impl RepoAction {
    pub(super) const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Delete];

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl AccountAttr {
    const ALL: [Self; 3] = [Self::Email, Self::Repo, Self::Status];

    fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Repo => "repo",
            Self::Status => "status",
        }
    }
}

impl Names {
    /// Whether it has a name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(name),
        }
    }

    fn parse(values: &[&str]) -> Option<Self> {
        if !values.iter().all(|value| *value == "*" || validate_nsid(value).is_ok()) {
            return None;
        }
        let is_all = values.contains(&"*");
        Some(if is_all {
            Self::All
        } else {
            Self::These(values.iter().map(|&name| name.to_owned()).collect())
        })
    }

    fn texts(&self) -> Vec<&str> {
        match self {
            Self::All => vec!["*"],
            Self::These(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

impl Permission {
    /// Reads one permission; `None` for what is not understood as a whole.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "atproto" => return Some(Self::Atproto),
            "transition:generic" => return Some(Self::TransitionGeneric),
            "transition:email" => return Some(Self::TransitionEmail),
            "transition:chat.bsky" => return Some(Self::TransitionChat),
            _ => {}
        }
        let text = Text::parse(text)?;
        match text.resource {
            "repo" => Self::repo(&text),
            "rpc" => Self::rpc(&text),
            "blob" => Self::blob(&text),
            "account" => Self::account(&text),
            "identity" => Self::identity(&text),
            "include" => Self::include(&text),
            _ => None,
        }
    }

    fn repo(text: &Text<'_>) -> Option<Self> {
        if !text.has_only(&["collection", "action"]) {
            return None;
        }
        let collections = Names::parse(&text.values("collection", true)?)?;
        let actions = match text.values("action", false) {
            None => RepoAction::ALL.into(),
            Some(values) => values.into_iter().map(RepoAction::parse).collect::<Option<_>>()?,
        };
        Some(Self::Repo { collections, actions })
    }

    fn rpc(text: &Text<'_>) -> Option<Self> {
        if !text.has_only(&["lxm", "aud"]) {
            return None;
        }
        let methods = Names::parse(&text.values("lxm", true)?)?;
        let aud = text.value("aud", false).ok()??;
        let is_aud = if aud == "*" { methods != Names::All } else { is_audience(aud) };
        is_aud.then(|| Self::Rpc { methods, aud: aud.to_owned() })
    }

    fn blob(text: &Text<'_>) -> Option<Self> {
        let values = text.has_only(&["accept"]).then(|| text.values("accept", true))??;
        let accept: BTreeSet<String> = values.iter().map(|value| value.to_ascii_lowercase()).collect();
        if !accept.iter().all(|accept| is_accept(accept)) {
            return None;
        }
        let is_covered = |one: &String| accept.iter().any(|other| other != one && covers_mime(other, one));
        Some(Self::Blob { accept: accept.iter().filter(|one| !is_covered(one)).cloned().collect() })
    }

    fn account(text: &Text<'_>) -> Option<Self> {
        if !text.has_only(&["attr", "action"]) {
            return None;
        }
        let attr = text.value("attr", true).ok()??;
        let attr = AccountAttr::ALL.into_iter().find(|known| known.as_str() == attr)?;
        let mut action = AccountAction::Read;
        for value in text.values("action", false).unwrap_or_default() {
            action = action.max(match value {
                "read" => AccountAction::Read,
                "manage" => AccountAction::Manage,
                _ => return None,
            });
        }
        Some(Self::Account { attr, action })
    }

    fn identity(text: &Text<'_>) -> Option<Self> {
        let attr = text.has_only(&["attr"]).then(|| text.value("attr", true).ok()?)??;
        match attr {
            "handle" => Some(Self::Identity { attr: IdentityAttr::Handle }),
            "*" => Some(Self::Identity { attr: IdentityAttr::All }),
            _ => None,
        }
    }

    fn include(text: &Text<'_>) -> Option<Self> {
        if !text.has_only(&["nsid", "aud"]) {
            return None;
        }
        let nsid = text.value("nsid", true).ok()??;
        let aud = text.value("aud", false).ok()?;
        let is_good = validate_nsid(nsid).is_ok() && aud.is_none_or(is_audience);
        is_good.then(|| Self::Include { nsid: nsid.to_owned(), aud: aud.map(str::to_owned) })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Atproto => return f.write_str("atproto"),
            Self::TransitionGeneric => return f.write_str("transition:generic"),
            Self::TransitionEmail => return f.write_str("transition:email"),
            Self::TransitionChat => return f.write_str("transition:chat.bsky"),
            Self::Repo { collections, actions } => {
                let others: Vec<_> = actions.iter().map(|action| ("action", action.as_str())).collect();
                let others = if others.len() == RepoAction::ALL.len() { &[][..] } else { &others };
                text::write("repo", "collection", &collections.texts(), others)
            }
            Self::Rpc { methods, aud } => text::write("rpc", "lxm", &methods.texts(), &[("aud", aud)]),
            Self::Blob { accept } => {
                let accept: Vec<_> = accept.iter().map(String::as_str).collect();
                text::write("blob", "accept", &accept, &[])
            }
            Self::Account { attr, action } => {
                let action = match action {
                    AccountAction::Read => &[][..],
                    AccountAction::Manage => &[("action", "manage")],
                };
                text::write("account", "attr", &[attr.as_str()], action)
            }
            Self::Identity { attr: IdentityAttr::Handle } => {
                text::write("identity", "attr", &["handle"], &[])
            }
            Self::Identity { attr: IdentityAttr::All } => text::write("identity", "attr", &["*"], &[]),
            Self::Include { nsid, aud } => {
                let aud: Vec<_> = aud.iter().map(|aud| ("aud", aud.as_str())).collect();
                text::write("include", "nsid", &[nsid], &aud)
            }
        };
        f.write_str(&text)
    }
}

/// A DID, and behind `#` which of its services.
fn is_audience(text: &str) -> bool {
    let is_id = |char: char| char.is_ascii_alphanumeric() || "-._~:@!$&'()*+,;=%/?".contains(char);
    text.split_once('#')
        .is_some_and(|(did, id)| validate_did(did).is_ok() && !id.is_empty() && id.chars().all(is_id))
}

/// `type/subtype`, `type/*` or `*/*`.
fn is_accept(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.contains(['/', ' ', '*']);
    match text.split_once('/') {
        Some(("*", "*")) => true,
        Some((kind, "*")) => is_part(kind),
        Some((kind, subtype)) => is_part(kind) && is_part(subtype),
        None => false,
    }
}

fn covers_mime(accept: &str, other: &str) -> bool {
    accept == "*/*"
        || accept == other
        || accept.strip_suffix('*').is_some_and(|kind| kind.ends_with('/') && other.starts_with(kind))
}

/// Whether a blob of this type may be uploaded; its parameters say nothing.
pub(super) fn accepts_mime(accept: &str, mime: &str) -> bool {
    let mime = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    is_accept(&mime) && !mime.contains('*') && covers_mime(accept, &mime)
}
