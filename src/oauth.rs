//! OAuth for atproto, without IO: what an authorization server reads, decides and writes.
//!
//! A client is whoever serves a document about itself ([`client`]). It pushes what it asks for ([`request`]), the account's
//! owner signs in and consents (`web/`), and the client exchanges the code for tokens ([`token`]) that are bound to a key
//! of its own ([`proof`]): who only has the token has nothing. What a token allows is a [`scope::Scope`].
//!
//! | module | |
//! |---|---|
//! | [`scope`] | the permission language, and whether a scope allows what a call needs |
//! | [`client`] | client documents: web, native, confidential, and those on the developer's own machine |
//! | [`request`] | what may be asked for, and the text that stands for it until it is granted |
//! | [`proof`] | proofs of possession (RFC 9449), nonces, and what was seen before |
//! | [`jwk`] [`assertion`] | P-256 keys as JSON; how a confidential client shows who it is |
//! | [`token`] | access and refresh tokens |
//! | [`metadata`] | what this server says of itself |
//! | [`methods`] | methods that not everybody may call in an account's name |
//! | [`error`] `shown` | refusals in OAuth's words; strangers' texts as people may see them |
//!
//! Invariants
//! - Nothing here rests for strangers: a request that nobody signed in for is a signed text in the client's hands.
//! - Every text from outside is bounded before it is read, and every refusal is typed.

pub mod assertion;
pub mod client;
pub mod error;
pub mod jwk;
pub mod metadata;
pub mod methods;
pub mod proof;
pub mod request;
pub mod scope;
mod shown;
pub mod token;

pub use error::{Code, Error};
pub use scope::{Need, Scope};

/// Seconds an access token lives: what is taken away from its client it has that long at most.
pub const ACCESS_SECONDS: i64 = 5 * 60;

/// Seconds a session of a public client lives: anybody could be that client.
pub const PUBLIC_SESSION_SECONDS: i64 = 14 * 24 * 60 * 60;

/// Seconds a session of a confidential client lives.
pub const CONFIDENTIAL_SESSION_SECONDS: i64 = 2 * 365 * 24 * 60 * 60;

/// Seconds a confidential client may leave a session unused.
pub const CONFIDENTIAL_REFRESH_SECONDS: i64 = 90 * 24 * 60 * 60;

/// Seconds from what a client asks for to the sign-in: a password has to be found.
pub const REQUEST_SECONDS: i64 = 10 * 60;

/// Seconds from the sign-in to consent.
pub const CONSENT_SECONDS: i64 = 5 * 60;

/// Seconds a code is good for: a redirect and a request.
pub const CODE_SECONDS: i64 = 60;

/// Seconds for which what a code was asked for with (PKCE) can't be used again.
pub const CHALLENGE_SECONDS: i64 = 24 * 60 * 60;
