//! The table of who may call what.
//!
//! A method declares two things: who may call it with a credential of the account's own ([`Access`]), and what an application
//! needs that was granted something ([`Apps`]); [`Access::permits`] decides both. What depends on the input of a call is asked
//! of the caller by its handler: [`AccountCaller::require`].

use std::sync::Arc;

use super::Error;
use crate::actor::AccountSummary;
use crate::actor::Scope;
use crate::directory::Proof;
use crate::oauth::methods::{ANY, is_agents, is_privileged, is_protected};
use crate::oauth::{self, Need};
use crate::syntax::Did;

/// What a method needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing; credentials are not even looked at.
    Public,
    /// Nothing, but credentials that are given must be good, and may show more.
    Optional,
    /// Any session of an account, or its agent's token.
    Account,
    /// The account's own session or its agent's token, not an app password: whatever makes or ends credentials.
    AccountFull,
    /// The account's own session, its agent's token, or an app password made for the vault.
    Vault,
    /// A refresh token.
    Refresh,
    /// Another server, or an account elsewhere, with a service token for this method.
    Service,
    /// Nothing, or a service token for this method, which shows that its account is elsewhere.
    OptionalService,
    /// The operator.
    Admin,
}

/// What an application needs to call a method, on top of the account's being active. A method says nothing of them is
/// closed to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Apps {
    /// No application may.
    #[default]
    Never,
    /// Every one may that was granted anything.
    Any,
    /// Those may that were granted this.
    With(Need<'static>),
    /// Those may that were granted to call this method here, by its name.
    ByName,
    /// It depends on the input: the handler asks.
    ByInput,
}

/// What a caller's token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A session's or an agent's token of the account's own; an agent's opens all of the account.
    Own(Scope),
    /// What the owner granted an application.
    App(Arc<oauth::Scope>),
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular.
    Anonymous,
    /// An account of this network.
    Account(AccountCaller),
    /// A session that asks for its next tokens, or its end.
    Refresh {
        /// Whose.
        did: Did,
        /// The refresh token's `jti`.
        id: String,
    },
    /// Who another server, or an account elsewhere, says it is, by its signature.
    Service {
        /// The issuer.
        did: Did,
    },
    /// The operator.
    Admin,
}

/// An account that calls, by what has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountCaller {
    /// Which. Not deleted; it may be deactivated, and taken down or suspended where its token is one for that.
    pub account: AccountSummary,
    /// What its token opens.
    pub grant: Grant,
    /// What it showed, for what has to rest on that.
    pub proof: Proof,
}

impl AccountCaller {
    /// Asks whether another service may be called in the account's name: method `lxm` of the service `aud`, a DID and the
    /// service's id; all of its methods where none is named. The one place that says so, for tokens that are asked for and
    /// for calls that go through this server.
    ///
    /// # Errors
    /// [`RpcRefused`].
    pub fn require_rpc(&self, aud: &str, lxm: Option<&str>) -> Result<(), RpcRefused> {
        let lxm = lxm.unwrap_or(ANY);
        if is_protected(lxm) {
            return Err(RpcRefused::Protected);
        }
        self.require(&Need::Rpc { lxm, aud }).map_err(|error| match error {
            missing @ Error::ScopeMissing(_) => RpcRefused::NotGranted(missing),
            _ => RpcRefused::Insufficient,
        })
    }
}

/// Why another service may not be called in an account's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcRefused {
    /// The method is for the account's own server alone.
    Protected,
    /// The account's own credential does not open it.
    Insufficient,
    /// The application was not granted it.
    NotGranted(Error),
}

impl Caller {
    /// The account that calls.
    ///
    /// # Errors
    /// [`Error::Missing`] for any other caller.
    pub fn account(&self) -> Result<&AccountCaller, Error> {
        match self {
            Self::Account(account) => Ok(account),
            _ => Err(Error::Missing),
        }
    }

    /// The DID of the account that calls.
    ///
    /// # Errors
    /// [`Error::Missing`] for any other caller.
    pub fn did(&self) -> Result<&Did, Error> {
        Ok(&self.account()?.account.did)
    }
}

impl AccountCaller {
    /// Refuses a call that needs more than the caller's token opens.
    ///
    /// # Errors
    /// What the caller is to be told.
    pub fn require(&self, need: &Need<'_>) -> Result<(), Error> {
        match &self.grant {
            Grant::Own(scope) if opens(*scope, need) => Ok(()),
            Grant::Own(_) => Err(Error::Invalid(BAD_SCOPE)),
            Grant::App(granted) if granted.allows(need) => Ok(()),
            Grant::App(_) => Err(Error::ScopeMissing(need.to_string())),
        }
    }

    /// Whether the caller's token opens the upload of any blob.
    #[must_use]
    pub fn may_upload(&self) -> bool {
        match &self.grant {
            Grant::Own(_) => true,
            Grant::App(granted) => granted.allows_blobs(),
        }
    }

    /// Whether the caller's token opens what is needed.
    #[must_use]
    pub fn may(&self, need: &Need<'_>) -> bool {
        self.require(need).is_ok()
    }
}

/// What tokens of the account's own open, where they may call a method at all: all but what is private, for which an app
/// password has to be made.
fn opens(scope: Scope, need: &Need<'_>) -> bool {
    let is_vault = match need {
        // Overwriting a sealed record destroys its key.
        Need::Repo { collection, .. } => collection.starts_with("agent.vault."),
        Need::Rpc { lxm, .. } => is_agents(lxm),
        Need::Blob { .. } | Need::Account { .. } | Need::Identity { .. } => false,
    };
    let is_privileged = matches!(need, Need::Rpc { lxm, .. } if is_privileged(lxm));
    match scope {
        Scope::Access => true,
        Scope::AppPass => !is_vault && !is_privileged,
        Scope::AppPassPrivileged => !is_vault,
        Scope::AppPassVault => is_vault || !is_privileged,
        Scope::Takendown => matches!(need, Need::Rpc { lxm, .. } if OF_TAKEN_DOWN_ELSEWHERE.contains(lxm)),
        Scope::Refresh => false,
    }
}

/// What the owner of an account that was taken down may do: appeal, and take along what is needed elsewhere. Beside it the
/// repo and the blobs, which whoever is anonymous may ask for and the owner gets.
const OF_TAKEN_DOWN: [&str; 3] = [
    "app.bsky.actor.getPreferences",
    "com.atproto.moderation.createReport",
    "com.atproto.server.getServiceAuth",
];

/// What other services may be asked for in its name.
const OF_TAKEN_DOWN_ELSEWHERE: [&str; 2] =
    ["com.atproto.moderation.createReport", "com.atproto.server.createAccount"];

const BAD_SCOPE: &str = "Bad token scope";
const NO_APPS: &str = "OAuth credentials are not supported for this endpoint";
const NO_SERVICE: &str = "this method takes no service token";

impl Access {
    /// Whether `caller` may call method `nsid`, which needs this, and of applications `apps`. `audience` is who answers the
    /// method, as permissions name it: a DID and its service's id.
    ///
    /// # Errors
    /// What the caller is to be told.
    pub fn permits(
        self,
        apps: Apps,
        nsid: &str,
        audience: &dyn Fn() -> String,
        caller: &Caller,
    ) -> Result<(), Error> {
        match (self, caller) {
            (Self::Public, _) => Ok(()),
            (Self::Optional | Self::OptionalService, Caller::Refresh { .. }) => {
                Err(Error::Invalid(BAD_SCOPE))
            }
            (Self::OptionalService, _) => Ok(()),
            (Self::Optional, Caller::Service { .. }) => Err(Error::Invalid(NO_SERVICE)),
            (Self::Optional, _) => Ok(()),
            (_, Caller::Anonymous) => Err(Error::Missing),

            (Self::Admin, Caller::Admin)
            | (Self::Refresh, Caller::Refresh { .. })
            | (Self::Service, Caller::Service { .. }) => Ok(()),
            (Self::Admin, _) => Err(Error::Required("the admin token is required")),
            (Self::Refresh, _) => Err(Error::Invalid(BAD_SCOPE)),
            (Self::Service, _) => Err(Error::Required("a service token is required")),

            (_, Caller::Account(account)) => match &account.grant {
                Grant::Own(scope) => self.permits_scope(*scope, nsid),
                Grant::App(_) => apps.permit(nsid, audience, account),
            },
            (_, Caller::Refresh { .. }) => Err(Error::Invalid(BAD_SCOPE)),
            (_, Caller::Service { .. }) => Err(Error::Required("a session of the account is required")),
            (Self::Vault, Caller::Admin) => {
                Err(Error::Forbidden("the admin token opens no agent's memories"))
            }
            (_, Caller::Admin) => Err(Error::Forbidden("the admin token opens no account")),
        }
    }

    /// Whether a service token is looked at: checking one asks its issuer's server.
    ///
    /// # Errors
    /// What the caller is to be told.
    pub fn takes_service_tokens(self) -> Result<(), Error> {
        match self {
            Self::Service | Self::OptionalService => Ok(()),
            Self::Public
            | Self::Optional
            | Self::Account
            | Self::AccountFull
            | Self::Vault
            | Self::Refresh => Err(Error::Invalid(NO_SERVICE)),
            Self::Admin => Err(Error::Required("the admin token is required")),
        }
    }

    fn permits_scope(self, scope: Scope, nsid: &str) -> Result<(), Error> {
        let permitted = match scope {
            Scope::Access => true,
            Scope::AppPass | Scope::AppPassPrivileged => self == Self::Account,
            Scope::AppPassVault => matches!(self, Self::Account | Self::Vault),
            Scope::Takendown => self == Self::Account && OF_TAKEN_DOWN.contains(&nsid),
            Scope::Refresh => false,
        };
        if permitted { Ok(()) } else { Err(Error::Invalid(BAD_SCOPE)) }
    }
}

impl Apps {
    fn permit(self, nsid: &str, audience: &dyn Fn() -> String, caller: &AccountCaller) -> Result<(), Error> {
        match self {
            Self::Never => Err(Error::Forbidden(NO_APPS)),
            Self::Any | Self::ByInput => Ok(()),
            Self::With(need) => caller.require(&need),
            Self::ByName => caller.require(&Need::Rpc { lxm: nsid, aud: &audience() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::{Kind, Status};
    use crate::syntax::Handle;

    fn permits(access: Access, apps: Apps, caller: &Caller) -> Result<(), Error> {
        access.permits(apps, "com.example.test", &|| "did:web:pds.test#atproto_pds".to_owned(), caller)
    }

    fn account(scope: Scope) -> Caller {
        Caller::Account(granted(Grant::Own(scope)))
    }

    fn app(scope: &str) -> AccountCaller {
        granted(Grant::App(Arc::new(oauth::Scope::parse(scope))))
    }

    fn granted(grant: Grant) -> AccountCaller {
        AccountCaller {
            account: AccountSummary {
                did: Did::try_from("did:plc:alice").unwrap(),
                handle: Handle::try_from("alice.test").unwrap(),
                handle_fails: false,
                status: Status::Active,
                kind: Kind::Agent,
                generation: 0,
            },
            grant,
            proof: Proof::Generation(0),
        }
    }

    /// Breaks if any credential opens more or less than it should.
    #[test]
    fn every_caller_against_every_access() {
        use Access::{
            Account, AccountFull, Admin, Optional, OptionalService, Public, Refresh, Service, Vault,
        };
        let did = Did::try_from("did:plc:alice").unwrap();
        let levels =
            [Public, Optional, OptionalService, Account, AccountFull, Vault, Refresh, Service, Admin];
        let table = [
            // In the order of `levels`; an agent's token is the first kind of account.
            ("anonymous", Caller::Anonymous, "+++------"),
            ("own session", account(Scope::Access), "++++++---"),
            ("plain app password", account(Scope::AppPass), "++++-----"),
            ("privileged app password", account(Scope::AppPassPrivileged), "++++-----"),
            ("vault app password", account(Scope::AppPassVault), "++++-+---"),
            ("session of who was taken down", account(Scope::Takendown), "+++------"),
            ("refresh scope in an access token", account(Scope::Refresh), "+++------"),
            ("refresh token", Caller::Refresh { did: did.clone(), id: "1".to_owned() }, "+-----+--"),
            ("service token", Caller::Service { did }, "+-+----+-"),
            ("admin", Caller::Admin, "+++-----+"),
            ("application", Caller::Account(app("atproto repo:* transition:generic")), "+++------"),
        ];
        for (name, caller, row) in table {
            for (level, expected) in levels.into_iter().zip(row.chars()) {
                let permitted = permits(level, Apps::Never, &caller).is_ok();
                assert_eq!(permitted, expected == '+', "{name} at {level:?}");
            }
        }
    }

    #[test]
    fn app_passwords_have_no_service_called_beyond_their_own_reach() {
        let permitted = |lxm, scope| {
            let Caller::Account(caller) = account(scope) else { panic!("an account") };
            caller.require_rpc("did:web:api.test#bsky_appview", Some(lxm)).is_ok()
        };
        let table = [
            // method, own session, plain, privileged, vault
            ("app.bsky.feed.getTimeline", [true, true, true, true]),
            ("chat.bsky.convo.getLog", [true, false, true, false]),
            ("Chat.Bsky.convo.getLog", [true, false, true, false]),
            ("com.atproto.server.createAccount", [true, false, true, false]),
            ("agent.comms.deliver", [true, false, false, true]),
            ("com.atproto.server.createAppPassword", [false, false, false, false]),
            ("com.atproto.server.CREATEAPPPASSWORD", [false, false, false, false]),
        ];
        let scopes = [Scope::Access, Scope::AppPass, Scope::AppPassPrivileged, Scope::AppPassVault];
        for (lxm, row) in table {
            for (scope, expected) in scopes.into_iter().zip(row) {
                assert_eq!(permitted(lxm, scope), expected, "{lxm} {scope:?}");
            }
        }
    }

    #[test]
    fn who_was_taken_down_may_appeal_and_leave() {
        let Caller::Account(caller) = account(Scope::Takendown) else { panic!("an account") };
        let permits = |nsid, access: Access| {
            access.permits(Apps::Never, nsid, &String::new, &Caller::Account(caller.clone())).is_ok()
        };
        for nsid in OF_TAKEN_DOWN {
            assert!(permits(nsid, Access::Account), "{nsid}");
            assert!(!permits(nsid, Access::AccountFull) && !permits(nsid, Access::Vault), "{nsid}");
        }
        assert!(!permits("com.atproto.repo.createRecord", Access::Account));
        for (lxm, expected) in [
            (Some("com.atproto.moderation.createReport"), true),
            (Some("com.atproto.server.createAccount"), true),
            (Some("app.bsky.feed.getTimeline"), false),
            (Some("agent.comms.deliver"), false),
            (None, false),
        ] {
            let permitted = caller.require_rpc("did:web:mod.test#atproto_labeler", lxm).is_ok();
            assert_eq!(permitted, expected, "{lxm:?}");
        }
    }

    #[test]
    fn refusals_say_what_is_missing() {
        let permits = |access, caller: &Caller| permits(access, Apps::Any, caller);
        assert_eq!(permits(Access::Account, &Caller::Anonymous), Err(Error::Missing));
        assert!(matches!(permits(Access::Vault, &Caller::Admin), Err(Error::Forbidden(_))));
        let app_password = account(Scope::AppPass);
        assert_eq!(permits(Access::Vault, &app_password), Err(Error::Invalid("Bad token scope")));
        assert!(matches!(permits(Access::Admin, &app_password), Err(Error::Required(_))));
    }

    /// What breaks: an application calls what it was not granted.
    #[test]
    fn an_application_needs_what_the_method_says() {
        let need = Need::Account {
            attr: oauth::scope::AccountAttr::Status,
            action: oauth::scope::AccountAction::Manage,
        };
        let by_name = "rpc:com.example.test?aud=did:web:pds.test%23atproto_pds";
        let table = [
            (Apps::Never, "atproto transition:generic", false),
            (Apps::Any, "atproto", true),
            (Apps::ByInput, "atproto", true),
            (Apps::With(need), "atproto account:status", false),
            (Apps::With(need), "atproto account:status?action=manage", true),
            (Apps::ByName, "atproto rpc:com.example.test?aud=did:web:other.test%23atproto_pds", false),
            (Apps::ByName, by_name, true),
        ];
        for (apps, scope, expected) in table {
            for access in [Access::Account, Access::AccountFull, Access::Vault] {
                let permitted = permits(access, apps, &Caller::Account(app(scope)));
                assert_eq!(permitted.is_ok(), expected, "{apps:?} {scope}");
            }
            for access in [Access::Admin, Access::Refresh, Access::Service] {
                permits(access, apps, &Caller::Account(app(scope))).unwrap_err();
            }
        }
    }

    #[test]
    fn what_is_private_needs_more_than_a_plain_app_password() {
        let repo = |collection| Need::Repo { collection, action: oauth::scope::RepoAction::Create };
        let rpc = |lxm| Need::Rpc { lxm, aud: "did:web:api.test#x" };
        let scopes = [Scope::Access, Scope::AppPass, Scope::AppPassPrivileged, Scope::AppPassVault];
        for (need, row) in [
            (repo("app.bsky.feed.post"), [true, true, true, true]),
            (repo("agent.vault.sealed"), [true, false, false, true]),
            (rpc("app.bsky.feed.getTimeline"), [true, true, true, true]),
            (rpc("*"), [true, false, true, false]),
            (rpc("chat.bsky.convo.getLog"), [true, false, true, false]),
            (rpc("com.atproto.server.createAccount"), [true, false, true, false]),
            (rpc("agent.comms.deliver"), [true, false, false, true]),
        ] {
            for (scope, expected) in scopes.into_iter().zip(row) {
                assert_eq!(granted(Grant::Own(scope)).may(&need), expected, "{need} {scope:?}");
            }
        }
        assert_eq!(app("repo:*").require(&repo("a.b.c")), Ok(()));
        let missing = Error::ScopeMissing("repo:a.b.c?action=create".to_owned());
        assert_eq!(app("blob:*/*").require(&repo("a.b.c")), Err(missing));
    }
}
