//! The server's configuration: one struct, given in three equal forms.
//!
//! A flag (`--public-url`), an environment variable (`ZAP_PUBLIC_URL`) and a key of a TOML file (`public-url`) mean the
//! same; a flag wins over the environment, that over the file, that over the default. [`settings`] is the one table
//! that all three, the help and `zap config` are made from; [`layers`] decides who wins; here the winners become
//! values, checked as a whole; [`secrets`] reads or makes the two keys a server needs.
//!
//! Nothing here says a secret: messages about them tell their length at most.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::env::Network;
use crate::rate_limit::Rates;
use crate::syntax::Did;
use crate::vault::MasterKey;

mod error;
mod folder;
pub mod layers;
mod mail;
mod parse;
pub mod secrets;
pub mod settings;

pub use error::ConfigError;
pub use folder::FolderLock;
pub use layers::{Effective, FileTexts, Layers, Source, Texts};
pub use mail::{MailRoute, MailService, Mailbox, Mailing, SmtpCredentials, SmtpSecurity, SmtpServer};
pub use secrets::Secrets;
pub use settings::{SETTINGS, Setting};

/// Whether a data folder holds a network already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkAge {
    /// It is being made now.
    New,
    /// It was there before.
    Grown,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Compact on a terminal, JSON otherwise.
    Auto,
    /// One line for people.
    Compact,
    /// One JSON object a line.
    Json,
}

/// Another service that the operator chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Whose it is.
    pub did: Did,
    /// Where it is: an origin, without a trailing slash.
    pub url: String,
}

/// Those that are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// Where methods go that are nobody else's.
    pub appview: Option<Service>,
    /// Where `tools.ozone` goes.
    pub moderation: Option<Service>,
    /// Where reports go: to moderation, unless it is set.
    pub reports: Option<Service>,
}

impl Services {
    fn read(read: &Reader<'_>) -> Result<Self, ConfigError> {
        let service = |url: &'static str, did: &'static str| match (
            read.optional(url, parse::origin)?,
            read.optional(did, parse::did)?,
        ) {
            (Some(url), Some(did)) => Ok(Some(Service { did, url })),
            (None, None) => Ok(None),
            (Some(_), None) => invalid(did, "it must be given too: calls are signed for it"),
            (None, Some(_)) => invalid(url, "it must be given too: calls go there"),
        };
        let moderation = service("mod-service-url", "mod-service-did")?;
        let reports = service("report-service-url", "report-service-did")?;
        Ok(Self {
            appview: service("appview-url", "appview-did")?,
            reports: reports.or_else(|| moderation.clone()),
            moderation,
        })
    }
}

/// How often something may be done; all of it nothing where `rate-limits` is off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests of one address.
    pub requests: Rates,
    /// Points of one account's writes.
    pub writes: Rates,
    /// Sign-ins at one account from one address.
    pub sign_ins: Rates,
    /// Of single methods, in place of what is usual; `None` where nothing is usual either.
    pub methods: Option<Vec<(String, Rates)>>,
}

impl RateLimits {
    fn read(read: &Reader<'_>) -> Result<Self, ConfigError> {
        // What is switched off has to be right all the same.
        let on = Self {
            requests: read.required("request-limit", parse::rates)?,
            writes: read.required("write-limit", parse::rates)?,
            sign_ins: read.required("sign-in-limit", parse::rates)?,
            methods: Some(read.list("method-limit", parse::method_rates)?),
        };
        Ok(if read.required("rate-limits", parse::switch)? { on } else { Self::default() })
    }
}

/// A checked configuration. Everything but the secrets, which [`Config::open_secrets`] brings.
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// Address and port to serve on.
    pub listen: SocketAddr,
    /// Where clients reach the server: scheme and authority, no trailing slash.
    pub public_url: String,
    /// Folder of all data and keys.
    pub data: PathBuf,
    /// The did:plc directory, without trailing slash.
    pub plc_url: String,
    /// Where to serve a did:plc directory of our own, if at all.
    pub plc_listen: Option<SocketAddr>,
    /// Domains of the handles given out, each with its leading dot; at least one.
    pub handle_domains: Vec<String>,
    /// Whether an account needs an invite code.
    pub invite_required: bool,
    /// Whether outbound calls may reach loopback addresses.
    pub allow_loopback: bool,
    /// Reverse proxies in front that add to X-Forwarded-For; `None` for one where it is on this machine.
    pub proxy_hops: Option<usize>,
    /// How long the firehose can be replayed.
    pub backfill_window: Duration,
    /// Origins of the relays that are asked to crawl this server.
    pub relays: Vec<String>,
    /// Bytes of events that are kept for that at most.
    pub backfill_bytes_max: u64,
    /// How mail leaves.
    pub mail: Mailing,
    /// Bytes of the largest blob taken.
    pub blob_bytes_max: u64,
    /// How often may be asked.
    pub rate_limits: RateLimits,
    /// Other services of the network that accounts here are served by.
    pub services: Services,
    /// What is logged: a filter as tracing-subscriber reads it.
    pub log: String,
    /// How it is written.
    pub log_format: LogFormat,
    admin_token: Option<Zeroizing<String>>,
    master_key: Option<MasterKey>,
    master_key_file: Option<PathBuf>,
}

impl Config {
    /// Parses and checks the effective values. Touches no file.
    ///
    /// # Errors
    /// The first value that can't be, by its setting's name.
    pub fn new(effective: &Effective) -> Result<Self, ConfigError> {
        Self::read(effective).map_err(|error| error.placed(effective))
    }

    fn read(effective: &Effective) -> Result<Self, ConfigError> {
        let read = Reader(effective);
        let listen: SocketAddr = read.required("listen", address)?;
        let public_url = match read.optional("public-url", parse::origin)? {
            Some(url) => url,
            None if listen.port() == 0 => {
                return invalid("listen", "port 0 lets the system choose, so --public-url must be given too");
            }
            None => format!("http://localhost:{}", listen.port()),
        };
        check_public_url(&public_url)?;
        let mut handle_domains = read.list("handle-domain", parse::handle_domain)?;
        if handle_domains.is_empty() {
            handle_domains.push(default_handle_domain(&public_url));
        }
        Ok(Self {
            listen,
            data: read.required("data", |text| Ok(PathBuf::from(text)))?,
            plc_url: read.required("plc-url", parse::origin)?,
            plc_listen: read.optional("plc-listen", address)?,
            handle_domains,
            invite_required: read.required("invite-required", parse::switch)?,
            allow_loopback: read.required("allow-loopback", parse::switch)?,
            proxy_hops: read.optional("proxy-hops", parse::hops)?,
            backfill_window: read.required("backfill-window", parse::duration)?,
            relays: read.list("relay", parse::relay)?,
            backfill_bytes_max: read.required("backfill-limit", parse::bytes)?,
            mail: mailing(&read)?,
            blob_bytes_max: read.required("blob-limit", parse::bytes)?,
            rate_limits: RateLimits::read(&read)?,
            services: Services::read(&read)?,
            log: read.required("log", |text| Ok(text.to_owned()))?,
            log_format: read.required("log-format", log_format)?,
            admin_token: read.optional("admin-token", admin_token)?.map(Zeroizing::new),
            master_key: read.optional("master-key", parse::key)?,
            master_key_file: read.optional("master-key-file", |text| Ok(PathBuf::from(text)))?,
            public_url,
        })
    }

    /// What the cells see of it.
    #[must_use]
    pub fn network(&self, secrets: &Secrets) -> Network {
        let authority = self.public_url.split_once("://").map_or(self.public_url.as_str(), |(_, rest)| rest);
        Network {
            // did:web writes a port's colon escaped.
            service_did: format!("did:web:{}", authority.replace(':', "%3A")),
            public_url: self.public_url.clone(),
            handle_domains: self.handle_domains.clone(),
            invite_required: self.invite_required,
            sends_mail: self.mail != Mailing::Off,
            plc_url: self.plc_url.clone(),
            master_key: secrets.master_key.clone(),
            write_rates: self.rate_limits.writes,
            sign_in_rates: self.rate_limits.sign_ins,
        }
    }

    /// Origins of the operator's own choice, which may be anywhere.
    #[must_use]
    pub fn trusted_origins(&self) -> Vec<String> {
        let of_mail = self.mail.http_origin();
        let Services { appview, moderation, reports } = &self.services;
        let services =
            [appview, moderation, reports].into_iter().flatten().map(|service| service.url.clone());
        self.relays.iter().cloned().chain([self.plc_url.clone()]).chain(of_mail).chain(services).collect()
    }

    /// Takes the data folder for this process, making it when missing. Held until dropped.
    ///
    /// # Errors
    /// When it can't be made, or another process has it.
    pub fn lock_folder(&self) -> Result<FolderLock, ConfigError> {
        folder::make(&self.data)?;
        FolderLock::take(&self.data)
    }

    /// The admin token, where it was given and is not in a file.
    #[must_use]
    pub fn given_admin_token(&self) -> Option<&str> {
        self.admin_token.as_ref().map(|token| token.as_str())
    }

    /// The master key and the admin token, both of which must have been given: for a host without files.
    ///
    /// # Errors
    /// When one is missing.
    pub fn given_secrets(&self) -> Result<Secrets, ConfigError> {
        let missing = |name| ConfigError::invalid(name, "it must be given on this host");
        Ok(Secrets {
            master_key: self.master_key.clone().ok_or_else(|| missing("master-key"))?,
            admin_token: self.admin_token.clone().ok_or_else(|| missing("admin-token"))?,
        })
    }

    /// The master key and the admin token: those given, or those kept in files. A token is made when it is missing, a
    /// master key only for a new network: what is wrapped under a lost one opens with no other.
    ///
    /// # Errors
    /// When a file can't be read or made, is readable by others, or holds no key.
    pub fn open_secrets(&self, network: NetworkAge) -> Result<Secrets, ConfigError> {
        folder::make(&self.data)?;
        let master_key = match &self.master_key {
            Some(key) => key.clone(),
            None => {
                let usual = self.data.join("master.key");
                let file = self.master_key_file.as_ref().unwrap_or(&usual);
                match network {
                    NetworkAge::New => secrets::read_or_make_key(file)?,
                    NetworkAge::Grown => secrets::read_key(file)?,
                }
            }
        };
        let admin_token = match &self.admin_token {
            Some(token) => token.clone(),
            None => secrets::read_or_make_token(&admin_token_file(&self.data))?,
        };
        Ok(Secrets { master_key, admin_token })
    }
}

/// Where the admin token is kept when the configuration does not give it.
#[must_use]
pub fn admin_token_file(data: &Path) -> PathBuf {
    data.join("admin.token")
}

/// Whether this URL's host is the machine itself.
fn is_local(public_url: &str) -> bool {
    url::Url::parse(public_url).is_ok_and(|url| {
        url.host_str().is_some_and(|host| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost"
                || host.ends_with(".localhost")
                || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        })
    })
}

fn check_public_url(public_url: &str) -> Result<(), ConfigError> {
    if public_url.starts_with("http://") && !is_local(public_url) {
        return invalid("public-url", "http is for localhost only; elsewhere clients need https");
    }
    Ok(())
}

fn default_handle_domain(public_url: &str) -> String {
    let host = url::Url::parse(public_url).ok().and_then(|url| url.host_str().map(str::to_owned));
    match host {
        Some(host) if !is_local(public_url) => {
            parse::handle_domain(&format!(".{host}")).unwrap_or_else(|_| ".test".to_owned())
        }
        _ => ".test".to_owned(),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.replace("localhost:", "127.0.0.1:");
    text.parse().map_err(|_| format!("`{text}` is not an address and port; write it as 127.0.0.1:2583"))
}

/// How mail leaves: the settings of it only make sense together.
fn mailing(read: &Reader<'_>) -> Result<Mailing, ConfigError> {
    let smtp = read.optional("smtp-url", mail::smtp)?;
    let url = read.optional("mail-url", mail::service_url)?;
    let token = read.optional("mail-token", bearer_token)?.map(Zeroizing::new);
    let from = read.optional("mail-from", mail::mailbox)?;
    let route = match (smtp, url, token) {
        (Some(_), Some(_), _) => {
            return invalid("mail-url", "mail goes one way: leave out this or --smtp-url");
        }
        (_, None, Some(_)) => {
            return invalid("mail-token", "it is for the service at --mail-url, which is not given");
        }
        (Some(server), None, None) => MailRoute::Smtp(server),
        (None, Some(url), token) => MailRoute::Http(MailService { url, token }),
        (None, None, None) if from.is_some() => {
            return invalid("mail-from", "nothing sends it: give --smtp-url or --mail-url too");
        }
        (None, None, None) => return Ok(Mailing::Off),
    };
    match from {
        Some(from) => Ok(Mailing::Sent { from, route }),
        None => invalid("mail-from", "mail needs a sender, as Agents <mail@example.com>"),
    }
}

/// The message never shows the text.
fn bearer_token(text: &str) -> Result<String, String> {
    let is_token = !text.is_empty() && text.len() <= 4096 && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_token { Ok(text.to_owned()) } else { Err("it must be visible ASCII characters".to_owned()) }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "compact" => Ok(LogFormat::Compact),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is none of auto, compact and json")),
    }
}

fn admin_token(text: &str) -> Result<String, String> {
    let token = text.trim();
    let fits = (8..=512).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits {
        return Err(
            "it must be 8 to 512 visible ASCII characters; `openssl rand -hex 32` makes one".to_owned()
        );
    }
    Ok(token.to_owned())
}

fn invalid<T>(name: &'static str, reason: &str) -> Result<T, ConfigError> {
    Err(ConfigError::invalid(name, reason))
}

/// Reads effective texts through parsers, naming the setting in errors.
struct Reader<'a>(&'a Effective);

impl Reader<'_> {
    fn optional<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        self.0.one(name).map(parse).transpose().map_err(|reason| ConfigError::invalid(name, reason))
    }

    fn required<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let missing = || ConfigError::invalid(name, "it is empty");
        self.optional(name, parse)?.ok_or_else(missing)
    }

    fn list<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let parse = |text: &String| parse(text).map_err(|reason| ConfigError::invalid(name, reason));
        self.0.all(name).iter().map(parse).collect()
    }
}

#[cfg(test)]
mod tests;
