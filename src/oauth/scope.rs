//! The permission language: what a client asks for, what its user granted, what a method needs.
//!
//! A scope is a list of [`Permission`]s, each written as `resource[:positional][?name=value&…]`
//! (<https://atproto.com/specs/permission>). [`Scope`] is the list as a value; [`Need`] is what a call needs of it, and
//! [`Scope::allows`] is the one place where the two meet.
//!
//! Invariants
//! - What is not understood grants nothing: a permission with a name or value that is not known here is dropped whole.
//! - Written and read again, a permission is the same. Lists are sorted and defaults left out, so that equal ones are
//!   written alike.
//! - A permission set opens what is of its own namespace ([`Set`]); a scope that includes one opens nothing of it by itself.
//! - The vault is opened by name only: `transition:*`, `repo:*` and `rpc:*` never reach an `agent.*` method, and no scope
//!   lets `com.atproto.repo.*` write into `agent.vault.*`, where overwriting a record destroys its key.

mod need;
mod permission;
mod set;
mod text;

pub use need::Need;
pub use permission::{AccountAction, AccountAttr, IdentityAttr, Names, Permission, RepoAction};
pub use set::{GRANTED_BYTES_MAX, NotASet, SETS_MAX, Set, Sets};

use std::collections::BTreeSet;
use std::fmt;

use super::methods::ANY;

/// Bytes of a scope: the longest of known clients have a tenth, and it is repeated in every access token.
pub const SCOPE_BYTES_MAX: usize = 4096;

/// What was asked for or granted: permissions, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(BTreeSet<Permission>);

impl Scope {
    /// Reads what is understood of `text`, and drops the rest.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.split(' ').filter_map(Permission::parse).collect())
    }

    /// Reads `text`, of which all must be understood.
    ///
    /// # Errors
    /// The first part that is not.
    pub fn parse_all(text: &str) -> Result<Self, &str> {
        let parts = text.split(' ').filter(|part| !part.is_empty());
        parts.map(|part| Permission::parse(part).ok_or(part)).collect::<Result<_, _>>().map(Self)
    }

    /// The permissions, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.0.iter()
    }

    /// Whether it has a permission just so.
    #[must_use]
    pub fn has(&self, permission: &Permission) -> bool {
        self.0.contains(permission)
    }

    /// The first of its permissions that the other does not have just so.
    #[must_use]
    pub fn first_beyond<'a>(&'a self, other: &'a Self) -> Option<&'a Permission> {
        self.0.difference(&other.0).next()
    }

    /// Whether it allows what a call needs.
    #[must_use]
    pub fn allows(&self, need: &Need<'_>) -> bool {
        let is_any = matches!(need, Need::Rpc { lxm: ANY, .. })
            && self.has(&Permission::TransitionGeneric)
            && self.has(&Permission::TransitionChat);
        is_any || !need.is_closed() && self.0.iter().any(|permission| need.is_met_by(permission))
    }

    /// Whether it allows to upload anything.
    #[must_use]
    pub fn allows_blobs(&self) -> bool {
        let is_one = |it: &Permission| matches!(it, Permission::Blob { .. } | Permission::TransitionGeneric);
        self.iter().any(is_one)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        f.write_str(&texts.join(" "))
    }
}

impl FromIterator<Permission> for Scope {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
