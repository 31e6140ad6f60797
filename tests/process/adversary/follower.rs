//! A relay: one subscriber that comes back with its cursor whenever the stream ends, and holds every event against the
//! protocol.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::{Client, Zap};
use tokio::task::JoinHandle;
use zap::crypto::VerifyingKey;
use zap::event::Event;
use zap::event::verify::{Finding, Severity, Verifier, did, signer};

use crate::firehose::{SUBSCRIBE, find_signing_key};

const AGAIN: Duration = Duration::from_millis(100);

/// What it has heard.
#[derive(Debug, Default)]
struct Heard {
    seq: i64,
    /// The revs of each account's commits and syncs, in their order.
    revs: HashMap<String, Vec<String>>,
    syncs: usize,
    /// Whose `#sync` is due, because an old copy of the server was put back: until it comes, theirs does not follow on.
    gone_back: HashSet<String>,
}

pub(super) struct Follower {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

impl Follower {
    pub(super) fn start(zap: &Zap) -> Self {
        let heard = Arc::<Mutex<Heard>>::default();
        let (address, plc) = (zap.address, Client::new(zap.plc_address));
        let mut reader =
            Reader { heard: Arc::clone(&heard), verifier: Verifier::new(), keys: HashMap::new(), plc };
        let task = tokio::spawn(async move {
            loop {
                let path = format!("{SUBSCRIBE}?cursor={}", reader.heard.lock().unwrap().seq);
                // Whatever ends the stream, what counts is that it goes on where it ended.
                if let Ok(mut stream) = harness::Subscriber::connect(address, &path).await {
                    while let Ok(frames) = stream.next().await {
                        if frames.is_empty() {
                            break;
                        }
                        for frame in frames {
                            reader.take(&frame).await;
                        }
                    }
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
        Self { heard, task }
    }

    /// Ends the test when it has ended: something was wrong with the stream.
    pub(super) fn must_run(&self) {
        assert!(!self.task.is_finished(), "the stream is not as it has to be");
    }

    /// From now on, these have to say anew where they stand.
    pub(super) fn expect_syncs(&self, of: impl IntoIterator<Item = String>) {
        self.heard.lock().unwrap().gone_back.extend(of);
    }

    /// Whose `#sync` has not come.
    pub(super) fn due(&self) -> Vec<String> {
        self.heard.lock().unwrap().gone_back.iter().cloned().collect()
    }

    /// Waits until an account has come to this rev.
    pub(super) async fn until(&self, account: &str, rev: &str, within: Duration) {
        let start = Instant::now();
        while self.heard.lock().unwrap().revs.get(account).and_then(|revs| revs.last()).map(String::as_str)
            != Some(rev)
        {
            self.must_run();
            let last = self.heard.lock().unwrap().revs.get(account).and_then(|revs| revs.last()).cloned();
            assert!(start.elapsed() < within, "{account} is at {rev}, and on the stream at {last:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Each of these commits has come. That none came twice or out of order shows already when it comes.
    pub(super) fn has_all(&self, account: &str, revs: &[String]) {
        let heard = self.heard.lock().unwrap();
        let come = heard.revs.get(account).map(Vec::as_slice).unwrap_or_default();
        for rev in revs {
            assert!(come.binary_search(rev).is_ok(), "{account}: {rev} was answered and never came");
        }
    }

    /// Its last event, and how many syncs there were.
    pub(super) fn position(&self) -> (i64, usize) {
        let heard = self.heard.lock().unwrap();
        (heard.seq, heard.syncs)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes frames in.
struct Reader {
    heard: Arc<Mutex<Heard>>,
    verifier: Verifier,
    /// `None` for one that the PLC directory does not know any more, since it went back as well.
    keys: HashMap<String, Option<VerifyingKey>>,
    plc: Client,
}

impl Reader {
    async fn take(&mut self, frame: &[u8]) {
        let event = Event::decode(frame).unwrap();
        if let Some(signer) = signer(&event) {
            self.learn_key(signer).await;
        }
        let key = signer(&event).and_then(|signer| self.keys[signer].as_ref()).ok_or("it is not known");
        let now_us = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as i64;
        let mut findings = self.verifier.check(frame, now_us, key);
        let mut heard = self.heard.lock().unwrap();
        let whose = did(&event).unwrap_or_default();
        findings.retain(|finding| {
            let is_excused = match finding {
                Finding::NoKey(_) => self.keys.get(whose).is_some_and(Option::is_none),
                Finding::Since { .. } | Finding::PrevData { .. } => heard.gone_back.contains(whose),
                _ => false,
            };
            finding.severity() == Severity::Violation && !is_excused
        });
        assert!(findings.is_empty(), "seq {:?} of {whose}, after {}: {findings:?}", event.seq(), heard.seq);
        let rev = match &event {
            Event::Commit { body, .. } => body.rev,
            Event::Sync { body, .. } => {
                heard.syncs += 1;
                heard.gone_back.remove(whose);
                body.rev
            }
            Event::Error { error, .. } => {
                // Both are for a subscriber that is to come back.
                assert_eq!(*error, "ConsumerTooSlow", "the stream ends");
                return;
            }
            Event::Info { name, .. } => {
                panic!("{name}: events were lost that this subscriber had time to read")
            }
            _ => {
                heard.seq = event.seq().unwrap_or(heard.seq);
                return;
            }
        };
        heard.seq = event.seq().unwrap();
        heard.revs.entry(whose.to_owned()).or_default().push(rev.to_owned());
    }

    async fn learn_key(&mut self, signer: &str) {
        while !self.keys.contains_key(signer) {
            match find_signing_key(&mut self.plc, signer).await {
                Ok(key) => drop(self.keys.insert(signer.to_owned(), key)),
                // The directory may be down with the server.
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}
