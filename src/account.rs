//! The agent cell: one account's repo, keys, memory and events, written by one thread at a time.
//!
//! [`Account`] is the cell in memory: opened keys, the newest commit, the part of the tree that was used lately, and
//! the memory index once it was needed. Its database is the truth. [`Account::handle`] answers one [`Command`] in one
//! transaction; what must leave the cell is written to the outbox in that transaction and also handed to the host in
//! [`Effects`], so that the host need not read it back. Commands that only read are answered by [`read()`] from any
//! connection.
//!
//! Invariants
//! - Memory follows the database: fields change after the statements succeeded. When a transaction fails later, the
//!   host drops the cell and opens it again.
//! - An account that is not active makes no commits and emits none.
//! - Outbox ids rise strictly, also after a restore from a backup: the next is `max(last + 1, now)`.

mod blobs;
mod command;
mod error;
mod hosting;
mod import;
mod memories;
mod outbox;
mod read;
mod transfer;
mod writes;

#[cfg(test)]
mod tests;

pub use blobs::oldest_unreferenced_blob;
pub use command::*;
pub use error::Error;
pub use outbox::{clear_outbox, did};
pub use read::read;

use repo_mst::Tree;

use crate::crypto::SigningKey;
use crate::env::Env;
use crate::memory;
use crate::repo::Head;
use crate::repo::export::Replaced;
use crate::store::migrate::{Migration, migrate};
use crate::store::{Sql, in_transaction};
use crate::syntax::Tid;

/// The cell's schema.
pub const MIGRATIONS: &[Migration] =
    crate::migrations!("account", 1 "0001_init", 2 "0002_vault", 3 "0003_settled_nodes", 4 "0004_move");

/// What the host has to do after the transaction is on disk.
#[derive(Debug, Default)]
pub struct Effects {
    /// Events for the sequencer, already in the outbox.
    pub events: Vec<OutboxRow>,
    /// What commits replaced while [`Account::keep_replaced`] was on.
    pub replaced: Vec<Replaced>,
    /// Keys were destroyed: the write-ahead log still has them until it is cut.
    pub shredded: bool,
}

/// The cell in memory. Without an account until [`CreateRepo`].
#[derive(Default)]
pub struct Account {
    account: Option<State>,
    effects: Effects,
    keep_replaced: bool,
}

/// The account that lives in the cell.
struct State {
    did: String,
    status: String,
    key: SigningKey,
    head: Head,
    tree: Tree,
    memory: memory::Memory,
    /// Nodes in the database that are not settled yet, about.
    new_nodes: u64,
    /// Distinguishes this writer's TIDs from another's in the same microsecond.
    clock_id: u16,
    /// The newest record key made; a failed command's stays unused.
    last_record_key: Option<Tid>,
    /// The newest outbox id given.
    outbox_last: i64,
    /// Outbox rows up to here are safe at the sequencer.
    outbox_synced: i64,
}

impl Account {
    /// Brings the schema up to date and opens what is there.
    ///
    /// # Errors
    /// [`Error`] of the database, or of keys wrapped under another master key.
    pub fn load(sql: &dyn Sql, env: &mut Env<'_>) -> Result<Self, Error> {
        migrate(sql, MIGRATIONS)?;
        Ok(Self { account: hosting::open(sql, env)?, ..Self::default() })
    }

    /// Answers one command, in one transaction.
    ///
    /// # Errors
    /// [`Error`]; then nothing has changed.
    pub fn handle(&mut self, sql: &dyn Sql, env: &mut Env<'_>, command: Command) -> Result<Reply, Error> {
        if command.is_read() {
            return read(sql, command);
        }
        let (events, replaced) = (self.effects.events.len(), self.effects.replaced.len());
        let shredded = self.effects.shredded;
        let answer = in_transaction(sql, || self.answer(sql, env, command));
        if answer.is_err() {
            self.effects.events.truncate(events);
            self.effects.replaced.truncate(replaced);
            self.effects.shredded = shredded;
        }
        answer
    }

    /// What the commands since the last call leave to the host.
    pub fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    /// Whether commits put what they replace into the effects: for exports on a host without snapshots.
    pub fn keep_replaced(&mut self, keep: bool) {
        self.keep_replaced = keep;
    }

    /// Tells the cell that its outbox rows up to `id` are safe at the sequencer. Its next write removes them.
    pub fn outbox_synced(&mut self, id: i64) {
        if let Some(account) = &mut self.account {
            account.outbox_synced = account.outbox_synced.max(id);
        }
    }

    fn answer(&mut self, sql: &dyn Sql, env: &mut Env<'_>, command: Command) -> Result<Reply, Error> {
        Ok(match command {
            Command::CreateRepo(command) => Reply::CreateRepo(self.create_repo(sql, env, &command)?),
            Command::ApplyWrites(command) => Reply::ApplyWrites(self.apply_writes(sql, env, command)?),
            Command::SetStatus(command) => Reply::SetStatus(self.set_status(sql, env, &command)?),
            Command::EmitIdentity(command) => Reply::EmitIdentity(self.emit_identity(sql, env, &command)?),
            Command::SignServiceAuth(command) => {
                Reply::SignServiceAuth(self.sign_service_auth(env, &command)?)
            }
            Command::AddBlob(command) => Reply::AddBlob(self.add_blob(sql, env, &command)?),
            Command::ExpireBlobs(command) => Reply::ExpireBlobs(self.expire_blobs(sql, &command)?),
            Command::Remember(command) => Reply::Remember(self.remember(sql, env, &command)?),
            Command::GetMemory(command) => Reply::GetMemory(self.get_memory(sql, &command)?),
            Command::ListMemories(command) => Reply::ListMemories(self.list_memories(sql, &command)?),
            Command::Recall(command) => Reply::Recall(self.recall(sql, &command)?),
            Command::Forget(command) => Reply::Forget(self.forget(sql, env, &command)?),
            Command::GetSigningKey(_) => Reply::GetSigningKey(self.account()?.key.did_key()),
            Command::SealManifest(command) => Reply::SealManifest(self.seal_manifest(sql, env, &command)?),
            // Not a read beside the writer: the database of an agent that slept long has no such table yet.
            Command::GetMoveKey(command) => Reply::GetMoveKey(transfer::move_key(sql, &command)?),
            Command::SignMove(command) => Reply::SignMove(self.sign_move(sql, env, &command)?.into()),
            Command::DropMoveKey(command) => Reply::DropMoveKey(self.drop_move_key(sql, &command)?),
            Command::BeginImport(command) => Reply::BeginImport(self.begin_import(sql, env, &command)?),
            Command::ImportRecords(command) => Reply::ImportRecords(self.import_records(sql, &command)?),
            Command::FinishImport(command) => Reply::FinishImport(self.finish_import(sql, env, &command)?),
            reading => read(sql, reading)?,
        })
    }

    fn account(&mut self) -> Result<&mut State, Error> {
        self.account.as_mut().ok_or(Error::NoRepo)
    }

    fn active_account(&mut self) -> Result<&mut State, Error> {
        let account = self.account()?;
        if account.status == ACTIVE { Ok(account) } else { Err(Error::Inactive(account.status.clone())) }
    }
}

/// The standing in which an account writes and is followed.
pub const ACTIVE: &str = "active";
