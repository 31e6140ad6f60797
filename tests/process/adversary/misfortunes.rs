//! What happens to the server while clients use it, and what it owes them then.

use std::time::{Duration, Instant};

use serde_json::json;

use super::faults::Fault;
use super::schedule::{End, Step};
use super::world::World;
use crate::firehose;
use crate::mishaps::{
    agent_file, copy, destroy_page, flip_record, limit_files, lock_log, put_back, repair, verify_repo,
};

/// A stop ends, whoever is connected and whatever is wrong.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Some twenty accounts a second say where they stand.
const SYNCS_WITHIN: Duration = Duration::from_secs(30);

impl World {
    pub(super) async fn meet(&mut self, step: Step) {
        match step {
            Step::Come(stranger, many) => return self.let_in(stranger, many).await,
            Step::Kill => self.restart_after(End::Kill).await,
            Step::Stop => self.restart_after(End::Stop).await,
            Step::FillDisk(end) => self.fill_disk(end).await,
            Step::TakeDescriptors(millis) => {
                self.faults.set(Fault::NoDescriptors);
                let usual = limit_files(&self.zap, Some(1));
                self.pass(Duration::from_millis(millis)).await;
                limit_files(&self.zap, usual.current);
            }
            Step::LockLog(end) => self.lock_log(end).await,
            Step::LoseTree => self.lose_tree().await,
            Step::LoseRecord => self.lose_record().await,
            Step::Copy => self.copy().await,
            Step::PutBack(end) => self.put_back(end).await,
        }
        self.recovers().await;
        let moment = self.random.between(200, 1_500);
        self.pass(Duration::from_millis(moment)).await;
    }

    /// The server ends, in time; whoever waits for an answer does so in vain.
    pub(super) async fn ends(&mut self, end: End) {
        self.faults.set(Fault::Down);
        let start = Instant::now();
        match end {
            End::Stop => self.zap.stop().await.unwrap(),
            End::Kill | End::Not => self.zap.kill().unwrap(),
        }
        assert!(start.elapsed() < STOP_WITHIN, "it ended after {:?}", start.elapsed());
    }

    async fn restart_after(&mut self, end: End) {
        self.ends(end).await;
        self.starts().await;
    }

    async fn starts(&mut self) {
        self.zap.restart().await.unwrap();
        self.faults.set(Fault::None);
    }

    async fn fill_disk(&mut self, end: End) {
        self.faults.set(Fault::DiskFull);
        for _ in 0..self.random.between(10, 30) {
            self.fill();
            self.pass(Duration::from_millis(100)).await;
        }
        self.until_it_says("StorageFull").await;
        if end != End::Not {
            self.ends(end).await;
            self.fill();
            self.zap.restart_unwell().await.unwrap();
            self.faults.set(Fault::DiskFull);
            self.until_it_says("StorageFull").await;
        }
        self.disk.as_ref().unwrap().empty();
    }

    fn fill(&self) {
        self.disk.as_ref().unwrap().fill();
    }

    async fn lock_log(&mut self, end: End) {
        self.faults.set(Fault::LogStuck);
        let locked = lock_log(&self.zap);
        self.until_it_says("EventLogStuck").await;
        let moment = self.random.between(500, 5_000);
        self.pass(Duration::from_millis(moment)).await;
        if end != End::Not {
            self.ends(end).await;
        }
        drop(locked);
        if end != End::Not {
            self.starts().await;
        }
    }

    /// All records are left, and so the repo is the same when it is made anew.
    async fn lose_tree(&mut self) {
        let rev = firehose::latest_rev(&mut self.zap.client(), &self.idle.did).await;
        self.ends(End::Stop).await;
        destroy_page(&agent_file(&self.zap, &self.idle), "node");
        let (code, found, said) = repair(&self.zap, &["check", "idle"]);
        assert_eq!((code, &found["damaged"][0]["did"]), (1, &json!(self.idle.did)), "{said} {found}");
        let lost = self.rebuild(&["rebuild", "idle"]);
        assert_eq!(lost, json!([]));
        self.starts().await;
        assert_eq!(firehose::latest_rev(&mut self.zap.client(), &self.idle.did).await, rev);
        self.is_whole_again().await;
    }

    /// The record is given up when that is asked for, and the network is told.
    async fn lose_record(&mut self) {
        let keys: Vec<String> = self.idle_keys.iter().cloned().collect();
        let key = self.random.pick(&keys).unwrap().clone();
        self.ends(End::Stop).await;
        flip_record(&agent_file(&self.zap, &self.idle), &key);
        let (code, _, said) = repair(&self.zap, &["rebuild", "idle"]);
        assert!(code == 1 && said.contains("--drop-lost"), "{said}");
        let lost = self.rebuild(&["rebuild", "idle", "--drop-lost"]);
        assert!(lost.as_array().unwrap().len() == 1 && lost.to_string().contains(&key), "{key}: {lost}");
        self.idle_keys.remove(&key);
        self.starts().await;
        let rev = firehose::latest_rev(&mut self.zap.client(), &self.idle.did).await;
        self.follower.until(&self.idle.did, &rev, SYNCS_WITHIN).await;
        self.is_whole_again().await;
    }

    /// What was lost, in a rebuild that has to go well.
    fn rebuild(&self, args: &[&str]) -> serde_json::Value {
        let (code, rebuilt, said) = repair(&self.zap, args);
        assert_eq!(code, 0, "{said}");
        std::fs::remove_file(rebuilt["damaged"].as_str().unwrap()).unwrap();
        let (code, found, said) = repair(&self.zap, &["check"]);
        assert_eq!(code, 0, "{said} {found}");
        rebuilt["lost"].clone()
    }

    async fn is_whole_again(&self) {
        verify_repo(&self.zap, &self.idle);
        assert_eq!(self.idle_records().await, self.idle_keys);
    }

    async fn copy(&mut self) {
        let held = self.pause().await;
        self.ends(End::Stop).await;
        let folder = self.zap.data.with_file_name("copied");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        copy(&self.zap.data, &folder);
        self.copied = Some((folder, held.clone()));
        self.starts().await;
        self.go_on(held);
    }

    /// Everybody goes back with the data, but for the network, which is told by all accounts where they stand.
    async fn put_back(&mut self, end: End) {
        self.pause().await;
        self.ends(end).await;
        let (folder, held) = self.copied.clone().unwrap();
        put_back(&folder, &self.zap.data);
        self.follower.expect_syncs(self.dids(&held));
        self.starts().await;
        self.go_on(held);
        let start = Instant::now();
        while !self.follower.due().is_empty() {
            assert!(start.elapsed() < SYNCS_WITHIN, "{:?} did not say where they stand", self.follower.due());
            self.pass(Duration::from_millis(100)).await;
        }
    }
}
