//! The directory's answers that change nothing: any connection may give them.

use super::{
    Error, Query, Reply, account, app_password, browser, credentials, factor, flow, invite, mail, mail_code,
    moderation, oauth, outbox, registry, reserved_key, signed_in, signup, status,
};
use crate::env::Env;
use crate::store::Sql;

/// Answers what the database alone can answer.
///
/// # Errors
/// [`Error`].
pub(super) fn read(sql: &dyn Sql, env: &Env<'_>, query: Query) -> Result<Reply, Error> {
    Ok(match query {
        Query::GetAccount(ask) => Reply::GetAccount(account::get(sql, &ask.who)?),
        Query::Prove(ask) => Reply::Prove(credentials::prove(sql, &ask.did, &ask.proof).map(|_| ())?),
        Query::GetStatus(ask) => Reply::GetStatus(account::status(sql, &ask.did)?),
        Query::ListAccounts(ask) => Reply::ListAccounts(account::list(sql, &ask)?),
        Query::ListStandings(ask) => Reply::ListStandings(account::standings(sql, &ask)?),
        Query::CheckHandle(ask) => Reply::CheckHandle(status::check_handle(sql, env, &ask)?),
        Query::ListAppPasswords(ask) => Reply::ListAppPasswords(app_password::list(sql, &ask.did)?),
        Query::FindAgentToken(ask) => Reply::FindAgentToken(registry::find_token(sql, &ask.digest)?),
        Query::ListInviteCodes(ask) => Reply::ListInviteCodes(invite::list(sql, &ask)?),
        Query::PageInviteCodes(ask) => Reply::PageInviteCodes(invite::page(sql, &ask)?),
        Query::ListAccountInfos(ask) => Reply::ListAccountInfos(moderation::infos(sql, &ask)?),
        Query::SearchAccounts(ask) => Reply::SearchAccounts(moderation::search(sql, &ask)?),
        Query::ListReservations(ask) => Reply::ListReservations(signup::list(sql, ask.limit)?),
        Query::ReadOutbox(ask) => Reply::ReadOutbox(outbox::read(sql, &ask)?),
        Query::GetFlow(ask) => Reply::GetFlow(flow::get(sql, &ask.did)?),
        Query::ListFlows(ask) => Reply::ListFlows(flow::list(sql, &ask)?),
        Query::FindMailCode(ask) => {
            Reply::FindMailCode(mail_code::find(sql, env, ask.purpose, ask.code.expose())?)
        }
        Query::GetReservedKey(ask) => Reply::GetReservedKey(reserved_key::get(sql, env, &ask.did)?),
        Query::ListDueMail(_) => Reply::ListDueMail(mail::due(sql, env)?),
        Query::GetBrowserSession(ask) => Reply::GetBrowserSession(browser::get(sql, env, &ask)?),
        Query::ListSignedIn(ask) => Reply::ListSignedIn(signed_in::list(sql, env, &ask.did)?),
        Query::GetFactors(ask) => Reply::GetFactors(factor::get(sql, env, &ask.did)?),
        Query::GetHalfSignIn(ask) => Reply::GetHalfSignIn(factor::half(sql, env, &ask)?),
        Query::GetConsent(ask) => Reply::GetConsent(oauth::get(sql, env, &ask)?),
    })
}
