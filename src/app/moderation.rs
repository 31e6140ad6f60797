//! What the operator does to accounts: takes them down, or a record or blob of theirs, and lets go again; what the operator
//! may not, since it would open memories.

use std::sync::Arc;

use super::{App, Error};
use crate::account;
use crate::actor::Kind;
use crate::blobs::{GetBlobTakedown, SetBlobTakedown};
use crate::data_model::Cid;
use crate::directory::{self, GetAccount, ListAccountInfos, RevokeCredentials, SetStatus, StatusChange, Who};
use crate::repo::{Counts, GetRecordTakedown, SetRecordTakedown};
use crate::syntax::{Did, Nsid, RecordKey};

/// What can be taken down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An account with all it has.
    Account(Did),
    /// A record, by name and in lists; the repo stays whole.
    Record {
        /// Whose.
        did: Did,
        /// The collection.
        collection: Nsid,
        /// The record key.
        rkey: RecordKey,
    },
    /// A blob.
    Blob {
        /// Whose.
        did: Did,
        /// Its CID.
        cid: Cid,
    },
}

/// Where a subject stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectStanding {
    /// The moderators' reference, when it was taken down.
    pub takedown: Option<String>,
    /// Of an account: whether its owner put it to rest.
    pub deactivated: Option<bool>,
    /// Of a record.
    pub cid: Option<Cid>,
}

impl App {
    /// Where a subject stands; `None` when there is none.
    ///
    /// # Errors
    /// Of the cells.
    pub async fn standing(&self, subject: &Subject) -> Result<Option<SubjectStanding>, Error> {
        let none = SubjectStanding { takedown: None, deactivated: None, cid: None };
        let found = match subject {
            Subject::Account(did) => {
                let info = self.directory(ListAccountInfos { dids: vec![did.clone()] }).await?.pop();
                return Ok(info.map(|info| SubjectStanding {
                    takedown: info.takedown,
                    deactivated: Some(info.deactivated_us.is_some()),
                    cid: None,
                }));
            }
            Subject::Record { did, collection, rkey } => {
                let get = GetRecordTakedown { collection: collection.clone(), rkey: rkey.clone() };
                let found = self.account(did, get).await;
                found.map(|found| {
                    found.map(|found| SubjectStanding {
                        takedown: found.takedown,
                        cid: Some(found.cid),
                        ..none
                    })
                })
            }
            Subject::Blob { did, cid } => {
                let found = self.account(did, GetBlobTakedown { cid: *cid }).await;
                found.map(|found| found.map(|found| SubjectStanding { takedown: found.takedown, ..none }))
            }
        };
        match found {
            Err(Error::Account(account::Error::NoRepo)) => Ok(None),
            found => found,
        }
    }

    /// Takes a subject down, under the moderators' reference; without one lets it go. Of an account the network is told.
    ///
    /// # Errors
    /// [`Error::Full`], before anything is done: the directory would have room for its part, and the account none. Those of
    /// the cells.
    pub async fn moderate(
        self: &Arc<Self>,
        subject: &Subject,
        reference: Option<String>,
    ) -> Result<(), Error> {
        match subject {
            Subject::Account(did) => {
                let change = match reference {
                    Some(_) => StatusChange::TakeDown { reference },
                    None => StatusChange::Restore,
                };
                self.require_room()?;
                self.change(did, SetStatus { did: did.clone(), change }).await?;
                self.carry_notices_of(did).await
            }
            Subject::Record { did, collection, rkey } => {
                let (collection, rkey) = (collection.clone(), rkey.clone());
                self.account(did, SetRecordTakedown { collection, rkey, reference }).await
            }
            Subject::Blob { did, cid } => self.account(did, SetBlobTakedown { cid: *cid, reference }).await,
        }
    }

    /// Refuses what would let the operator sign in to an account that has memories, or will: who sets its password, or the
    /// address that resets it, reads them.
    ///
    /// # Errors
    /// [`Error::OpensMemories`], and of the cells.
    pub async fn require_closed_to_operator(&self, did: &Did) -> Result<(), Error> {
        let account = self.directory(GetAccount { who: Who::Did(did.clone()) }).await?;
        let account = account.ok_or(Error::Directory(directory::Error::AccountNotFound))?;
        let memories = match self.account(did, Counts {}).await {
            Err(Error::Account(account::Error::NoRepo)) => 0,
            counts => counts?.memories,
        };
        if account.kind == Kind::Agent || memories > 0 { Err(Error::OpensMemories) } else { Ok(()) }
    }

    /// Ends an account's sessions, app passwords and password: its owner sets another by mail. An agent's own token stays,
    /// which nobody could make anew.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn revoke_credentials(self: &Arc<Self>, did: &Did) -> Result<(), Error> {
        self.change(did, RevokeCredentials { did: did.clone() }).await
    }
}
