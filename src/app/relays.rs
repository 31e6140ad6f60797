//! Relays, asked to crawl: a relay follows a server that it was told of, and gives up on one that was away for minutes.
//!
//! `com.atproto.sync.requestCrawl` says that the server is here. Every relay that the operator names is asked after the
//! start, and then while there is something new, at most every twenty minutes, as the reference server does. One that did
//! not take it is asked again sooner, ever less often. Asking does no harm where nothing was lost.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use futures::future::join_all;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::host::{Host, ToOperatorsOrigin};

/// Between two requests that a relay took.
const PAUSE_US: i64 = 20 * 60 * 1_000_000;
/// After the first request that it did not take; twice as long after each that follows, up to the pause.
const RETRY_US: i64 = 60 * 1_000_000;
/// Bytes of a refusal that are worth a place in the log.
const REASON_CHARS_MAX: usize = 200;

/// What is known of the relays, by origin. A host that forgets it asks once too often.
pub type AskedRelays = BTreeMap<String, Asked>;

/// When a relay was asked last, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    at_us: i64,
    /// The newest event there was.
    last_seq: i64,
    /// How often in a row it did not take it.
    refusals: u32,
}

impl Asked {
    fn is_due(&self, now_us: i64, last_seq: i64) -> bool {
        let pause_us = match self.refusals {
            0 if last_seq <= self.last_seq => return false,
            0 => PAUSE_US,
            refusals => RETRY_US.saturating_mul(1 << (refusals - 1).min(10)).min(PAUSE_US),
        };
        now_us.saturating_sub(self.at_us) >= pause_us
    }
}

/// What a relay said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayAnswer {
    /// An HTTP status.
    Status(StatusCode),
    /// Nothing.
    Unreachable,
}

impl fmt::Display for RelayAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => f.write_str(status.as_str()),
            Self::Unreachable => f.write_str("unreachable"),
        }
    }
}

/// The relays that are told of this server.
#[derive(Debug)]
pub struct Relays {
    origins: Vec<String>,
    /// By which relays name this server: host, and port where it is not the usual one.
    hostname: String,
    asked: AskedRelays,
}

impl Relays {
    /// Those at these origins, for the server at `public_url`; `asked` is what an earlier life knew.
    pub fn new(origins: &[String], public_url: &str, asked: AskedRelays) -> Self {
        let hostname = public_url.split_once("://").map_or(public_url, |(_, authority)| authority);
        Self { origins: origins.to_vec(), hostname: hostname.to_owned(), asked }
    }

    /// What is known, for a later life.
    pub fn asked(&self) -> &AskedRelays {
        &self.asked
    }

    /// Asks those whose turn it is, all at a time, and says in the log what they answered. `last_seq` is the newest event.
    pub async fn ask(&mut self, host: &dyn Host, last_seq: i64) -> Vec<(String, RelayAnswer)> {
        let now_us = host.now_us();
        let is_due =
            |origin: &String| self.asked.get(origin).is_none_or(|asked| asked.is_due(now_us, last_seq));
        let due: Vec<String> = self.origins.iter().filter(|origin| is_due(origin)).cloned().collect();
        let hostname = self.hostname.as_str();
        let answers = join_all(due.iter().map(|origin| request_crawl(host, origin, hostname))).await;
        for (origin, (answer, reason)) in due.iter().zip(&answers) {
            let before = self.asked.get(origin).map_or(0, |asked| asked.refusals);
            let is_taken = matches!(answer, RelayAnswer::Status(status) if status.is_success());
            let refusals = if is_taken { 0 } else { before.saturating_add(1) };
            // Said when it changes: a relay that is down for a day is one line.
            match (is_taken, before) {
                (true, _) => tracing::info!(relay = %origin, %answer, "a relay was asked to crawl"),
                (false, 0) => {
                    tracing::warn!(relay = %origin, %answer, %reason, "a relay did not take the request to crawl");
                }
                (false, _) => {
                    tracing::debug!(relay = %origin, %answer, %reason, "a relay still does not take it")
                }
            }
            self.asked.insert(origin.clone(), Asked { at_us: now_us, last_seq, refusals });
        }
        due.into_iter().zip(answers).map(|(origin, (answer, _))| (origin, answer)).collect()
    }
}

/// Asks one relay; its answer, and why not.
async fn request_crawl(host: &dyn Host, origin: &str, hostname: &str) -> (RelayAnswer, String) {
    let body = serde_json::json!({ "hostname": hostname }).to_string();
    let request = http::Request::post(format!("{origin}/xrpc/com.atproto.sync.requestCrawl"))
        .header(header::CONTENT_TYPE, "application/json")
        .extension(ToOperatorsOrigin)
        .body(Bytes::from(body));
    let request = match request {
        Ok(request) => request,
        Err(error) => return (RelayAnswer::Unreachable, error.to_string()),
    };
    match host.fetch(request).await {
        Ok(response) => {
            let reason = String::from_utf8_lossy(response.body()).chars().take(REASON_CHARS_MAX).collect();
            (RelayAnswer::Status(response.status()), reason)
        }
        Err(error) => (RelayAnswer::Unreachable, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::testing::{Internet, Randomness, Simulated, network};

    const ASK: &str = "http://relay.example.com/xrpc/com.atproto.sync.requestCrawl";
    const MINUTE_US: i64 = 60_000_000;

    struct World {
        host: Arc<Simulated>,
        app: Arc<crate::app::App>,
        relays: Relays,
    }

    impl World {
        fn new() -> Self {
            let host = Simulated::new(network(), Internet::default(), Randomness::default());
            let app = host.start();
            let origins = ["http://relay.example.com".to_owned()];
            let relays = Relays::new(&origins, "https://agents.example.com", AskedRelays::new());
            Self { host, app, relays }
        }

        fn answers(&self, is_up: bool) {
            let mut documents = self.host.internet.documents.lock().unwrap();
            if is_up {
                drop(documents.insert(ASK.to_owned(), Bytes::new()))
            } else {
                drop(documents.remove(ASK))
            }
        }

        /// What the relay answers after some minutes; nothing when it is not asked.
        async fn after(&mut self, minutes: i64, last_seq: i64) -> Option<String> {
            self.host.now_us.fetch_add(minutes * MINUTE_US, Ordering::Relaxed);
            let mut answers = self.relays.ask(&*self.app.host, last_seq).await;
            assert!(answers.len() <= 1);
            answers.pop().map(|(_, answer)| answer.to_string())
        }
    }

    #[tokio::test]
    async fn a_relay_is_asked_at_the_start_and_while_there_is_something_new() {
        let mut world = World::new();
        world.answers(true);
        assert_eq!(world.after(0, 5).await.as_deref(), Some("200"), "at the start");
        assert_eq!(world.after(60, 5).await, None, "there is nothing new");
        assert_eq!(world.after(1, 6).await.as_deref(), Some("200"), "the pause is over");
        assert_eq!(world.after(19, 7).await, None, "twenty minutes are not over");
        assert_eq!(world.after(1, 7).await.as_deref(), Some("200"));
        let asked = world.host.internet.asked.lock().unwrap().clone();
        assert_eq!(asked.iter().filter(|asked| **asked == format!("POST {ASK}")).count(), 3);
        // After a restart, which may have been a long time away.
        world.relays = Relays::new(&world.relays.origins, "https://agents.example.com", AskedRelays::new());
        assert_eq!(world.after(0, 7).await.as_deref(), Some("200"));
        // Where what was known is kept, nothing was away.
        let kept = world.relays.asked().clone();
        world.relays = Relays::new(&world.relays.origins, "https://agents.example.com", kept);
        assert_eq!(world.after(60, 7).await, None);
    }

    #[tokio::test]
    async fn a_relay_that_does_not_take_it_is_asked_again_ever_less_often() {
        let mut world = World::new();
        assert_eq!(world.after(0, 5).await.as_deref(), Some("unreachable"));
        for pause in [1, 2, 4, 8, 16, 20, 20] {
            assert_eq!(world.after(pause - 1, 6).await, None, "before {pause} minutes");
            assert_eq!(world.after(1, 6).await.as_deref(), Some("unreachable"), "{pause} minutes");
        }
        world.answers(true);
        assert_eq!(world.after(20, 6).await.as_deref(), Some("200"));
        assert_eq!(world.after(60, 6).await, None);
    }

    #[tokio::test]
    async fn a_server_is_named_as_relays_name_it() {
        let named = |url: &str| Relays::new(&[], url, AskedRelays::new()).hostname;
        assert_eq!(named("https://agents.example.com"), "agents.example.com");
        assert_eq!(named("http://localhost:2583"), "localhost:2583");
    }
}
