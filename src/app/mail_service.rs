//! Mail through an HTTP service: a POST of JSON with a Bearer token, as Resend and those that follow it take it.
//!
//! `Idempotency-Key` is the mail's own name, so that a service that has a mail already does not send it again.

use bytes::Bytes;
use http::{StatusCode, header};
use serde::Serialize;

use crate::config::{MailService, Mailbox};
use crate::host::{Host, MailFailure, ToOperatorsOrigin};
use crate::mail::Mail;

/// Characters of a service's refusal that are worth a place in the log.
const REASON_CHARS_MAX: usize = 200;

#[derive(Serialize)]
struct Body<'a> {
    from: &'a str,
    to: [&'a str; 1],
    subject: &'a str,
    text: &'a str,
    html: &'a str,
}

/// Hands a mail to the service.
///
/// # Errors
/// [`MailFailure`]: whether to try again.
pub async fn send(
    host: &dyn Host,
    service: &MailService,
    from: &Mailbox,
    mail: &Mail,
) -> Result<(), MailFailure> {
    let request = request(service, from, mail).map_err(|error| MailFailure::Refused(error.to_string()))?;
    let response = host.fetch(request).await.map_err(|error| MailFailure::Later(error.to_string()))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let reason: String = String::from_utf8_lossy(response.body())
        .chars()
        .filter(|char| !char.is_control())
        .take(REASON_CHARS_MAX)
        .collect();
    let why = format!("the mail service answered {status}: {reason}");
    // What is wrong with the token or the account can be set right; what is wrong with the mail can't.
    let is_final = matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE
    );
    Err(if is_final { MailFailure::Refused(why) } else { MailFailure::Later(why) })
}

fn request(
    service: &MailService,
    from: &Mailbox,
    mail: &Mail,
) -> Result<http::Request<Bytes>, Box<dyn std::error::Error + Send + Sync>> {
    let from = from.to_string();
    let (text, html) = (mail.text.expose(), mail.html.expose());
    let body = Body { from: &from, to: [&mail.to], subject: &mail.subject, text, html };
    let mut request = http::Request::post(&service.url)
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", &mail.id)
        .extension(ToOperatorsOrigin);
    if let Some(token) = &service.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.as_str()));
    }
    Ok(request.body(Bytes::from(serde_json::to_vec(&body)?))?)
}
