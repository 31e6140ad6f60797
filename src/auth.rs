//! Who is calling, and what that opens.
//!
//! A request proves itself with one `Authorization` header: a session's token, an agent's token, another server's
//! service token, the operator's, or an application's, which is bound to a key (`app/oauth/bound.rs`). [`Authority::check`] reads it as far as that goes without asking anyone and
//! says what must still be looked up; the edge (`xrpc/authenticate.rs`) does the asking. What a method needs is its
//! declared [`Access`]; [`Access::permits`] is the whole table of who may call what.
//!
//! Invariants
//! - An access token rests nowhere and lives two hours at most. It says how many of its account's credentials had ended when
//!   it was made; once more have, it opens nothing, and its session makes another. So nobody is a [`Caller`] by what ended.
//! - The operator's token is for operating. The token opens no account and no vault, and makes no token that does.
//! - Plain app passwords never open the vault, nor anything that could make other credentials. Applications open what their
//!   scope names, and a method that does not say what they need is closed to them.
//! - A token of one kind never passes for another: the header's type, its algorithm and the scope all differ.

mod access;
mod authority;

pub use access::{Access, AccountCaller, Apps, Caller, Grant, RpcRefused};
pub use authority::{Authority, Presented, ServiceToken, TokenPair};

/// Why a caller was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The method needs credentials and there were none.
    #[error("Authentication Required")]
    Missing,
    /// Credentials of another kind than the method needs, or wrong ones.
    #[error("{0}")]
    Required(&'static str),
    /// A token that was good once.
    #[error("Token has expired")]
    Expired,
    /// Not a token of this server, damaged, revoked, or one that does not open this.
    #[error("{0}")]
    Invalid(&'static str),
    /// Good credentials that this method is never open to.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The owner did not grant the application this.
    #[error("Missing required scope \"{0}\"")]
    ScopeMissing(String),
    /// A token could not be made.
    #[error("token could not be made: {0}")]
    Mint(String),
}
