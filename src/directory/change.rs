//! The directory's answers that change something: its writer alone gives them.

use serde_bytes::ByteBuf;

use super::known_device::{self, Device};
use super::{
    Change, Directory, Error, Notice, Reply, browser, credentials, email, factor, flow, handle_check, import,
    invite, mail, moderation, oauth, outbox, password, registry, reserved_key, session, signed_in, signup,
    status,
};
use crate::env::Env;
use crate::store::Sql;

impl Directory {
    /// Carries out one change.
    ///
    /// # Errors
    /// [`Error`].
    pub(super) fn change(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        change: Change,
    ) -> Result<Reply, Error> {
        Ok(match change {
            Change::ReserveAccount(ask) => Reply::ReserveAccount(signup::reserve(sql, env, &ask)?),
            Change::CompleteAccount(ask) => Reply::CompleteAccount(signup::complete(sql, &ask.did)?),
            Change::ReleaseReservation(ask) => Reply::ReleaseReservation(signup::release(sql, &ask.did)?),
            Change::GetReservation(ask) => Reply::GetReservation(signup::get(sql, env, &ask.did)?),
            Change::ImportAccount(ask) => Reply::ImportAccount(import::import(sql, env, &ask)?),

            Change::UpdateHandle(ask) => Reply::UpdateHandle(status::update_handle(sql, env, &ask)?),
            Change::ListDueHandles(_) => Reply::ListDueHandles(handle_check::due(sql, env)?),
            Change::SettleHandle(ask) => Reply::SettleHandle(handle_check::settle(sql, env, &ask)?),
            Change::SetStatus(ask) => Reply::SetStatus(status::set(sql, env, &ask)?),
            Change::DeleteAccount(ask) => Reply::DeleteAccount(flow::delete_account(sql, env, &ask)?),

            Change::SendCode(ask) => Reply::SendCode(mail::send_code(sql, env, &ask)?),
            Change::SendLetter(ask) => Reply::SendLetter(mail::send_letter(sql, env, &ask)?),
            Change::SettleMail(ask) => Reply::SettleMail(mail::settle(sql, env, &ask)?),
            Change::ConfirmEmail(ask) => Reply::ConfirmEmail(email::confirm(sql, env, &ask)?),
            Change::UpdateEmail(ask) => Reply::UpdateEmail(email::update(sql, env, &ask)?),
            Change::ResetPassword(ask) => Reply::ResetPassword(password::reset(sql, env, &ask)?),
            Change::SetPassword(ask) => Reply::SetPassword(password::set(sql, env, &ask)?),
            Change::ChangePassword(ask) => Reply::ChangePassword(password::change(sql, env, &ask)?),

            Change::GetCredentials(ask) => {
                self.doors.knock(sql, env, &ask)?;
                Reply::GetCredentials(credentials::get(sql, &ask)?)
            }
            Change::OpenSession(ask) => {
                let session = credentials::open_session(sql, env, &ask)?;
                let device = Device { client: ask.client.as_deref(), program: ask.device.as_deref() };
                known_device::note(sql, env, &session.account, &ask.proof, device)?;
                if let Some(client) = &ask.client {
                    self.doors.let_in(env, &ask.did, client);
                }
                Reply::OpenSession(session)
            }
            Change::RotateSession(ask) => Reply::RotateSession(session::rotate(sql, env, &ask.id)?),
            Change::CloseSession(ask) => Reply::CloseSession(credentials::close_session(sql, &ask.id)?),
            Change::CreateAppPassword(ask) => {
                Reply::CreateAppPassword(credentials::create_app_password(sql, env, &ask)?)
            }
            Change::RevokeAppPassword(ask) => {
                Reply::RevokeAppPassword(credentials::revoke_app_password(sql, &ask.did, &ask.name)?)
            }

            Change::RevokeCredentials(ask) => Reply::RevokeCredentials(credentials::revoke(sql, &ask)?),

            Change::IssueAgentToken(ask) => {
                Reply::IssueAgentToken(registry::issue_token(sql, env, &ask.did)?)
            }
            Change::OweAgentToken(ask) => Reply::OweAgentToken(registry::owe_token(sql, &ask.did)?),
            Change::ClaimAgentToken(ask) => {
                Reply::ClaimAgentToken(registry::claim_token(sql, env, &ask.did)?)
            }
            Change::RotateAgentToken(ask) => {
                Reply::RotateAgentToken(credentials::rotate_token(sql, env, &ask)?)
            }
            Change::SettleAgentToken(ask) => {
                Reply::SettleAgentToken(credentials::settle_token(sql, &ask.digest)?)
            }
            Change::RevokeAgentTokens(ask) => {
                Reply::RevokeAgentTokens(credentials::revoke_tokens(sql, &ask.did)?)
            }

            Change::CreateInviteCodes(ask) => Reply::CreateInviteCodes(invite::create(sql, env, &ask)?),
            Change::DisableInviteCodes(ask) => {
                Reply::DisableInviteCodes(moderation::disable_codes(sql, &ask)?)
            }
            Change::SetInvitesDisabled(ask) => {
                Reply::SetInvitesDisabled(moderation::set_invites_disabled(sql, &ask)?)
            }

            Change::ReserveSigningKey(ask) => {
                Reply::ReserveSigningKey(reserved_key::reserve(sql, env, &ask)?)
            }

            Change::BeginConsent(ask) => {
                oauth::begin(sql, env, &ask)?;
                if let (Some(client), true) = (&ask.client, ask.proof.has_knocked()) {
                    self.doors.let_in(env, &ask.did, client);
                }
                Reply::BeginConsent(())
            }
            Change::GrantConsent(ask) => Reply::GrantConsent(oauth::grant(sql, env, &ask)?),
            Change::DropConsent(ask) => Reply::DropConsent(oauth::drop(sql, env, &ask)?),
            Change::RedeemCode(ask) => Reply::RedeemCode(oauth::redeem(sql, env, &ask)?),
            Change::RefreshOauthSession(ask) => Reply::RefreshOauthSession(oauth::refresh(sql, env, &ask)?),
            Change::CloseOauthSession(ask) => Reply::CloseOauthSession(oauth::close(sql, &ask)?),

            Change::OpenBrowserSession(ask) => {
                browser::open(sql, env, &ask)?;
                if let (Some(client), true) = (&ask.client, ask.proof.has_knocked()) {
                    self.doors.let_in(env, &ask.did, client);
                }
                Reply::OpenBrowserSession(())
            }
            Change::CloseBrowserSession(ask) => Reply::CloseBrowserSession(browser::close(sql, &ask)?),
            Change::EndSignedIn(ask) => Reply::EndSignedIn(signed_in::end(sql, &ask)?),

            Change::BeginHalfSignIn(ask) => Reply::BeginHalfSignIn(factor::begin(sql, env, &ask)?),
            Change::PassFactor(ask) => Reply::PassFactor(factor::pass(sql, env, &mut self.doors, &ask)?),
            Change::UsePasskey(ask) => Reply::UsePasskey(factor::sign_in(sql, env, &ask)?),
            Change::AddPasskey(ask) => Reply::AddPasskey(factor::add(sql, env, &mut self.doors, &ask)?),
            Change::RemovePasskey(ask) => {
                Reply::RemovePasskey(factor::drop_passkey(sql, env, &mut self.doors, &ask)?)
            }
            Change::BeginTotp(ask) => Reply::BeginTotp(factor::begin_totp(sql, env, &ask)?),
            Change::ConfirmTotp(ask) => Reply::ConfirmTotp(factor::confirm(sql, env, &mut self.doors, &ask)?),
            Change::StopTotp(ask) => Reply::StopTotp(factor::stop(sql, env, &mut self.doors, &ask)?),
            Change::RenewRecoveryCodes(ask) => {
                Reply::RenewRecoveryCodes(factor::renew(sql, env, &mut self.doors, &ask)?)
            }

            Change::GetRotationKey(_) => Reply::GetRotationKey(self.rotation_key.did_key()),
            Change::SignPlcOperation(ask) => {
                Reply::SignPlcOperation(ByteBuf::from(self.rotation_key.sign(&ask.unsigned)))
            }

            Change::KeepExportNote(ask) => {
                let notice = Notice::Exported { made_us: env.now_us };
                Reply::KeepExportNote(outbox::push(sql, &ask.did, &notice)?)
            }
            Change::ClearOutbox(ask) => Reply::ClearOutbox(outbox::clear(sql, ask.id)?),

            Change::BeginFlow(ask) => Reply::BeginFlow(flow::begin(sql, env, &ask)?),
            Change::CompleteFlow(ask) => Reply::CompleteFlow(flow::complete(sql, env, &ask)?),
            Change::DropFlow(ask) => Reply::DropFlow(flow::drop(sql, &ask)?),
        })
    }
}
