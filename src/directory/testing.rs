//! A directory cell in memory, for the tests of this module.

use std::sync::atomic::{AtomicU64, Ordering};

use rand_core::{TryCryptoRng, TryRng};

use super::{
    ClearOutbox, Command, CompleteAccount, Directory, Error, Notice, ReadOutbox, Reply, ReserveAccount,
};
use crate::actor::Kind;
use crate::env::{Env, Network};
use crate::identity::{AtprotoData, Operation, PlcOperation};
use crate::native::sql::Database;
use crate::seam::{Hidden, Request};
use crate::syntax::{Did, Handle};

pub(super) const HOUR_US: i64 = 3_600_000_000;

/// A cell with a clock and randomness that tests control.
pub(super) struct Cell {
    pub(super) now_us: i64,
    pub(super) network: Network,
    rng: Counter,
    database: Database,
    directory: Directory,
}

impl Cell {
    pub(super) fn new() -> Self {
        let (network, mut rng) = (network(), Counter(0));
        let database = Database::in_memory().unwrap();
        let now_us = 1_700_000_000_000_000;
        let mut env = Env { now_us, rng: &mut rng, network: &network };
        let directory = Directory::load(&database, &mut env).unwrap();
        Self { now_us, network, rng, database, directory }
    }

    /// Loads the cell again from its database.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        let mut env = Env { now_us: self.now_us, rng: &mut self.rng, network: &self.network };
        self.directory = Directory::load(&self.database, &mut env)?;
        Ok(())
    }

    /// Asks through the seam's bytes, as another machine would.
    pub(super) fn ask<R>(&mut self, request: R) -> Result<R::Reply, Error>
    where
        R: Request<Command = Command, Answer = Reply>,
    {
        let bytes = serde_ipld_dagcbor::to_vec(&request.into_command()).unwrap();
        let command = serde_ipld_dagcbor::from_slice(&bytes).unwrap();
        let mut env = Env { now_us: self.now_us, rng: &mut self.rng, network: &self.network };
        let reply = self.directory.handle(&self.database, &mut env, command)?;
        let bytes = serde_ipld_dagcbor::to_vec(&reply).unwrap();
        Ok(R::from_answer(serde_ipld_dagcbor::from_slice(&bytes).unwrap()).unwrap())
    }

    pub(super) fn person(&mut self, handle: &str, email: &str) -> Did {
        let did = self.ask(signup(handle, Some(email))).unwrap().did;
        self.ask(CompleteAccount { did: did.clone() }).unwrap();
        did
    }

    pub(super) fn agent(&mut self, handle: &str) -> Did {
        let did = self.ask(ReserveAccount { kind: Kind::Agent, ..signup(handle, None) }).unwrap().did;
        self.ask(CompleteAccount { did: did.clone() }).unwrap();
        did
    }

    /// Reads and clears the outbox.
    pub(super) fn drain(&mut self) -> Vec<(Did, Notice)> {
        let entries = self.ask(ReadOutbox { after: 0, limit: 100 }).unwrap();
        for entry in &entries {
            self.ask(ClearOutbox { id: entry.id }).unwrap();
        }
        entries.into_iter().map(|entry| (entry.did, entry.notice)).collect()
    }
}

pub(super) use crate::testing::network;

/// A signup with a DID nobody has.
pub(super) fn signup(handle: &str, email: Option<&str>) -> ReserveAccount {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    ReserveAccount {
        did: Did::try_from(format!("did:plc:test{number:08}")).unwrap(),
        plc_operation: Some(genesis(handle)),
        signing_key: Hidden::new([1; 32]),
        handle: Handle::try_from(handle).unwrap(),
        handle_verified: false,
        allow_reserved: false,
        email: email.map(str::to_owned),
        password_hash: None,
        invite_code: None,
        invite_exempt: false,
        kind: Kind::Person,
        display_name: None,
        model: None,
        config: None,
    }
}

/// A first operation, for looks.
fn genesis(handle: &str) -> Operation {
    let operation = PlcOperation::genesis(&AtprotoData {
        signing_key: "did:key:zSigning",
        rotation_keys: &["did:key:zRotation".to_owned()],
        handle: &Handle::try_from(handle).unwrap(),
        pds_endpoint: "http://localhost:2583",
    });
    Operation::Plc(PlcOperation { sig: "signature".to_owned(), ..operation })
}

/// Randomness that never repeats and is none.
struct Counter(u64);

impl TryRng for Counter {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 += 1;
        Ok(self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}
