//! The table of who may call what.

use super::Error;
use crate::actor::AccountSummary;
use crate::actor::Scope;
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

/// An account that calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountCaller {
    /// Which. Neither taken down, suspended nor deleted; it may be deactivated.
    pub account: AccountSummary,
    /// What its token opens; an agent's token opens all of the account.
    pub scope: Scope,
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

const BAD_SCOPE: &str = "Bad token scope";
const NO_SERVICE: &str = "this method takes no service token";

impl Access {
    /// Whether `caller` may call a method that needs this.
    ///
    /// # Errors
    /// What the caller is to be told.
    pub fn permits(self, caller: &Caller) -> Result<(), Error> {
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

            (_, Caller::Account(account)) => self.permits_scope(account.scope),
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

    fn permits_scope(self, scope: Scope) -> Result<(), Error> {
        let permitted = match scope {
            Scope::Access => true,
            Scope::AppPass | Scope::AppPassPrivileged => self == Self::Account,
            Scope::AppPassVault => matches!(self, Self::Account | Self::Vault),
            Scope::Refresh => false,
        };
        if permitted { Ok(()) } else { Err(Error::Invalid(BAD_SCOPE)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::{Kind, Status};
    use crate::syntax::Handle;

    fn account(scope: Scope) -> Caller {
        Caller::Account(AccountCaller {
            account: AccountSummary {
                did: Did::try_from("did:plc:alice").unwrap(),
                handle: Handle::try_from("alice.test").unwrap(),
                status: Status::Active,
                kind: Kind::Agent,
                generation: 0,
            },
            scope,
        })
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
            ("refresh scope in an access token", account(Scope::Refresh), "+++------"),
            ("refresh token", Caller::Refresh { did: did.clone(), id: "1".to_owned() }, "+-----+--"),
            ("service token", Caller::Service { did }, "+-+----+-"),
            ("admin", Caller::Admin, "+++-----+"),
        ];
        for (name, caller, row) in table {
            for (level, expected) in levels.into_iter().zip(row.chars()) {
                let permitted = level.permits(&caller).is_ok();
                assert_eq!(permitted, expected == '+', "{name} at {level:?}");
            }
        }
    }

    #[test]
    fn refusals_say_what_is_missing() {
        assert_eq!(Access::Account.permits(&Caller::Anonymous), Err(Error::Missing));
        assert!(matches!(Access::Vault.permits(&Caller::Admin), Err(Error::Forbidden(_))));
        let app_password = account(Scope::AppPass);
        assert_eq!(Access::Vault.permits(&app_password), Err(Error::Invalid("Bad token scope")));
        assert!(matches!(Access::Admin.permits(&app_password), Err(Error::Required(_))));
    }
}
