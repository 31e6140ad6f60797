//! Looking again at handles on domains of their owners: what is due, a few at a time.
//!
//! The directory decides what is due and what becomes of it ([`crate::directory::SettleHandle`]); it is looked as everybody
//! else would, both ways: the domain has to name the account, and the account's document the handle. One at it in the whole
//! network, in the place where changes are carried out ([`super::flows`]).

use futures::future::join_all;

use super::{App, Error};
use crate::directory::{DueHandles, HandleSeen, HandleTurn, ListDueHandles, SettleHandle};
use crate::identity::{IdentityError, did_of_txt_records};
use crate::syntax::{Did, Handle};

/// Rounds of one call: a host that may be stopped between two calls begins anew often enough.
const ROUNDS_MAX: usize = 50;

impl App {
    /// Looks at the handles that are due, for the one who carries out changes; when there are some again, if any. Where
    /// somebody is at it already, there is nothing to do.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn check_handles(&self) -> Result<Option<i64>, Error> {
        let Some(_turn) = self.flows.own()?.checking.try_lock() else { return Ok(None) };
        for _ in 0..ROUNDS_MAX {
            let DueHandles { handles, next_us } = self.directory(ListDueHandles {}).await?;
            if handles.is_empty() && next_us.is_none_or(|next_us| next_us > self.host.now_us()) {
                return Ok(next_us);
            }
            let looked = handles.into_iter().map(|(did, handle)| self.look_and_settle(did, handle));
            for settled in join_all(looked).await {
                settled?;
            }
        }
        Ok(Some(self.host.now_us()))
    }

    async fn look_and_settle(&self, did: Did, handle: Handle) -> Result<(), Error> {
        let seen = self.look_at_handle(&did, &handle).await;
        let settle = SettleHandle { did: did.clone(), handle: handle.clone(), seen };
        match self.directory(settle).await? {
            HandleTurn::Same => return Ok(()),
            HandleTurn::Lost => {
                tracing::warn!(%did, %handle, "a handle does not lead to its account any more, and is shown as invalid");
            }
            HandleTurn::Back => tracing::info!(%did, %handle, "a handle leads to its account again"),
        }
        self.accounts.forget(&did, Some(&handle));
        // What can't be brought now is brought with all other notices.
        if let Err(error) = self.carry_notices_of(&did).await {
            tracing::warn!(%did, %error, "a notice of a handle waits for the next try");
        }
        Ok(())
    }

    /// What anybody sees of an account's handle who asks now.
    async fn look_at_handle(&self, did: &Did, handle: &Handle) -> HandleSeen {
        match self.identities.did_of_handle(&self.host, handle, true).await {
            Ok(named) if named == *did => {}
            // The DNS goes before a file, so that the file is heard alone where the DNS is; it may not have been before.
            Ok(_) => match self.host.txt_records(format!("_atproto.{handle}")).await {
                Ok(records) if did_of_txt_records(&records).as_ref() == Some(did) => {}
                Ok(_) => return HandleSeen::Fails,
                Err(_) => return HandleSeen::Unknown,
            },
            Err(IdentityError::NotFound) => return HandleSeen::Fails,
            Err(error) => {
                tracing::debug!(%did, %handle, %error, "a handle could not be looked at");
                return HandleSeen::Unknown;
            }
        }
        match self.identities.did_document(&self.host, did, true).await {
            Ok(document) if document.handle().as_ref() == Some(handle) => HandleSeen::Leads,
            Ok(_) => HandleSeen::Fails,
            Err(_) => HandleSeen::Unknown,
        }
    }
}
