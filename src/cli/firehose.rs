//! `zap firehose`: a server's event stream, one line an event, and on request held to every rule of the protocol.
//!
//! The command follows any host or relay. When the connection breaks, it comes back with the cursor of the last event,
//! as a consumer has to. With `--verify` the signing keys come from the PLC directory and did:web hosts, never from the
//! server that is being checked.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::error::CliError;
use super::out::{Out, counted};
use super::progress::Progress;
use super::session::{Connection, Session, SessionError};
use zap::event::Event;
use zap::event::verify::{Finding, Severity, Verifier};
use zap::limits::FIREHOSE_FRAME_BYTES_MAX;
use zap::native::fetch::install_tls_provider;

mod error;
mod keys;
mod line;

pub(crate) use error::FirehoseError;
use keys::Keys;

const SUBSCRIBE_REPOS: &str = "/xrpc/com.atproto.sync.subscribeRepos";
/// Hosts ping every 30 seconds; one that is silent for this long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// A number that is further from the clock than any window is no time.
const BEHIND_SECONDS_MAX: i64 = 366 * 24 * 3600;
/// Between tries to connect again, doubling.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// `zap firehose`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  zap firehose                                 what happens here from now on\n  \
    zap firehose --cursor 0 --json | jq .rev     everything there is, for programs\n  \
    zap firehose bsky.network --verify           hold a relay to the protocol; Ctrl-C ends it\n\n\
    With --verify, violations make the exit code 1."
)]
pub(crate) struct FirehoseArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// The host or relay, as bsky.network or http://localhost:2583 [default: that of --url]
    host: Option<String>,
    /// Start after this event; 0 for the oldest there is [default: only what comes from now on]
    #[arg(long, value_name = "SEQ")]
    cursor: Option<i64>,
    /// Stop after this many events
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Check each event against every rule of the protocol
    #[arg(long)]
    verify: bool,
    /// The PLC directory for --verify [default: that of the server on --data, else https://plc.directory]
    #[arg(long, env = "ZAP_PLC_URL", hide_env_values = true, value_name = "URL")]
    plc_url: Option<String>,
}

pub(crate) async fn run(args: &FirehoseArgs, session: &Session, out: Out) -> Result<(), CliError> {
    install_tls_provider();
    let url = stream_url(args.host.as_deref().unwrap_or(&session.url))?;
    let plc_url = args.plc_url.as_deref().or(session.plc_url.as_deref()).unwrap_or("https://plc.directory");
    let check = args.verify.then(|| Keys::new(plc_url)).transpose()?.map(|keys| (keys, Verifier::new()));
    let mut follower = Follower {
        url,
        cursor: args.cursor,
        left: args.count,
        check,
        out,
        tally: Tally::default(),
        progress: Progress::beside_lines(),
    };
    let followed = tokio::select! {
        followed = follower.follow() => followed,
        // An error means that there is nothing to listen to: then nothing stops it.
        Ok(()) = tokio::signal::ctrl_c() => Ok(()),
    };
    follower.summary()?;
    followed?;
    match follower.tally.violations {
        0 => Ok(()),
        violations => Err(FirehoseError::Violations(violations).into()),
    }
}

/// The WebSocket address of a host's stream: of a name, an HTTP or WebSocket URL, or the whole address.
fn stream_url(host: &str) -> Result<String, FirehoseError> {
    let bad = || FirehoseError::Address(host.to_owned());
    let name = host.split(['/', ':']).next().unwrap_or_default();
    let usual = if matches!(name, "localhost" | "127.0.0.1") { "http" } else { "https" };
    let (scheme, rest) = host.split_once("://").unwrap_or((usual, host));
    let scheme = match scheme {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(bad()),
    };
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() || rest.contains(['?', '#', ' ']) {
        return Err(bad());
    }
    let path = if rest.contains('/') { "" } else { SUBSCRIBE_REPOS };
    Ok(format!("{scheme}://{rest}{path}"))
}

#[derive(Debug, Default)]
struct Tally {
    events: u64,
    violations: u64,
    warnings: u64,
    kinds: BTreeMap<&'static str, u64>,
}

struct Follower {
    url: String,
    /// The last event's number, or where to start.
    cursor: Option<i64>,
    /// Events still to come before stopping.
    left: Option<u64>,
    check: Option<(Keys, Verifier)>,
    out: Out,
    tally: Tally,
    progress: Progress,
}

type Stream = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// Why one connection's events stopped.
enum Stop {
    /// As many as were asked for.
    Enough,
    /// The connection broke; the next may go on.
    Broken,
}

impl Follower {
    async fn follow(&mut self) -> Result<(), CliError> {
        let mut stream = self.connect().await?;
        loop {
            if let Stop::Enough = self.read(&mut stream).await? {
                return Ok(());
            }
            self.out.aside("the stream broke: connecting again");
            let mut wait = RETRY_MIN;
            stream = loop {
                tokio::time::sleep(wait).await;
                match self.connect().await {
                    Ok(stream) => {
                        self.out.aside("connected again");
                        break stream;
                    }
                    Err(error) => self.out.aside(&format!("not yet: {error}")),
                }
                wait = (wait * 2).min(RETRY_MAX);
            };
        }
    }

    async fn connect(&self) -> Result<Stream, FirehoseError> {
        let url = match self.cursor {
            Some(cursor) => format!("{}?cursor={cursor}", self.url),
            None => self.url.clone(),
        };
        // Somewhat above what is allowed, so that too large a frame is a finding and not the end.
        let config = WebSocketConfig::default()
            .max_message_size(Some(2 * FIREHOSE_FRAME_BYTES_MAX))
            .max_frame_size(Some(2 * FIREHOSE_FRAME_BYTES_MAX));
        let connected =
            tokio::time::timeout(SILENCE_MAX, connect_async_with_config(&url, Some(config), true));
        let failed = |reason| FirehoseError::Connect { url: self.url.clone(), reason };
        match connected.await {
            Ok(Ok((stream, _))) => Ok(stream),
            Ok(Err(tungstenite::Error::Http(answer))) => Err(failed(format!("answered {}", answer.status()))),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed("no answer".to_owned())),
        }
    }

    async fn read(&mut self, stream: &mut Stream) -> Result<Stop, CliError> {
        loop {
            if self.left == Some(0) {
                return Ok(Stop::Enough);
            }
            match tokio::time::timeout(SILENCE_MAX, stream.next()).await {
                Ok(Some(Ok(Message::Binary(message)))) => {
                    if let Some(stop) = self.event(&message).await? {
                        return Ok(stop);
                    }
                }
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) | Err(_) => return Ok(Stop::Broken),
                Ok(Some(Ok(_))) => {}
            }
        }
    }

    /// Checks and prints one message.
    async fn event(&mut self, message: &[u8]) -> Result<Option<Stop>, CliError> {
        let findings = match &mut self.check {
            Some((keys, verifier)) => {
                let key = keys.of(message).await;
                verifier.check(message, keys::now_us(), key.as_ref().map_err(String::as_str))
            }
            None => Vec::new(),
        };
        for finding in &findings {
            match finding.severity() {
                Severity::Violation => self.tally.violations += 1,
                Severity::Warning => self.tally.warnings += 1,
            }
        }
        let event = match Event::decode(message) {
            Ok(event) => event,
            Err(error) if self.check.is_none() => {
                let (nsid, reason) = (self.url.clone(), error.to_string());
                return Err(SessionError::Answer { nsid, reason }.into());
            }
            Err(_) => {
                self.print_unreadable(message.len(), &findings)?;
                return Ok(None);
            }
        };
        line::print(self.out, &event, message.len(), &findings)?;
        if let Some(seq) = event.seq() {
            self.cursor = Some(seq);
            self.tally.events += 1;
            *self.tally.kinds.entry(line::kind(&event)).or_default() += 1;
            self.left = self.left.map(|left| left.saturating_sub(1));
            let Tally { events, violations, .. } = self.tally;
            self.progress.at(|| progress(events, violations, seq, keys::now_us()));
        }
        match event {
            // Consumers who were too slow go on from where they were.
            Event::Error { error: "ConsumerTooSlow", .. } => Ok(Some(Stop::Broken)),
            Event::Error { error, message } => {
                let (name, message) = (error.to_owned(), message.unwrap_or_default().to_owned());
                Err(FirehoseError::Ended { name, message }.into())
            }
            _ => Ok(None),
        }
    }

    fn print_unreadable(&self, bytes: usize, findings: &[Finding]) -> Result<(), CliError> {
        if !self.out.json {
            self.out.line(&format!("a message of {bytes} bytes that is no event"))?;
        }
        line::print_findings(self.out, findings)
    }

    fn summary(&self) -> Result<(), CliError> {
        if self.check.is_none() || self.out.json {
            return Ok(());
        }
        let kinds: Vec<_> = self.tally.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let Tally { events, violations, warnings, .. } = &self.tally;
        let verdict = format!("{}, {}", counted(*violations, "violation"), counted(*warnings, "warning"));
        let verdict = if *violations == 0 { self.out.good(&verdict) } else { self.out.bold(&verdict) };
        let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        self.out.line(&format!("{}{kinds}: {verdict}", counted(*events, "event")))
    }
}

/// Hosts that number their events by time tell how far behind the stream one is.
fn progress(events: u64, violations: u64, seq: i64, now_us: i64) -> String {
    let so_far = format!("{}, {}", counted(events, "event"), counted(violations, "violation"));
    match now_us.saturating_sub(seq) / 1_000_000 {
        behind @ 1..=BEHIND_SECONDS_MAX => {
            format!("{so_far}, {} behind", counted(behind.unsigned_abs(), "second"))
        }
        _ => so_far,
    }
}

#[cfg(test)]
mod tests;
