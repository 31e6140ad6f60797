//! Making accounts: the steps of [`crate::directory::ReserveAccount`], in order, and their resumption.

use std::sync::Arc;

use serde_bytes::ByteBuf;

use super::{App, XrpcError, plc};
use crate::account::CreateRepo;
use crate::actor::Kind;
use crate::crypto::{SigningKey, password};
use crate::directory::limits::RESERVATIONS_MAX;
use crate::directory::{
    Account, CheckHandle, CompleteAccount, ListReservations, Placement, ReleaseReservation, Reservation,
    ReserveAccount,
};
use crate::identity::DidDocument;
use crate::limits::PASSWORD_BYTES_MAX;
use crate::seam::Hidden;
use crate::syntax::{Did, Handle};

/// What a new account is to be.
#[derive(Debug)]
pub(super) struct NewAccount {
    pub(super) handle: Handle,
    pub(super) kind: Kind,
    /// The DID its owner brings, who has shown that it is theirs.
    pub(super) existing_did: Option<Did>,
    /// A did:key that ranks above the server's.
    pub(super) recovery_key: Option<String>,
    pub(super) email: Option<String>,
    pub(super) password: Option<Hidden<String>>,
    pub(super) invite_code: Option<String>,
    pub(super) invite_exempt: bool,
    pub(super) display_name: Option<String>,
    pub(super) model: Option<String>,
    pub(super) config: Option<String>,
}

impl App {
    /// Makes an account: DID, repo, and what the directory keeps.
    pub(super) async fn sign_up(&self, new: NewAccount) -> Result<Account, XrpcError> {
        let handle = new.handle.normalized();
        let handle_verified = self.check_new_handle(&handle, new.existing_did.as_ref()).await?;
        let password_hash = match new.password {
            Some(password) => Some(Hidden::new(self.hash_password(password).await?)),
            None => None,
        };
        let signing_key = SigningKey::from_bytes(&self.random()).map_err(XrpcError::internal)?;
        let (did, plc_operation) = match new.existing_did {
            Some(did) => (did, None),
            None => {
                let operation = plc::genesis(self, &handle, &signing_key, new.recovery_key).await?;
                (operation.genesis_did()?, Some(operation))
            }
        };
        let reserve = ReserveAccount {
            did,
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
        let reservation = self.directory(reserve).await?;
        match self.finish_signup(&reservation).await {
            Ok(account) => Ok(account),
            Err(error) => {
                let did = reservation.did;
                self.directory(ReleaseReservation { did: did.clone() }).await?;
                self.carry_notices_of(&did).await?;
                Err(error)
            }
        }
    }

    /// Goes on with the signups that a crash interrupted. Those that can't be finished now stay until they can, or
    /// until someone else wants their handle.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn resume_signups(&self) -> Result<(), XrpcError> {
        for reservation in self.directory(ListReservations { limit: RESERVATIONS_MAX }).await? {
            match self.finish_signup(&reservation).await {
                Ok(account) => tracing::info!(did = %account.did, "resumed a signup"),
                Err(error) => tracing::warn!(did = %reservation.did, %error, "a signup can't be resumed yet"),
            }
        }
        Ok(())
    }

    /// The steps after the reservation, each of which may be repeated.
    async fn finish_signup(&self, reservation: &Reservation) -> Result<Account, XrpcError> {
        let did = &reservation.did;
        if let Some(operation) = &reservation.plc_operation {
            plc::submit(self, did, operation).await?;
            if let Some(data) = operation.data(did) {
                let document = Arc::new(DidDocument::from_plc_data(&data));
                self.identities.learn(&document, self.host.now_us());
            }
        }
        let create = CreateRepo {
            did: did.as_str().to_owned(),
            handle: reservation.handle.as_str().to_owned(),
            signing_key: ByteBuf::from(reservation.signing_key.expose().to_vec()),
            active: reservation.plc_operation.is_some(),
        };
        self.account(did, create).await?;
        let account = self.directory(CompleteAccount { did: did.clone() }).await?;
        self.host.forget_cached(did, Some(&account.handle));
        Ok(account)
    }

    /// Refuses early, before anything slow, and finds out whether a handle elsewhere belongs to the DID.
    async fn check_new_handle(&self, handle: &Handle, did: Option<&Did>) -> Result<bool, XrpcError> {
        let check = CheckHandle { handle: handle.clone(), did: None, allow_reserved: false };
        match (self.directory(check).await?, did) {
            (Placement::Service, _) => Ok(false),
            (Placement::External, None) => {
                Err(XrpcError::named("UnsupportedDomain", "Not a supported handle domain"))
            }
            (Placement::External, Some(did)) => {
                self.require_handle_of(handle, did).await?;
                Ok(true)
            }
        }
    }

    /// Checks that a handle outside the service's domains names this DID now.
    pub(super) async fn require_handle_of(&self, handle: &Handle, did: &Did) -> Result<(), XrpcError> {
        match self.identities.did_of_handle(&self.host, handle, true).await {
            Ok(named) if named == *did => Ok(()),
            _ => Err(XrpcError::invalid("External handle did not resolve to DID")),
        }
    }

    /// Hashes a new password.
    async fn hash_password(&self, password: Hidden<String>) -> Result<String, XrpcError> {
        if password.expose().len() > PASSWORD_BYTES_MAX {
            return Err(XrpcError::named(
                "InvalidPassword",
                format!("Password too long. Maximum length is {PASSWORD_BYTES_MAX} bytes."),
            ));
        }
        if password.expose().is_empty() {
            return Err(XrpcError::named("InvalidPassword", "Password is empty"));
        }
        let salt = self.random();
        let hash = self.compute(move || password::hash_password(password.expose(), salt)).await?;
        hash.map_err(XrpcError::internal)
    }
}
