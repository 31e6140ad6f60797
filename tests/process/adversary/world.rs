//! The server with all who use it: honest clients, an agent that nobody uses, a relay, strangers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::zap::create_agent;
use harness::{Account, Settings, Zap};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

use super::faults::{Caller, Fault, Faults, Said};
use super::follower::Follower;
use super::honest::Agent;
use super::newcomers::Newcomers;
use super::strangers::{Stranger, Target};
use crate::mishaps::{Disk, verify_repo};
use crate::random::Random;
use crate::{firehose, on_worker};

const AGENTS: usize = 4;
/// Groups of strangers at a time.
const GROUPS_MAX: usize = 4;
/// More than a few leaves of every table.
const IDLE_RECORDS: usize = 400;
/// Two megabytes of them, for the strangers' lists and exports.
const MALLORY_RECORDS: usize = 5;
const DISK_BYTES: u64 = 320 << 20;
/// Well below the disk, however long all goes on.
const LOG_BYTES: &str = "67108864";
/// What the server may take whoever comes: itself, answers that wait to be read (256 MiB), 64 downloads, of which each
/// holds some records of Mallory's.
const MEMORY_BYTES_MAX: u64 = 900 << 20;
/// A fault is over, and all is well again.
const WELL_WITHIN: Duration = Duration::from_secs(20);
/// The Worker's agents try by an alarm after half a minute.
const ARRIVES_WITHIN: Duration = Duration::from_secs(90);

/// What everybody holds at a time, by all that was answered; what a copy of the data brings back.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) agents: Vec<Agent>,
    pub(super) newcomers: Newcomers,
    /// The keys of the agent that nobody uses.
    pub(super) idle: BTreeSet<String>,
}

pub(super) struct World {
    pub(super) zap: Zap,
    pub(super) disk: Option<Disk>,
    pub(super) faults: Faults,
    pub(super) follower: Follower,
    pub(super) random: Random,
    pub(super) idle: Account,
    pub(super) idle_keys: BTreeSet<String>,
    pub(super) copied: Option<(PathBuf, Held)>,
    mallory: Account,
    agents: Vec<JoinHandle<Agent>>,
    newcomers: Option<JoinHandle<Newcomers>>,
    strangers: JoinSet<()>,
    /// Sockets of the server before anybody came.
    sockets: usize,
    most_bytes: u64,
}

impl World {
    pub(super) async fn begin(folder: &Path, mut random: Random) -> Self {
        let may_mount = !on_worker();
        let disk = may_mount.then(|| Disk::mount(&folder.join("data"), DISK_BYTES)).flatten();
        let settings = Settings::from([("backfill-limit", LOG_BYTES.to_owned())]);
        let zap = crate::start_in(folder, "warn", settings).await;
        let sockets = zap.usage().unwrap().sockets;

        let mut client = zap.client();
        let (idle, mallory) = (
            create_agent(&mut client, "idle").await.unwrap(),
            create_agent(&mut client, "mallory").await.unwrap(),
        );
        let keys: Vec<String> = (0..IDLE_RECORDS).map(|number| format!("{number:05}")).collect();
        for some in keys.chunks(50) {
            create(&zap, &idle, some, 1_000).await;
        }
        for number in 0..MALLORY_RECORDS {
            create(&zap, &mallory, &[format!("{number}")], 400_000).await;
        }
        let mut held = Held {
            agents: Vec::new(),
            newcomers: Newcomers::new(random.fork()),
            idle: keys.into_iter().collect(),
        };
        for number in 0..AGENTS {
            let account = create_agent(&mut client, &format!("honest{number}")).await.unwrap();
            held.agents.push(Agent::new(account, random.fork()));
        }
        let mut world = Self {
            follower: Follower::start(&zap),
            zap,
            disk,
            faults: Faults::none(),
            random,
            idle,
            idle_keys: BTreeSet::new(),
            copied: None,
            mallory,
            agents: Vec::new(),
            newcomers: None,
            strangers: JoinSet::new(),
            sockets,
            most_bytes: 0,
        };
        world.go_on(held);
        world
    }

    /// Sends the honest on their way.
    pub(super) fn go_on(&mut self, held: Held) {
        self.faults.pause(false);
        self.idle_keys = held.idle;
        let caller = || Caller::new(self.zap.address, &self.faults);
        self.agents = held.agents.into_iter().map(|agent| tokio::spawn(agent.work(caller()))).collect();
        self.newcomers = Some(tokio::spawn(held.newcomers.work(caller())));
    }

    /// Waits until the honest have ended what they were at.
    pub(super) async fn pause(&mut self) -> Held {
        self.faults.pause(true);
        let mut agents = Vec::new();
        for agent in self.agents.drain(..) {
            agents.push(agent.await.unwrap());
        }
        let newcomers = self.newcomers.take().unwrap().await.unwrap();
        Held { agents, newcomers, idle: self.idle_keys.clone() }
    }

    /// So many strangers come, when some of the others have left.
    pub(super) async fn let_in(&mut self, stranger: Stranger, many: u64) {
        while self.strangers.len() >= GROUPS_MAX {
            self.pass(Duration::from_millis(50)).await;
        }
        let target = Target { address: self.zap.address, mallory: self.mallory.clone() };
        let random = self.random.fork();
        self.strangers.spawn(stranger.come(target, many, random));
        let moment = self.random.between(100, 900);
        self.pass(Duration::from_millis(moment)).await;
    }

    /// Lets time go by, and looks whether all go on.
    pub(super) async fn pass(&mut self, time: Duration) {
        let start = Instant::now();
        loop {
            while let Some(left) = self.strangers.try_join_next() {
                left.unwrap();
            }
            self.follower.must_run();
            let paused = self.faults.is_paused();
            let ended = self.agents.iter().any(JoinHandle::is_finished)
                || self.newcomers.as_ref().is_some_and(JoinHandle::is_finished);
            assert!(paused || !ended, "an honest client was let down");
            let bytes = self.bytes();
            self.most_bytes = self.most_bytes.max(bytes);
            assert!(bytes < MEMORY_BYTES_MAX, "the server takes {} MiB", bytes >> 20);
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Duration::from_millis(100))).await;
        }
    }

    /// What the server takes; nothing while it is down.
    pub(super) fn bytes(&self) -> u64 {
        self.zap.usage().map_or(0, |usage| usage.resident_bytes)
    }

    /// What `_health` says is wrong.
    pub(super) async fn troubles(&self) -> Vec<String> {
        let answer = self.zap.client().get("/xrpc/_health", None).await.unwrap();
        let body = answer.json().unwrap();
        let troubles = body["troubles"].as_array().into_iter().flatten();
        let troubles: Vec<String> = troubles.map(|name| name.as_str().unwrap().to_owned()).collect();
        assert_eq!(answer.status, if troubles.is_empty() { 200 } else { 503 }, "{body}");
        troubles
    }

    /// Waits until `_health` says that this is wrong, and lets it be so for a while.
    pub(super) async fn until_it_says(&mut self, trouble: &str) {
        let start = Instant::now();
        while !self.troubles().await.iter().any(|said| said == trouble) {
            assert!(start.elapsed() < WELL_WITHIN, "_health does not say {trouble}");
            self.pass(Duration::from_millis(100)).await;
        }
    }

    /// The fault is over: soon all is well, and writes are taken.
    pub(super) async fn recovers(&mut self) {
        let start = Instant::now();
        while !self.troubles().await.is_empty() {
            assert!(start.elapsed() < WELL_WITHIN, "_health says {:?}", self.troubles().await);
            self.pass(Duration::from_millis(50)).await;
        }
        self.faults.set(Fault::None);
        let mut caller = Caller::new(self.zap.address, &self.faults);
        let own = Some(self.mallory.authorization.as_str());
        let input = json!({ "repo": self.mallory.did, "collection": "test.zap.note", "rkey": "well",
            "record": { "$type": "test.zap.note", "text": "is taken" } });
        let said = caller.post("com.atproto.repo.putRecord", own, &input).await;
        assert!(matches!(said, Said::Yes(_)), "all is well, and a write is refused");
    }

    /// DIDs of all accounts that write.
    pub(super) fn dids(&self, held: &Held) -> Vec<String> {
        let agents = held.agents.iter().map(|agent| agent.account.did.clone());
        agents.chain([self.idle.did.clone(), self.mallory.did.clone()]).collect()
    }

    /// Everybody leaves, and all that was promised is looked for.
    pub(super) async fn end(mut self) {
        self.strangers.shutdown().await;
        let mut held = self.pause().await;
        self.recovers().await;
        self.gives_sockets_back().await;

        let mut caller = Caller::new(self.zap.address, &self.faults);
        let mut client = self.zap.client();
        for agent in &mut held.agents {
            agent.read_all(&mut caller).await;
            let did = &agent.account.did;
            let rev = firehose::latest_rev(&mut client, did).await;
            self.follower.until(did, &rev, ARRIVES_WITHIN).await;
            self.follower.has_all(did, &agent.revs);
        }
        held.newcomers.find_all(&mut caller).await;
        assert_eq!(self.idle_records().await, self.idle_keys);
        let mut accounts: Vec<Account> = held.agents.iter().map(|agent| agent.account.clone()).collect();
        accounts.extend([self.idle.clone(), self.mallory.clone()]);
        for account in &accounts {
            verify_repo(&self.zap, account);
        }
        // The log as somebody new reads it.
        firehose::verify(&self.zap, &firehose::backfill(&self.zap, &accounts).await).await;
        self.stops_whole().await;

        let told = self.faults.told();
        let (events, syncs) = self.follower.position();
        eprintln!(
            "{told}; {} people let in; events up to {events}, {syncs} syncs; {} MiB at most",
            held.newcomers.len(),
            self.most_bytes >> 20
        );
        assert!(told.answered > 20 * AGENTS && told.answered > told.refused, "the honest were hardly served");
    }

    /// The server holds no connection of those who left.
    async fn gives_sockets_back(&mut self) {
        let start = Instant::now();
        loop {
            let sockets = self.zap.usage().unwrap().sockets;
            // The relay's, and one that was asked for health.
            if sockets <= self.sockets + 4 {
                return;
            }
            assert!(start.elapsed() < WELL_WITHIN, "{sockets} sockets, of {} at the start", self.sockets);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// It ends in time, and its databases hold together.
    async fn stops_whole(&mut self) {
        self.faults.set(Fault::Down);
        self.ends(super::schedule::End::Stop).await;
        if !on_worker() {
            let (code, found, said) = crate::mishaps::repair(&self.zap, &["check"]);
            assert_eq!(code, 0, "{said} {found}");
        }
    }

    /// The keys that the idle agent's lists name.
    pub(super) async fn idle_records(&self) -> BTreeSet<String> {
        let (mut keys, mut cursor) = (BTreeSet::new(), String::new());
        loop {
            let path = format!(
                "/xrpc/com.atproto.repo.listRecords?repo={}&collection=test.zap.note&limit=100{cursor}",
                self.idle.did
            );
            let page: Value = self.zap.client().get(&path, None).await.unwrap().ok().unwrap();
            let records = page["records"].as_array().unwrap().iter();
            keys.extend(
                records.map(|record| record["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()),
            );
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return keys,
            }
        }
    }
}

/// Records of so many bytes each, in one commit.
async fn create(zap: &Zap, agent: &Account, keys: &[String], bytes: usize) {
    let write = |key: &String| {
        json!({ "$type": "com.atproto.repo.applyWrites#create", "collection": "test.zap.note", "rkey": key,
            "value": { "$type": "test.zap.note", "text": format!("{key} {}", "x".repeat(bytes)) } })
    };
    let input = json!({ "repo": agent.did, "writes": keys.iter().map(write).collect::<Vec<_>>() });
    let own = Some(agent.authorization.as_str());
    zap.client().post("com.atproto.repo.applyWrites", own, &input).await.unwrap().success().unwrap();
}
