//! How mail leaves: the settings `smtp-url`, `mail-url`, `mail-token` and `mail-from` together.

use std::fmt;

use zeroize::Zeroizing;

use super::parse;
use crate::mail::address;

/// How mail leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailing {
    /// Not at all: what needs it is refused.
    Off,
    /// Into the log, where a developer reads it.
    Printed,
    /// By a mail server.
    Sent {
        /// From whom.
        from: Mailbox,
        /// By which.
        route: MailRoute,
    },
}

impl Mailing {
    /// The origin of an HTTP service for mail, which the operator trusts.
    pub fn http_origin(&self) -> Option<String> {
        let Self::Sent { route: MailRoute::Http(service), .. } = self else { return None };
        Some(url::Url::parse(&service.url).ok()?.origin().ascii_serialization())
    }
}

/// Whom mail goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailRoute {
    /// A mail server.
    Smtp(SmtpServer),
    /// An HTTP service.
    Http(MailService),
}

/// An address with a name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Printable ASCII without quotes and brackets.
    pub name: Option<String>,
    /// As [`address()`] has it.
    pub address: String,
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => f.write_str(&self.address),
        }
    }
}

/// A mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpServer {
    /// Its name, or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub security: SmtpSecurity,
    /// What it wants to see.
    pub credentials: Option<SmtpCredentials>,
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the first byte: `smtps`.
    Tls,
    /// TLS after STARTTLS, or not at all: `smtp`.
    StartTls,
    /// In the clear: `smtp` on this machine.
    Plain,
}

/// A user of a mail server.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpCredentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for SmtpCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmtpCredentials(hidden)")
    }
}

/// An HTTP service that takes a mail as JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct MailService {
    /// Where a mail is posted.
    pub url: String,
    /// Its Bearer token.
    pub token: Option<Zeroizing<String>>,
}

impl fmt::Debug for MailService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailService({})", self.url)
    }
}

/// Reads `smtps://user:password@host:port`. The message never shows the text: a password is in it.
pub(super) fn smtp(text: &str) -> Result<SmtpServer, String> {
    let wrong = |why: &str| format!("{why}; write it as smtps://user:password@mail.example.com");
    let url = url::Url::parse(text).map_err(|_| wrong("it is not a URL"))?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it has no host"))?;
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("only scheme, user, password, host and port are allowed"));
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let (security, port) = match url.scheme() {
        "smtps" => (SmtpSecurity::Tls, 465),
        "smtp" if is_here => (SmtpSecurity::Plain, 25),
        "smtp" => (SmtpSecurity::StartTls, 587),
        _ => return Err(wrong("its scheme is neither smtps nor smtp")),
    };
    let decoded = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        let decoded = decoded.map(std::borrow::Cow::into_owned).ok();
        decoded
            .filter(|text| !text.contains(char::is_control))
            .ok_or_else(|| wrong("its password is no text"))
    };
    let credentials = match (url.username(), url.password()) {
        ("", None) => None,
        (user, Some(password)) if !user.is_empty() => {
            Some(SmtpCredentials { user: decoded(user)?, password: Zeroizing::new(decoded(password)?) })
        }
        _ => return Err(wrong("user and password come together")),
    };
    Ok(SmtpServer { host: bare.to_owned(), port: url.port().unwrap_or(port), security, credentials })
}

/// Reads an address, `mail@example.com`, or one with a name, `Agents <mail@example.com>`.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    let wrong = || format!("`{text}` is not an address; write it as Agents <mail@example.com>");
    let (name, bare) = match text.trim().strip_suffix('>').and_then(|text| text.split_once('<')) {
        Some((name, bare)) => (Some(name.trim()), bare),
        None => (None, text.trim()),
    };
    let is_plain = |char: char| char.is_ascii_alphanumeric() || " -_.'".contains(char);
    if name.is_some_and(|name| name.is_empty() || !name.chars().all(is_plain)) {
        return Err(format!("`{text}`: a name has letters, digits, spaces and - _ . ' only"));
    }
    let address = address(bare).ok_or_else(wrong)?;
    Ok(Mailbox { name: name.map(str::to_owned), address })
}

/// Reads where an HTTP service takes mails: https, but on this machine; no credentials, which have a setting.
pub(super) fn service_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text)
        .map_err(|_| format!("`{text}` is not a URL; write it as https://api.example.com/emails"))?;
    parse::origin(&url.origin().ascii_serialization())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user name or password can't be part of it: give --mail-token".to_owned());
    }
    if url.scheme() != "https" && !super::is_local(text) {
        return Err("http is for localhost only: codes that open accounts are in mails".to_owned());
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_is_spoken_to_in_the_clear_on_this_machine_only() {
        for (text, host, port, security) in [
            ("smtps://mail.example.com", "mail.example.com", 465, SmtpSecurity::Tls),
            ("smtp://mail.example.com", "mail.example.com", 587, SmtpSecurity::StartTls),
            ("smtp://mail.example.com:25", "mail.example.com", 25, SmtpSecurity::StartTls),
            ("smtp://localhost:1025/", "localhost", 1025, SmtpSecurity::Plain),
            ("smtp://127.0.0.1:1025", "127.0.0.1", 1025, SmtpSecurity::Plain),
            ("smtp://[::1]:1025", "::1", 1025, SmtpSecurity::Plain),
        ] {
            let expected = SmtpServer { host: host.to_owned(), port, security, credentials: None };
            assert_eq!(smtp(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_password_is_decoded_and_never_said() {
        let server = smtp("smtps://me%40example.com:p%2Fss%20word@mail.example.com").unwrap();
        let credentials = server.credentials.as_ref().unwrap();
        assert_eq!((&*credentials.user, &**credentials.password), ("me@example.com", "p/ss word"));
        assert!(!format!("{server:?}").contains("word"));
        for wrong in [
            "smtps://me:secretword@",
            "https://me:secretword@mail.example.com",
            "smtps://secretword@mail.example.com",
            "smtps://:secretword@mail.example.com",
            "smtps://me:secretword%0d%0aRSET@mail.example.com",
            "smtps://me:secretword@mail.example.com/path",
            "secretword",
        ] {
            let refused = smtp(wrong).unwrap_err();
            assert!(!refused.contains("secretword"), "{refused}");
        }
    }

    #[test]
    fn senders_have_an_address_and_maybe_a_plain_name() {
        assert_eq!(mailbox("Mail@example.com").unwrap().to_string(), "mail@example.com");
        assert_eq!(
            mailbox("Our Agents <mail@example.com>").unwrap().to_string(),
            "Our Agents <mail@example.com>"
        );
        for wrong in ["", "mail", "<mail@example.com>", "A\r\nB <a@b.c>", "\"A\" <a@b.c>", "a@b.c, d@e.f"] {
            assert!(mailbox(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn services_are_reached_by_https() {
        let url = "https://api.example.com/emails";
        assert_eq!(service_url(url).as_deref(), Ok(url));
        assert!(service_url("http://localhost:8025/emails").is_ok());
        for wrong in
            ["http://api.example.com/", "https://me:word@api.example.com/", "ftp://localhost/", "mail"]
        {
            assert!(service_url(wrong).is_err(), "{wrong}");
        }
    }
}
