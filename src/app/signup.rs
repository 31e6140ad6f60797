//! Making accounts: the steps of [`crate::directory::ReserveAccount`], in order, and their resumption.

use std::sync::Arc;

use super::{App, Error, plc, profile};
use crate::account::CreateRepo;
use crate::actor::Kind;
use crate::crypto::{SigningKey, VerifyingKey, password};
use crate::directory::limits::RESERVATIONS_MAX;
use crate::directory::{
    self, Account, CheckHandle, ClaimAgentToken, CompleteAccount, GetAccount, GetReservation, GetReservedKey,
    ListReservations, Placement, ReleaseReservation, Reservation, ReserveAccount, Who,
};
use crate::identity::DidDocument;
use crate::limits::PASSWORD_BYTES_MAX;
use crate::seam::Hidden;
use crate::syntax::{Did, Handle};

/// A recovery key must be one the protocol can verify with, or it would recover nothing.
///
/// # Errors
/// [`Error::InvalidRecoveryKey`].
pub fn check_recovery_key(did_key: String) -> Result<String, Error> {
    match VerifyingKey::from_did_key(&did_key) {
        Ok(_) => Ok(did_key),
        Err(error) => Err(Error::InvalidRecoveryKey(error.to_string())),
    }
}

/// What a new account is to be.
pub struct NewAccount {
    /// Its name.
    pub handle: Handle,
    /// Who owns it.
    pub kind: Kind,
    /// The DID its owner brings, who has shown that it is theirs.
    pub existing_did: Option<Did>,
    /// A did:key that ranks above the server's.
    pub recovery_key: Option<String>,
    /// The owner's address.
    pub email: Option<String>,
    /// The owner's password; without one nobody signs in with one.
    pub password: Option<Hidden<String>>,
    /// An invite code, used if given.
    pub invite_code: Option<String>,
    /// Whether it needs none.
    pub invite_exempt: bool,
    /// For people to read.
    pub display_name: Option<String>,
    /// The model an agent runs on.
    pub model: Option<String>,
    /// An agent's configuration, JSON.
    pub config: Option<String>,
}

/// What an agent was to be, to tell whether one that is there is the same.
struct Wanted {
    recovery_key: Option<String>,
    display_name: Option<String>,
    model: Option<String>,
    config: Option<String>,
}

impl Wanted {
    fn of(new: &NewAccount) -> Self {
        Self {
            recovery_key: new.recovery_key.clone(),
            display_name: new.display_name.clone(),
            model: new.model.clone(),
            config: new.config.clone(),
        }
    }

    async fn is(&self, app: &App, account: &Account) -> Result<bool, Error> {
        let Self { recovery_key, display_name, model, config } = self;
        let is_same = account.kind == Kind::Agent
            && (&account.display_name, &account.model, &account.config) == (display_name, model, config);
        match recovery_key {
            Some(recovery_key) if is_same => plc::has_rotation_key(app, &account.did, recovery_key).await,
            _ => Ok(is_same),
        }
    }
}

impl App {
    /// Makes an account: DID, repo, and what the directory keeps. Goes on when the caller hangs up.
    ///
    /// # Errors
    /// Why not; then nothing is left of it.
    pub async fn sign_up(self: &Arc<Self>, new: NewAccount) -> Result<Account, Error> {
        let app = Arc::clone(self);
        self.detached(async move { app.reserve_and_finish(new).await }).await
    }

    /// Makes an agent and its first token. Where the same agent was made for a caller who hung up before it had the token,
    /// that one is given out.
    ///
    /// # Errors
    /// As [`App::sign_up`].
    pub async fn create_agent(self: &Arc<Self>, new: NewAccount) -> Result<(Account, Hidden<String>), Error> {
        let (handle, wanted) = (new.handle.normalized(), Wanted::of(&new));
        let account = match self.sign_up(new).await {
            Err(error @ Error::Directory(directory::Error::HandleNotAvailable)) => {
                let standing =
                    self.directory(GetAccount { who: Who::Handle(handle) }).await?.ok_or(error.clone())?;
                if !wanted.is(self, &standing).await? {
                    return Err(error);
                }
                standing
            }
            made => made?,
        };
        let token = self.directory(ClaimAgentToken { did: account.did.clone() }).await?;
        let taken = || Error::Directory(directory::Error::HandleNotAvailable);
        Ok((account, token.ok_or_else(taken)?))
    }

    async fn reserve_and_finish(self: &Arc<Self>, new: NewAccount) -> Result<Account, Error> {
        self.require_room()?;
        let handle = new.handle.normalized();
        let handle_verified = self.check_new_handle(&handle, new.existing_did.as_ref()).await?;
        let password_hash = match new.password {
            Some(password) => Some(Hidden::new(self.hash_password(password).await?)),
            None => None,
        };
        let internal = |error: &dyn std::fmt::Display| Error::Internal(error.to_string());
        // Whose DID document names a key of ours already, gets that one.
        let reserved = match &new.existing_did {
            Some(did) => self.directory(GetReservedKey { did: did.clone() }).await?,
            None => None,
        };
        let signing_key = match &reserved {
            Some(reserved) => SigningKey::from_bytes(reserved.expose()),
            None => SigningKey::from_bytes(&self.random()),
        };
        let signing_key = signing_key.map_err(|error| internal(&error))?;
        let (did, plc_operation) = match new.existing_did {
            Some(did) => (did, None),
            None => {
                let operation = plc::genesis(self, &handle, &signing_key, new.recovery_key).await?;
                (operation.genesis_did()?, Some(operation))
            }
        };
        let reserve = ReserveAccount {
            did: did.clone(),
            plc_operation,
            signing_key: Hidden::new(*signing_key.to_bytes()),
            handle,
            handle_verified,
            allow_reserved: false,
            email: new.email,
            password_hash,
            invite_code: new.invite_code,
            invite_exempt: new.invite_exempt,
            kind: new.kind,
            display_name: new.display_name,
            model: new.model,
            config: new.config,
        };
        self.directory(reserve).await?;
        self.run(did.clone(), None).await?;
        let account = self.directory(GetAccount { who: Who::Did(did) }).await?;
        account.ok_or(Error::Directory(directory::Error::AccountNotFound))
    }

    /// Finishes the signup of a DID, or gives back what was reserved for it.
    pub(super) async fn finish_or_release(&self, did: &Did) -> Result<(), Error> {
        let reservation = self.directory(GetReservation { did: did.clone() }).await?;
        let Some(reservation) = reservation else { return Ok(()) }; // Finished meanwhile.
        match self.finish_signup(&reservation).await {
            Ok(_) => Ok(()),
            Err(Error::Stopping) => Err(Error::Stopping), // The next start goes on.
            Err(error) => {
                self.directory(ReleaseReservation { did: did.clone() }).await?;
                self.carry_notices_of(did).await?;
                // What is given back is not gone on with, whatever became of it elsewhere.
                match error {
                    Error::Unsettled(_) => {
                        Err(Error::Upstream("the PLC directory could not be reached".to_owned()))
                    }
                    error => Err(error),
                }
            }
        }
    }

    /// Goes on with the signups that a crash interrupted. Signups that can't be finished now stay until they can, or
    /// until someone else wants their handle.
    pub(super) async fn resume_signups(&self) -> Result<(), Error> {
        let here = self.flows.own()?;
        for did in self.directory(ListReservations { limit: RESERVATIONS_MAX }).await? {
            let turn = here.turn(&did);
            let Some(_turn) = turn.try_lock() else { continue }; // The caller's own task is at it.
            // Read under the turn: it may have been given back meanwhile.
            let Some(reservation) = self.directory(GetReservation { did: did.clone() }).await? else {
                continue;
            };
            match self.finish_signup(&reservation).await {
                Ok(_) => tracing::info!(%did, "resumed a signup"),
                Err(error) => tracing::warn!(%did, %error, "a signup can't be resumed yet"),
            }
        }
        Ok(())
    }

    /// The steps after the reservation, each of which may be repeated.
    async fn finish_signup(&self, reservation: &Reservation) -> Result<Account, Error> {
        let did = &reservation.did;
        if let Some(operation) = &reservation.plc_operation {
            plc::submit(self, did, operation).await?;
            if let Some(data) = operation.data(did) {
                let document = Arc::new(DidDocument::from_plc_data(&data));
                self.identities.learn(&document, self.host.now_us());
            }
        }
        let create = CreateRepo {
            did: did.clone(),
            handle: reservation.handle.clone(),
            signing_key: reservation.signing_key.clone(),
            active: reservation.plc_operation.is_some(),
            records: profile::first_records(reservation, self.host.now_us())?,
        };
        self.account(did, create).await?;
        let account = self.directory(CompleteAccount { did: did.clone() }).await?;
        self.accounts.forget(did, Some(&account.handle));
        Ok(account)
    }

    /// Refuses early, before anything slow, and finds out whether a handle elsewhere belongs to the DID.
    async fn check_new_handle(&self, handle: &Handle, did: Option<&Did>) -> Result<bool, Error> {
        let check = CheckHandle { handle: handle.clone(), did: None, allow_reserved: false };
        match (self.directory(check).await?, did) {
            (Placement::Service, _) => Ok(false),
            (Placement::External, None) => Err(Error::UnsupportedDomain),
            (Placement::External, Some(did)) => {
                self.require_handle_of(handle, did).await?;
                Ok(true)
            }
        }
    }

    /// Checks that a handle outside the service's domains names this DID now.
    pub async fn require_handle_of(&self, handle: &Handle, did: &Did) -> Result<(), Error> {
        match self.identities.did_of_handle(&self.host, handle, true).await {
            Ok(named) if named == *did => Ok(()),
            _ => Err(Error::HandleElsewhere),
        }
    }

    /// Hashes a new password.
    pub(super) async fn hash_password(&self, password: Hidden<String>) -> Result<String, Error> {
        if password.expose().len() > PASSWORD_BYTES_MAX {
            return Err(Error::InvalidPassword(format!(
                "Password too long. Maximum length is {PASSWORD_BYTES_MAX} bytes."
            )));
        }
        if password.expose().is_empty() {
            return Err(Error::InvalidPassword("Password is empty".to_owned()));
        }
        let salt = self.random();
        let hash = self.compute(move || password::hash_password(password.expose(), salt)).await?;
        hash.map_err(|error| Error::Internal(error.to_string()))
    }
}
