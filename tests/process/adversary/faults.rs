//! What is wrong with the server at which time, and which answers that excuses.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::{Answer, Client};
use hyper::Method;
use serde_json::Value;

use crate::on_worker;

/// Every honest request is answered within this, whatever is wrong: if not as asked, then with a refusal.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// … and one that has to hash a password, which gives way to all else on the machine.
const HASHED_WITHIN: Duration = Duration::from_secs(40);

/// How long a server is still asked that is being ended.
const ASKED_AFTER_ITS_END: Duration = Duration::from_millis(100);

pub(super) const SIGN_IN: &str = "com.atproto.server.createSession";
pub(super) const SIGN_UP: &str = "com.atproto.server.createAccount";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// It is killed, or stops, or is not there yet.
    Down,
    DiskFull,
    LogStuck,
    NoDescriptors,
}

/// The faults so far, shared by who makes them and who has to live with them.
#[derive(Clone, Debug)]
pub(super) struct Faults(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Each from its moment on.
    history: Mutex<Vec<(Instant, Fault)>>,
    is_paused: AtomicBool,
    told: Mutex<Told>,
}

/// What honest clients were told, all in all.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) answered: usize,
    pub(super) refused: usize,
    unanswered: usize,
    slowest: Duration,
    slowest_path: String,
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { answered, refused, unanswered, slowest, slowest_path } = self;
        write!(f, "{answered} requests answered, {refused} refused, {unanswered} not answered; ")?;
        write!(f, "the slowest took {slowest:.1?} ({slowest_path})")
    }
}

impl Faults {
    pub(super) fn none() -> Self {
        Self(Arc::new(Shared {
            history: Mutex::new(vec![(Instant::now(), Fault::None)]),
            is_paused: AtomicBool::new(false),
            told: Mutex::default(),
        }))
    }

    pub(super) fn set(&self, fault: Fault) {
        self.0.history.lock().unwrap().push((Instant::now(), fault));
    }

    /// Whether it makes sense to ask. Not only of a server that is well: it shall be killed in the middle of something.
    pub(super) fn may_ask(&self) -> bool {
        let (from, fault) = *self.0.history.lock().unwrap().last().unwrap();
        fault != Fault::Down || from.elapsed() < ASKED_AFTER_ITS_END
    }

    /// Whether there was this one at a time since `start`. One that is being ended may still have the fault of before.
    fn was(&self, fault: Fault, start: Instant) -> bool {
        let history = self.0.history.lock().unwrap();
        let start = start - ASKED_AFTER_ITS_END;
        let before = history.iter().rposition(|(from, _)| *from <= start).unwrap_or(0);
        history[before..].iter().any(|(_, there)| *there == fault)
    }

    /// Whether honest clients are to end what they are at, and ask nothing more.
    pub(super) fn pause(&self, is_paused: bool) {
        self.0.is_paused.store(is_paused, Ordering::SeqCst);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.0.is_paused.load(Ordering::SeqCst)
    }

    pub(super) fn told(&self) -> Told {
        self.0.told.lock().unwrap().clone()
    }

    fn count(&self, path: &str, took: Duration, said: &Said) {
        let mut told = self.0.told.lock().unwrap();
        match said {
            Said::Yes(_) => told.answered += 1,
            Said::No => told.refused += 1,
            Said::Unknown => told.unanswered += 1,
        }
        if took > told.slowest {
            (told.slowest, told.slowest_path) = (took, path.to_owned());
        }
    }

    /// Whether a refusal is one that is documented, and has its cause.
    fn excuse(&self, start: Instant, path: &str, is_read: bool, answer: &Answer) -> bool {
        let hashes = hashes(path);
        match (answer.status, answer.error_name().as_str()) {
            (503, "NotEnoughResources") => {
                let no_log = self.was(Fault::LogStuck, start) || self.was(Fault::DiskFull, start);
                let has_cause = (no_log && !is_read) || self.was(Fault::NoDescriptors, start) || hashes;
                answer.retry_after.is_some() && (has_cause || on_worker())
            }
            (503, "ServiceUnavailable") => {
                answer.retry_after.is_some() && (self.was(Fault::Down, start) || on_worker())
            }
            (507, "StorageFull") => self.was(Fault::DiskFull, start) && !is_read && !path.ends_with(SIGN_IN),
            // An account is registered in the PLC directory, which the same process serves.
            (502, "UpstreamFailure") => {
                path.ends_with(SIGN_UP)
                    && (self.was(Fault::NoDescriptors, start) || self.was(Fault::DiskFull, start))
            }
            _ => false,
        }
    }
}

/// Whether a request has to hash a password.
fn hashes(path: &str) -> bool {
    path.ends_with(SIGN_IN) || path.ends_with(SIGN_UP)
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Said {
    Yes(Bytes),
    /// Refused, and nothing was changed.
    No,
    /// Nobody knows whether it was done.
    Unknown,
}

impl Said {
    pub(super) fn json(&self) -> Option<Value> {
        match self {
            Self::Yes(body) => Some(serde_json::from_slice(body).unwrap()),
            Self::No | Self::Unknown => None,
        }
    }
}

/// An honest client: it takes refusals that are excused, and no others.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) faults: Faults,
    address: SocketAddr,
    /// Its own, so that others don't take its share.
    from: String,
    client: Client,
}

impl Caller {
    pub(super) fn new(address: SocketAddr, faults: &Faults) -> Self {
        static CALLERS: AtomicU32 = AtomicU32::new(0);
        let number = CALLERS.fetch_add(1, Ordering::Relaxed);
        let from = format!("2001:db8:{:x}:{:x}::1", number >> 16, number & 0xffff);
        let client = Client::new(address).coming_from(&from);
        Self { faults: faults.clone(), address, from, client }
    }

    pub(super) async fn get(&mut self, path: &str, authorization: Option<&str>) -> Said {
        self.send(Method::GET, &format!("/xrpc/{path}"), authorization, "", Bytes::new()).await
    }

    pub(super) async fn post(&mut self, nsid: &str, authorization: Option<&str>, input: &Value) -> Said {
        let body = Bytes::from(serde_json::to_vec(input).unwrap());
        self.send(Method::POST, &format!("/xrpc/{nsid}"), authorization, "application/json", body).await
    }

    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        authorization: Option<&str>,
        content_type: &str,
        body: Bytes,
    ) -> Said {
        if on_worker() {
            // The runtime closes connections that were idle for some seconds.
            self.client = Client::new(self.address).coming_from(&self.from);
        }
        let start = Instant::now();
        let is_read = method == Method::GET;
        let content_type = (!content_type.is_empty()).then_some(content_type);
        let sent = self.client.send(method, path, authorization, content_type, body);
        let within = if hashes(path) { HASHED_WITHIN } else { ANSWER_WITHIN };
        let answer = tokio::time::timeout(within, sent).await;
        let answer = answer.unwrap_or_else(|_| panic!("{path}: no answer within {within:?}"));
        let said = match answer {
            Ok(answer) if answer.status == 200 => Said::Yes(answer.body),
            Ok(answer) => {
                let excused = self.faults.excuse(start, path, is_read, &answer);
                assert!(excused, "{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
                match answer.error_name().as_str() {
                    "ServiceUnavailable" | "UpstreamFailure" => Said::Unknown,
                    _ => Said::No,
                }
            }
            Err(error) => {
                assert!(self.faults.was(Fault::Down, start), "{path}: {error:#}");
                Said::Unknown
            }
        };
        self.faults.count(path, start.elapsed(), &said);
        said
    }
}
