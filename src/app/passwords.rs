//! Codes by mail, and what sets a password anew.

use std::sync::Arc;

use super::{App, Error};
use crate::crypto::sha256;
use crate::directory::{ChangePassword, FindMailCode, Proof, ResetPassword, SendCode, SetPassword, Who};
use crate::mail::MailPurpose;
use crate::seam::Hidden;
use crate::syntax::Did;

impl App {
    /// Mails a code to an account's address; `false` where none is needed.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn send_code(self: &Arc<Self>, who: Who, purpose: MailPurpose) -> Result<bool, Error> {
        let was_sent = self.directory(SendCode { who, purpose }).await?;
        self.post_soon();
        Ok(was_sent)
    }

    /// Sets another password with a mailed code. What is slow is begun for a code that is good only.
    ///
    /// # Errors
    /// Of the directory; [`Error::InvalidPassword`], and then the code stays good.
    pub async fn reset_password(
        self: &Arc<Self>,
        code: Hidden<String>,
        password: Hidden<String>,
    ) -> Result<(), Error> {
        let find = FindMailCode { purpose: MailPurpose::ResetPassword, code: code.clone() };
        self.directory(find).await?;
        let password_hash = Hidden::new(self.hash_password(password).await?);
        self.change_whose(ResetPassword { code, password_hash }, |did| Some(did.clone())).await?;
        self.post_soon();
        Ok(())
    }

    /// Sets another password, by the owner who has just shown the old one; gives what proves the owner now. All sessions
    /// end.
    ///
    /// # Errors
    /// Of the directory; [`Error::InvalidPassword`].
    pub async fn change_password(
        self: &Arc<Self>,
        did: &Did,
        proof: Proof,
        password: Hidden<String>,
    ) -> Result<Proof, Error> {
        let password_hash = Hidden::new(self.hash_password(password).await?);
        let changed = Proof::Password(sha256(password_hash.expose().as_bytes()));
        self.change(did, ChangePassword { did: did.clone(), proof, password_hash }).await?;
        self.post_soon();
        Ok(changed)
    }

    /// Sets another password, by the operator.
    ///
    /// # Errors
    /// Of the directory; [`Error::InvalidPassword`].
    pub async fn set_password(self: &Arc<Self>, did: &Did, password: Hidden<String>) -> Result<(), Error> {
        let password_hash = Hidden::new(self.hash_password(password).await?);
        self.change(did, SetPassword { did: did.clone(), password_hash }).await?;
        self.post_soon();
        Ok(())
    }
}
