//! Mail as it leaves one machine: by SMTP, through an HTTP service, or into the log of a developer.

use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::fetch::install_tls_provider;
use crate::app::mail_service;
use crate::config::{self, MailRoute, MailService, Mailing, SmtpSecurity, SmtpServer};
use crate::host::{Host, HostError, MailFailure};
use crate::mail::Mail;

/// How long a mail server may take for one mail, all in all: one that gives a byte a second holds up those behind it.
const SMTP_TIMEOUT: Duration = Duration::from_secs(30);

/// How mail leaves this machine.
pub(super) enum Postman {
    Off,
    Printed,
    Smtp { from: Mailbox, server: AsyncSmtpTransport<Tokio1Executor> },
    Http { from: config::Mailbox, service: MailService },
}

impl Postman {
    /// # Errors
    /// When the mail server's name can't be one.
    pub(super) fn new(mailing: &Mailing) -> Result<Self, HostError> {
        Ok(match mailing {
            Mailing::Off => Self::Off,
            Mailing::Printed => Self::Printed,
            Mailing::Sent { from, route: MailRoute::Http(service) } => {
                Self::Http { from: from.clone(), service: service.clone() }
            }
            Mailing::Sent { from, route: MailRoute::Smtp(server) } => {
                let unusable = |error: &dyn std::fmt::Display| HostError::Storage(format!("mail: {error}"));
                let address = from.address.parse::<Address>().map_err(|error| unusable(&error))?;
                let from = Mailbox::new(from.name.clone(), address);
                Self::Smtp { from, server: transport(server).map_err(|error| unusable(&error))? }
            }
        })
    }

    pub(super) async fn send(&self, host: &dyn Host, mail: &Mail) -> Result<(), MailFailure> {
        match self {
            Self::Off => Err(MailFailure::Refused("this server sends no mail".to_owned())),
            Self::Printed => {
                let (to, subject, text) = (&mail.to, &mail.subject, mail.text.expose());
                tracing::warn!(
                    "no mail server is set, so this is the mail to {to}: {subject}\n\n{}\n",
                    text.trim_end()
                );
                Ok(())
            }
            Self::Http { from, service } => mail_service::send(host, service, from, mail).await,
            Self::Smtp { from, server } => {
                let message = message(from, mail).map_err(|error| MailFailure::Refused(error.to_string()))?;
                match tokio::time::timeout(SMTP_TIMEOUT, server.send(message)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(failure(&error)),
                    Err(_) => Err(MailFailure::Later("the mail server takes too long".to_owned())),
                }
            }
        }
    }
}

fn transport(server: &SmtpServer) -> Result<AsyncSmtpTransport<Tokio1Executor>, HostError> {
    install_tls_provider();
    let unusable = |error: lettre::transport::smtp::Error| HostError::Storage(error.to_string());
    type Transport = AsyncSmtpTransport<Tokio1Executor>;
    let builder = match server.security {
        SmtpSecurity::Tls => Transport::relay(&server.host).map_err(unusable)?,
        SmtpSecurity::StartTls => Transport::starttls_relay(&server.host).map_err(unusable)?,
        SmtpSecurity::Plain => Transport::builder_dangerous(&server.host),
    };
    let builder = builder.port(server.port).timeout(Some(SMTP_TIMEOUT));
    Ok(match &server.credentials {
        None => builder.build(),
        Some(given) => {
            let password = given.password.as_str().to_owned();
            builder.credentials(Credentials::new(given.user.clone(), password)).build()
        }
    })
}

fn message(from: &Mailbox, mail: &Mail) -> Result<Message, Box<dyn std::error::Error + Send + Sync>> {
    let (text, html) = (mail.text.expose().clone(), mail.html.expose().clone());
    let message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, mail.to.parse()?))
        .subject(mail.subject.clone())
        .message_id(Some(format!("<{}>", mail.id)))
        .multipart(MultiPart::alternative_plain_html(text, html))?;
    Ok(message)
}

/// A mail server that says no for good to one mail is believed; one that can't be reached, or wants other credentials, is
/// asked again: those are the operator's to set right.
fn failure(error: &lettre::transport::smtp::Error) -> MailFailure {
    let why = error.to_string();
    let concerns_us = error.status().is_some_and(|code| matches!(u16::from(code), 500..=504 | 530..=539));
    if error.is_permanent() && !concerns_us { MailFailure::Refused(why) } else { MailFailure::Later(why) }
}
