//! Sending the mails that wait in the directory: what is due, a few at a time, until nothing is.
//!
//! The directory decides what is due and when again; the host knows how mail leaves. One at it in the whole network, in the
//! place where changes are carried out ([`super::flows`]); a mail that is slow to go delays those behind it, for as long as
//! a host waits for its mail server, and nobody's request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;

use super::{App, Error};
use crate::directory::{ListDueMail, MailOutcome, SettleMail, WaitingMail};
use crate::host::MailFailure;
use crate::mail;

impl App {
    /// Has the mail that waits sent soon, by a task of its own; elsewhere the directory's own host sees to it. However many
    /// ask, one waits for its turn.
    pub fn post_soon(self: &Arc<Self>) {
        let Ok(here) = self.flows.own() else { return };
        if here.posts_soon.swap(true, Ordering::AcqRel) {
            return;
        }
        let app = Arc::clone(self);
        (self.flows.spawn)(Box::pin(async move {
            if let Err(error) = app.post().await {
                tracing::warn!(%error, "mail waits for the next try");
            }
        }));
    }

    /// Sends the mail that is due, for the one who carries out changes; when there is some again, if any waits.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn post(&self) -> Result<Option<i64>, Error> {
        let here = self.flows.own()?;
        let _turn = here.posting.lock().await;
        // What is asked for from now on may come too late for this round.
        here.posts_soon.store(false, Ordering::Release);
        loop {
            let due = self.directory(ListDueMail {}).await?;
            if due.mails.is_empty() {
                return Ok(due.next_us);
            }
            for settled in join_all(due.mails.iter().map(|mail| self.send_and_settle(mail))).await {
                settled?;
            }
        }
    }

    async fn send_and_settle(&self, waiting: &WaitingMail) -> Result<(), Error> {
        let outcome = self.send(waiting).await;
        self.directory(SettleMail { id: waiting.id, outcome }).await
    }

    /// Neither recipient nor words get into the log.
    async fn send(&self, waiting: &WaitingMail) -> MailOutcome {
        let (id, attempts) = (waiting.id, waiting.attempts);
        let Some(addressed) = &waiting.addressed else {
            tracing::error!(mail = id, "a mail is damaged, and is not sent");
            return MailOutcome::Refused;
        };
        let host = self.network.service_did.trim_start_matches("did:web:").replace("%3A", ".");
        let mail_id = format!("{}.{id}@{host}", waiting.created_us);
        let mail = match mail::write(mail_id, addressed, &self.network.public_url) {
            Ok(mail) => mail,
            Err(error) => {
                tracing::error!(mail = id, %error, "a mail is not sent");
                return MailOutcome::Refused;
            }
        };
        match self.host.send_mail(mail).await {
            Ok(()) => MailOutcome::Delivered,
            Err(MailFailure::Refused(why)) => {
                tracing::warn!(mail = id, %why, "a mail is refused, and is not tried again");
                MailOutcome::Refused
            }
            Err(MailFailure::Later(why)) => {
                tracing::warn!(mail = id, attempts, %why, "a mail waits for the next try");
                MailOutcome::Later
            }
        }
    }
}
