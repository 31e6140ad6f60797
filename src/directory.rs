//! The directory cell: who belongs to the network, and how they prove it.
//!
//! There is one a network. The directory holds the accounts with their handles, credentials and sessions, the agents'
//! registry, invite codes, and the rotation key that signs their did:plc operations. The cell answers [`Command`]s one
//! at a time; what other cells must hear goes into its outbox as [`Notice`]s.
//!
//! Invariants
//! - Passwords are hashed and compared outside (Argon2 takes tens of milliseconds and would hold up everyone); the
//!   cell sees Argon2id strings and SHA-256 digests of random secrets, and gives a secret out once, when it makes it.
//! - A handle or an e-mail address belongs to one account; a pending account counts, a deleted one does not.
//! - A signup is a reservation first ([`ReserveAccount`]), an account only when the rest of the world agrees
//!   ([`CompleteAccount`]). What was reserved survives a crash and can be resumed or released.
//! - A deleted account keeps its DID and its status, so that nobody else takes its place; nothing more of it.
//! - Each command is one transaction.

mod account;
mod app_password;
mod credentials;
mod flow;
mod handle_rules;
mod import;
mod invite;
pub mod limits;
mod mail_code;
mod outbox;
mod registry;
mod rotation_key;
mod session;
mod signup;
mod status;
#[cfg(test)]
mod testing;

pub use account::{Account, AccountPage, GetAccount, GetCounts, GetStatus, ListAccounts, NetworkCounts, Who};
pub use app_password::{
    AppPassword, AppPasswordKind, CreateAppPassword, CreatedAppPassword, ListAppPasswords, RevokeAppPassword,
};
pub use credentials::{Credentials, GetCredentials};
pub use flow::{BeginFlow, CompleteFlow, DropFlow, Flow, GetFlow, ListFlows};
pub use handle_rules::Placement;
pub use import::ImportAccount;
pub use invite::{AccountInviteCodes, CreateInviteCodes, InviteCode, InviteUse, ListInviteCodes};
pub use mail_code::{IssueMailCode, MailPurpose};
pub use outbox::{ClearOutbox, Notice, OutboxEntry, ReadOutbox, has_work};
pub use registry::{ClaimAgentToken, FindAgentToken, IssueAgentToken, RevokeAgentTokens};
pub use rotation_key::{GetRotationKey, SignPlcOperation};
pub use session::{CloseSession, OpenSession, RotateSession, Session};
pub use signup::{
    CompleteAccount, GetReservation, ListReservations, ReleaseReservation, Reservation, ReserveAccount,
};
pub use status::{CheckHandle, DeleteAccount, SetStatus, StatusChange, UpdateHandle};

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::actor::Status;
use crate::crypto::SigningKey;
use crate::env::Env;
use crate::seam::Hidden;
use crate::store::migrate::{Migration, migrate};
use crate::store::{Sql, SqlError, in_transaction};
use crate::syntax::Did;

/// The cell's schema.
pub const MIGRATIONS: &[Migration] = crate::migrations!("directory", 1 "0001_init", 2 "0002_flow", 3 "0003_flow_handle",
    4 "0004_generation");

crate::seam! {
    read {
        GetAccount => Option<Account>,
        GetCredentials => Option<Credentials>,
        GetStatus => Option<Status>,
        ListAccounts => AccountPage,
        GetCounts => NetworkCounts,
        CheckHandle => Placement,
        ListAppPasswords => Vec<AppPassword>,
        FindAgentToken => Option<Did>,
        ListInviteCodes => Vec<InviteCode>,
        ListReservations => Vec<Did>,
        ReadOutbox => Vec<OutboxEntry>,
        GetFlow => Option<Flow>,
        ListFlows => Vec<Did>,
    }
    write {
        ReserveAccount => Reservation,
        CompleteAccount => Account,
        ReleaseReservation => (),
        GetReservation => Option<Reservation>,

        ImportAccount => Account,

        UpdateHandle => Account,
        SetStatus => Account,
        DeleteAccount => (),
        IssueMailCode => Hidden<String>,

        OpenSession => Session,
        RotateSession => Session,
        CloseSession => Option<Did>,
        CreateAppPassword => CreatedAppPassword,
        RevokeAppPassword => (),

        IssueAgentToken => Hidden<String>,
        ClaimAgentToken => Option<Hidden<String>>,
        RevokeAgentTokens => (),

        CreateInviteCodes => Vec<AccountInviteCodes>,

        GetRotationKey => String,
        SignPlcOperation => ByteBuf,

        ClearOutbox => (),

        BeginFlow => bool,
        CompleteFlow => (),
        DropFlow => (),
    }
    create { }
}

/// Why the directory refused.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The handle breaks a rule of this service.
    #[error("{0}")]
    InvalidHandle(String),
    /// The handle is taken or reserved.
    #[error("handle is not available")]
    HandleNotAvailable,
    /// The handle is under no domain of this service and was not shown to belong to the account.
    #[error("not a supported handle domain")]
    UnsupportedDomain,
    /// Not an e-mail address this service can write to.
    #[error("this email address is not supported, please use a different email")]
    InvalidEmail,
    /// Another account has this e-mail address.
    #[error("email is already taken")]
    EmailNotAvailable,
    /// There is none, or it has no use left.
    #[error("invite code is missing, unknown or used up")]
    InvalidInviteCode,
    /// The DID has an account here, or had one.
    #[error("the DID already has an account")]
    DidNotAvailable,
    /// No reservation of that DID: it was completed, released or has expired.
    #[error("there is no such reservation")]
    ReservationNotFound,
    /// No account of that name, or a deleted one.
    #[error("account not found")]
    AccountNotFound,
    /// The moderators took the account down; its owner can't undo it.
    #[error("account has been taken down")]
    AccountTakedown,
    /// The account is being deleted: nothing else can be done to it.
    #[error("the account is being deleted")]
    DeletionUnderWay,
    /// A later change took the place of this one.
    #[error("a later change to the account took the place of this one")]
    Superseded,
    /// The refresh token was used long ago, or its session was closed.
    #[error("token has been revoked")]
    TokenRevoked,
    /// A mailed code that is wrong, used or too old.
    #[error("token is invalid or has expired")]
    InvalidMailCode,
    /// An app password of that name exists.
    #[error("an app password of that name exists")]
    DuplicateAppPassword,
    /// A text or a count is over its limit.
    #[error("{0} is over its limit")]
    OverLimit(Cow<'static, str>),
    /// A cursor that is none of ours.
    #[error("cursor is malformed")]
    InvalidCursor,
    /// A did:plc operation could not be kept.
    #[error("plc operation: {0}")]
    PlcOperation(String),
    /// A key could not be wrapped.
    #[error("cannot wrap {0}")]
    Wrap(String),
    /// A key could not be unwrapped: it was wrapped under another master key, or is damaged.
    #[error("cannot unwrap {0}: is this the right master key?")]
    Unwrap(String),
}

/// The cell in memory: its database is the truth, only the unwrapped rotation key is kept beside it.
#[derive(Debug)]
pub struct Directory {
    rotation_key: SigningKey,
}

impl Directory {
    /// Brings the schema up to date and unwraps the rotation key, making one on the first start.
    ///
    /// # Errors
    /// [`Error::Unwrap`] with another master key than the one the network was made with; [`Error::Sql`].
    pub fn load(sql: &dyn Sql, env: &mut Env<'_>) -> Result<Self, Error> {
        migrate(sql, MIGRATIONS)?;
        let rotation_key = in_transaction(sql, || rotation_key::load_or_create(sql, env))?;
        Ok(Self { rotation_key })
    }

    /// Answers one command, in one transaction.
    ///
    /// # Errors
    /// [`Error`]; then nothing has changed.
    pub fn handle(&mut self, sql: &dyn Sql, env: &mut Env<'_>, command: Command) -> Result<Reply, Error> {
        in_transaction(sql, || self.answer(sql, env, command))
    }

    fn answer(&self, sql: &dyn Sql, env: &mut Env<'_>, command: Command) -> Result<Reply, Error> {
        match command {
            Command::Query(query) => read(sql, env, query),
            Command::Change(change) => self.change(sql, env, change),
        }
    }

    fn change(&self, sql: &dyn Sql, env: &mut Env<'_>, change: Change) -> Result<Reply, Error> {
        Ok(match change {
            Change::ReserveAccount(ask) => Reply::ReserveAccount(signup::reserve(sql, env, &ask)?),
            Change::CompleteAccount(ask) => Reply::CompleteAccount(signup::complete(sql, &ask.did)?),
            Change::ReleaseReservation(ask) => Reply::ReleaseReservation(signup::release(sql, &ask.did)?),
            Change::GetReservation(ask) => Reply::GetReservation(signup::get(sql, env, &ask.did)?),
            Change::ImportAccount(ask) => Reply::ImportAccount(import::import(sql, env, &ask)?),

            Change::UpdateHandle(ask) => Reply::UpdateHandle(status::update_handle(sql, env, &ask)?),
            Change::SetStatus(ask) => Reply::SetStatus(status::set(sql, env, &ask)?),
            Change::DeleteAccount(ask) => Reply::DeleteAccount(flow::delete_account(sql, env, &ask)?),
            Change::IssueMailCode(ask) => Reply::IssueMailCode(mail_code::issue(sql, env, &ask)?),

            Change::OpenSession(ask) => Reply::OpenSession(session::open(sql, env, &ask)?),
            Change::RotateSession(ask) => Reply::RotateSession(session::rotate(sql, env, &ask.id)?),
            Change::CloseSession(ask) => Reply::CloseSession(credentials::close_session(sql, &ask.id)?),
            Change::CreateAppPassword(ask) => Reply::CreateAppPassword(app_password::create(sql, env, &ask)?),
            Change::RevokeAppPassword(ask) => {
                Reply::RevokeAppPassword(credentials::revoke_app_password(sql, &ask.did, &ask.name)?)
            }

            Change::IssueAgentToken(ask) => {
                Reply::IssueAgentToken(registry::issue_token(sql, env, &ask.did)?)
            }
            Change::ClaimAgentToken(ask) => {
                Reply::ClaimAgentToken(registry::claim_token(sql, env, &ask.did)?)
            }
            Change::RevokeAgentTokens(ask) => {
                Reply::RevokeAgentTokens(credentials::revoke_tokens(sql, &ask.did)?)
            }

            Change::CreateInviteCodes(ask) => Reply::CreateInviteCodes(invite::create(sql, env, &ask)?),

            Change::GetRotationKey(_) => Reply::GetRotationKey(self.rotation_key.did_key()),
            Change::SignPlcOperation(ask) => {
                Reply::SignPlcOperation(ByteBuf::from(self.rotation_key.sign(&ask.unsigned)))
            }

            Change::ClearOutbox(ask) => Reply::ClearOutbox(outbox::clear(sql, ask.id)?),

            Change::BeginFlow(ask) => Reply::BeginFlow(flow::begin(sql, env, &ask)?),
            Change::CompleteFlow(ask) => Reply::CompleteFlow(flow::complete(sql, env, &ask)?),
            Change::DropFlow(ask) => Reply::DropFlow(flow::drop(sql, &ask)?),
        })
    }
}

fn read(sql: &dyn Sql, env: &Env<'_>, query: Query) -> Result<Reply, Error> {
    Ok(match query {
        Query::GetAccount(ask) => Reply::GetAccount(account::get(sql, &ask.who)?),
        Query::GetCredentials(ask) => Reply::GetCredentials(credentials::get(sql, &ask)?),
        Query::GetStatus(ask) => Reply::GetStatus(account::status(sql, &ask.did)?),
        Query::ListAccounts(ask) => Reply::ListAccounts(account::list(sql, &ask)?),
        Query::GetCounts(_) => Reply::GetCounts(account::counts(sql)?),
        Query::CheckHandle(ask) => Reply::CheckHandle(status::check_handle(sql, env, &ask)?),
        Query::ListAppPasswords(ask) => Reply::ListAppPasswords(app_password::list(sql, &ask.did)?),
        Query::FindAgentToken(ask) => Reply::FindAgentToken(registry::find_token(sql, &ask.digest)?),
        Query::ListInviteCodes(ask) => Reply::ListInviteCodes(invite::list(sql, &ask)?),
        Query::ListReservations(ask) => Reply::ListReservations(signup::list(sql, ask.limit)?),
        Query::ReadOutbox(ask) => Reply::ReadOutbox(outbox::read(sql, &ask)?),
        Query::GetFlow(ask) => Reply::GetFlow(flow::get(sql, &ask.did)?),
        Query::ListFlows(ask) => Reply::ListFlows(flow::list(sql, &ask)?),
    })
}
