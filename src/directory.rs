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
mod browser;
mod change;
mod credentials;
mod doors;
mod email;
mod factor;
mod flow;
mod handle_check;
mod handle_rules;
mod import;
mod invite;
mod known_device;
pub mod limits;
mod mail;
mod mail_code;
mod moderation;
mod oauth;
mod outbox;
mod password;
mod proof;
mod read;
mod registry;
mod reserved_key;
mod rotation_key;
mod session;
mod signed_in;
mod signup;
mod status;
#[cfg(test)]
mod testing;

pub use account::{
    Account, AccountPage, GetAccount, GetStatus, ListAccounts, ListStandings, Standing, StandingPage, Who,
    list,
};
pub use app_password::{
    AppPassword, AppPasswordKind, CreateAppPassword, CreatedAppPassword, ListAppPasswords, RevokeAppPassword,
};
pub use browser::{BrowserSession, CloseBrowserSession, GetBrowserSession, OpenBrowserSession};
pub use credentials::{Credentials, GetCredentials, RevokeCredentials};
pub use email::{ConfirmEmail, EmailChangedBy, UpdateEmail};
pub use factor::{
    AddPasskey, Assertion, BeginHalfSignIn, BeginTotp, Challenge, ConfirmTotp, Factors, GetFactors,
    GetHalfSignIn, Given, Half, HalfSignIn, PassFactor, Passed, Passkey, RemovePasskey, RenewRecoveryCodes,
    StopTotp, UsePasskey,
};
pub use flow::{BeginFlow, CompleteFlow, DropFlow, Flow, GetFlow, ListFlows};
pub use handle_check::{
    DueHandles, HandleSeen, HandleTurn, ListDueHandles, SettleHandle, next_handle_check_us,
};
pub use handle_rules::Placement;
pub use import::ImportAccount;
pub use invite::{
    AccountInviteCodes, CreateInviteCodes, InviteCode, InviteCodePage, InviteSort, InviteUse,
    ListInviteCodes, PageInviteCodes,
};
pub use mail::{
    DueMail, ListDueMail, MailOutcome, SendCode, SendLetter, SettleMail, WaitingMail, next_mail_us,
};
pub use mail_code::FindMailCode;
pub use moderation::{
    AccountInfo, AccountInfoPage, DisableInviteCodes, ListAccountInfos, SearchAccounts, SetInvitesDisabled,
};
pub use oauth::{
    BeginConsent, CloseOauthSession, Consenting, DropConsent, Exchange, GetConsent, GrantConsent, Holder,
    OauthSession, RedeemCode, RefreshOauthSession,
};
pub use outbox::{ClearOutbox, KeepExportNote, Notice, OutboxEntry, ReadOutbox, has_work};
pub use password::{ChangePassword, ResetPassword, SetPassword};
pub use proof::{Proof, Prove};
pub use registry::{
    AgentToken, ClaimAgentToken, FindAgentToken, IssueAgentToken, OweAgentToken, RevokeAgentTokens,
    RotateAgentToken, SettleAgentToken,
};
pub use reserved_key::{GetReservedKey, ReserveSigningKey};
pub use rotation_key::{GetRotationKey, SignPlcOperation};
pub use session::{CloseSession, OpenSession, RotateSession, Session};
pub use signed_in::{
    ConnectedClient, EndSignedIn, ListSignedIn, SignedIn, SignedInApp, SignedInBrowser, Which,
};
pub use signup::{
    CompleteAccount, GetReservation, ListReservations, ReleaseReservation, Reservation, ReserveAccount,
};
pub use status::{CheckHandle, DeleteAccount, SetStatus, StatusChange, UpdateHandle};

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use self::doors::Doors;
use crate::actor::Status;
use crate::crypto::SigningKey;
use crate::env::Env;
use crate::rate_limit::Allowance;
use crate::seam::Hidden;
use crate::store::migrate::{Migration, migrate};
use crate::store::{Sql, SqlError, in_transaction};
use crate::syntax::Did;

/// The cell's schema.
pub const MIGRATIONS: &[Migration] = crate::migrations!("directory", 1 "0001_init", 2 "0002_flow", 3 "0003_flow_handle",
    4 "0004_generation", 5 "0005_rotation", 6 "0006_account_methods", 7 "0007_oauth",
    8 "0008_browsers", 9 "0009_handles_devices", 10 "0010_factors", 11 "0011_challenges");

crate::seam! {
    read {
        GetAccount => Option<Account>,
        Prove => (),
        GetStatus => Option<Status>,
        ListAccounts => AccountPage,
        ListStandings => StandingPage,
        CheckHandle => Placement,
        ListAppPasswords => Vec<AppPassword>,
        FindAgentToken => Option<AgentToken>,
        ListInviteCodes => Vec<InviteCode>,
        PageInviteCodes => InviteCodePage,
        ListAccountInfos => Vec<AccountInfo>,
        SearchAccounts => AccountInfoPage,
        ListReservations => Vec<Did>,
        ReadOutbox => Vec<OutboxEntry>,
        GetFlow => Option<Flow>,
        ListFlows => Vec<Did>,
        FindMailCode => Did,
        ListDueMail => DueMail,
        GetReservedKey => Option<Hidden<[u8; 32]>>,
        GetConsent => Option<Consenting>,
        GetBrowserSession => Option<BrowserSession>,
        ListSignedIn => SignedIn,
        GetFactors => Factors,
        GetHalfSignIn => Option<HalfSignIn>,
    }
    write {
        ReserveAccount => Reservation,
        CompleteAccount => Account,
        ReleaseReservation => (),
        GetReservation => Option<Reservation>,

        ImportAccount => Account,

        UpdateHandle => Account,
        ListDueHandles => DueHandles,
        SettleHandle => HandleTurn,
        SetStatus => Account,
        DeleteAccount => (),

        SendCode => bool,
        SendLetter => (),
        SettleMail => (),
        ConfirmEmail => (),
        UpdateEmail => Account,
        ResetPassword => Did,
        SetPassword => (),
        ChangePassword => (),

        GetCredentials => Option<Credentials>,
        OpenSession => Session,
        RotateSession => Session,
        CloseSession => Option<Did>,
        CreateAppPassword => CreatedAppPassword,
        RevokeAppPassword => (),
        RevokeCredentials => (),

        IssueAgentToken => Hidden<String>,
        ClaimAgentToken => Option<Hidden<String>>,
        OweAgentToken => (),
        RotateAgentToken => Hidden<String>,
        SettleAgentToken => (),
        RevokeAgentTokens => (),

        CreateInviteCodes => Vec<AccountInviteCodes>,
        DisableInviteCodes => (),
        SetInvitesDisabled => (),

        ReserveSigningKey => String,

        BeginConsent => (),
        GrantConsent => Option<Hidden<String>>,
        DropConsent => bool,
        RedeemCode => Exchange,
        RefreshOauthSession => Exchange,
        CloseOauthSession => Option<Did>,

        OpenBrowserSession => (),
        CloseBrowserSession => (),
        EndSignedIn => (),

        BeginHalfSignIn => (),
        PassFactor => Option<Passed>,
        UsePasskey => Option<Passed>,
        AddPasskey => Option<Hidden<Vec<String>>>,
        RemovePasskey => (),
        BeginTotp => Hidden<[u8; 20]>,
        ConfirmTotp => Option<Hidden<Vec<String>>>,
        StopTotp => (),
        RenewRecoveryCodes => Hidden<Vec<String>>,

        GetRotationKey => String,
        SignPlcOperation => ByteBuf,

        ClearOutbox => (),
        KeepExportNote => (),

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
    /// Another account has the handle, or is being given it.
    #[error("handle is not available")]
    HandleNotAvailable,
    /// The label could pass for the service, or is a name that programs look for.
    #[error("the name {0} is reserved: choose another")]
    HandleReserved(String),
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
    /// No import of the agent is under way whose token was not given.
    #[error("no import is under way here: begin with agent.admin.importAgent")]
    NotImporting,
    /// A later change took the place of this one.
    #[error("a later change to the account took the place of this one")]
    Superseded,
    /// The refresh token was used long ago, or its session was closed.
    #[error("token has been revoked")]
    TokenRevoked,
    /// A mailed code that is wrong or used.
    #[error("Token is invalid")]
    InvalidMailCode,
    /// A mailed code that is too old.
    #[error("Token is expired")]
    MailCodeExpired,
    /// The account's address was confirmed, so another is given with a mailed code only.
    #[error("confirmation token required")]
    MailCodeRequired,
    /// An application changes only an address at which mail was seen to arrive.
    #[error("an app can change a confirmed address only: confirm it, or change it at /account/email")]
    EmailNotConfirmed,
    /// Not the account's address.
    #[error("invalid email")]
    WrongEmail,
    /// There is no address to write to.
    #[error("account does not have an email address")]
    NoEmail,
    /// The server is not set to send any.
    #[error("this server sends no mail: ask its operator")]
    NoMail,
    /// An account asked for the same kind too often.
    #[error("too many mails of this kind were asked for: look for the last one, or come back later")]
    TooManyMails,
    /// The mail server has not taken any for long.
    #[error("too many mails wait to be sent: try again later")]
    MailQueueFull,
    /// Not one line of moderate length.
    #[error("a subject is one line of at most 200 characters, without control characters")]
    InvalidSubject,
    /// What an OAuth client asked for was answered already.
    #[error("the request was answered already: begin again in the application")]
    RequestUsed,
    /// An app password of that name exists.
    #[error("an app password of that name exists")]
    DuplicateAppPassword,
    /// A text or a count is over its limit.
    #[error("{0} is over its limit")]
    OverLimit(Cow<'static, str>),
    /// More is needed than the account's password.
    #[error("{}", factor::needed(*by_code))]
    FactorRequired {
        /// Whether a code by time would do.
        by_code: bool,
    },
    /// A code beside the password that is wrong, or was used.
    #[error("Token is invalid")]
    InvalidFactor,
    /// A passkey that does not fit.
    #[error("the passkey was refused: {0}")]
    InvalidPasskey(Cow<'static, str>),
    /// Codes by time are on already, or what was begun took too long.
    #[error("this can't be set up any more: begin again")]
    TotpSetup,
    /// Passwords were tried too often.
    #[error("too many attempts: try again in {} s", .0.retry_seconds())]
    TooOften(Allowance),
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

/// The cell in memory: its database is the truth. Beside it are kept the unwrapped rotation key, and who has tried how
/// often.
#[derive(Debug)]
pub struct Directory {
    rotation_key: SigningKey,
    doors: Doors,
}

impl Directory {
    /// Brings the schema up to date and unwraps the rotation key, making one on the first start.
    ///
    /// # Errors
    /// [`Error::Unwrap`] with another master key than the one the network was made with; [`Error::Sql`].
    pub fn load(sql: &dyn Sql, env: &mut Env<'_>) -> Result<Self, Error> {
        migrate(sql, MIGRATIONS)?;
        let rotation_key = in_transaction(sql, || rotation_key::load_or_create(sql, env))?;
        Ok(Self { rotation_key, doors: Doors::new(env) })
    }

    /// Answers one command, in one transaction.
    ///
    /// # Errors
    /// [`Error`]; then nothing has changed.
    pub fn handle(&mut self, sql: &dyn Sql, env: &mut Env<'_>, command: Command) -> Result<Reply, Error> {
        in_transaction(sql, || self.answer(sql, env, command))
    }

    fn answer(&mut self, sql: &dyn Sql, env: &mut Env<'_>, command: Command) -> Result<Reply, Error> {
        match command {
            Command::Query(query) => read::read(sql, env, query),
            Command::Change(change) => self.change(sql, env, change),
        }
    }
}
