//! The cell of an account: its repo, memory and events, written by one thread at a time.
//!
//! [`Account`] is the cell in memory: opened keys, the newest commit, the part of the tree that was used lately, and the
//! memory index once it was needed. The database is the truth. What it can be asked belongs to domains, one line each
//! below; the cell opens what they share and hands each command to its domain, in one transaction
//! ([`Account::change`]). What must leave the cell is in [`Effects`]. Commands that only read are answered by
//! [`read()`] from any connection.
//!
//! Invariants
//! - Memory follows the database: fields change after the statements succeeded. When a transaction fails later, the
//!   host drops the cell and opens it again.
//! - An account that is not active makes no commits and emits none.

mod error;
pub mod hosting;
pub mod rebuild;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use hosting::{CreateRepo, EmitIdentity, GetSigningKey, Restate, SetStatus, SignServiceAuth, did};

use crate::env::Env;
use crate::memory::Memory;
use crate::moving::Home;
use crate::outbox::{Effects, Outbox};
use crate::repo::Repo;
use crate::repo::export::Replaced;
use crate::store::migrate::{Migration, migrate};
use crate::store::{Sql, in_transaction};
use crate::work::{Owner, Work};
use crate::{blobs, memory, moving, outbox, preferences, repo, vault};

/// The cell's schema.
pub const MIGRATIONS: &[Migration] = crate::migrations!("account", 1 "0001_init", 2 "0002_vault", 3 "0003_settled_nodes", 4 "0004_move", 5 "0005_export",
    6 "0006_cut", 7 "0007_marks", 8 "0008_sent", 9 "0009_points", 10 "0010_preferences", 11 "0011_takedown", 12 "0012_outbox_slots");

crate::cell! {
    Hosting: hosting,
    Repo: repo,
    Memory: memory,
    Blobs: blobs,
    Outbox: outbox,
    Moving: moving,
    Preferences: preferences,
}

/// Whether a command may end a key, which must then be overwritten where it stood. Said of all but the writes of public
/// records.
pub fn may_end_keys(change: &Change) -> bool {
    match change {
        Change::Repo(repo::Change::ApplyWrites(apply)) => {
            apply.writes.iter().any(|write| write.collection.as_str() == vault::COLLECTION)
        }
        Change::Preferences(_) => false,
        _ => true,
    }
}

/// The cell in memory. Without an account until [`CreateRepo`].
#[derive(Default)]
pub struct Account {
    state: Option<State>,
    outbox: Outbox,
}

/// The account that lives in the cell.
struct State {
    owner: Owner,
    repo: Repo,
    memory: Memory,
}

impl Account {
    /// Brings the schema up to date and opens what is there.
    ///
    /// # Errors
    /// [`Error`] of the database, or of keys wrapped under another master key.
    pub fn load(sql: &dyn Sql, env: &mut Env<'_>) -> Result<Self, Error> {
        migrate(sql, MIGRATIONS)?;
        let mut cell = Self::default();
        cell.outbox = cell.open(sql, env)?;
        Ok(cell)
    }

    /// Answers one command.
    ///
    /// # Errors
    /// [`Error`]; then nothing has changed.
    pub fn handle(&mut self, sql: &dyn Sql, env: &mut Env<'_>, command: Command) -> Result<Reply, Error> {
        match command {
            Command::Query(query) => read(sql, query),
            Command::Change(change) => self.change(sql, env, change),
        }
    }

    /// Answers one command that needs the writer, in one transaction.
    ///
    /// # Errors
    /// [`Error`]; then nothing has changed.
    pub fn change(&mut self, sql: &dyn Sql, env: &mut Env<'_>, change: Change) -> Result<Reply, Error> {
        self.answer_within(sql, env, change, true)
    }

    /// As [`Account::change`], in the caller's transaction, in which nothing was done yet: a savepoint costs a copy of each
    /// page that changes.
    ///
    /// # Errors
    /// [`Error`]; then the caller's transaction must be undone.
    pub fn change_first(&mut self, sql: &dyn Sql, env: &mut Env<'_>, change: Change) -> Result<Reply, Error> {
        self.answer_within(sql, env, change, false)
    }

    fn answer_within(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        change: Change,
        has_transaction: bool,
    ) -> Result<Reply, Error> {
        let mut outbox = std::mem::take(&mut self.outbox);
        let answer = outbox.undo_on_error(|out| {
            let answer = || self.answer(&mut Desk { sql, env, out }, change);
            if has_transaction { in_transaction(sql, answer) } else { answer() }
        });
        self.outbox = outbox;
        answer
    }

    fn answer(&mut self, desk: &mut Desk<'_, '_>, change: Change) -> Result<Reply, Error> {
        Ok(match change {
            Change::Hosting(change) => Reply::Hosting(self.host(desk, change)?),
            Change::Repo(change) => {
                let (mut work, repo, memory) = self.state()?.work(desk);
                let mut unsealed = Vec::new();
                let reply = repo.change(&mut work, change, &mut unsealed)?;
                memory.forgotten(&unsealed);
                Reply::Repo(reply)
            }
            Change::Memory(change) => {
                let (mut work, repo, memory) = self.state()?.work(desk);
                Reply::Memory(memory.change(&mut work, repo, change)?)
            }
            Change::Blobs(change) => {
                let effects = &mut desk.out.effects;
                Reply::Blobs(blobs::change(desk.sql, desk.env.now_us, effects, change)?)
            }
            Change::Outbox(never) => match never {},
            Change::Preferences(change) => {
                let (mut work, ..) = self.state()?.work(desk);
                Reply::Preferences(preferences::change(&mut work, change)?)
            }
            Change::Moving(change) => {
                let home = self.state.as_ref().map(State::home);
                let reply = moving::change(desk.sql, desk.env, home.as_ref(), change)?;
                if self.state.is_none() {
                    desk.out.adopt(self.open(desk.sql, desk.env)?);
                }
                Reply::Moving(reply)
            }
        })
    }

    /// What the commands since the last call leave to the host.
    pub fn take_effects(&mut self) -> Effects {
        self.outbox.take_effects()
    }

    /// Removes what the sequencer has safely, but for rows that are about to be written over. The next event does so as
    /// well; before the commands of a transaction, and so outside their savepoints, it costs fewer pages.
    ///
    /// # Errors
    /// [`Error::Sql`].
    pub fn clear_outbox(&mut self, sql: &dyn Sql, now_us: i64) -> Result<(), Error> {
        Ok(self.outbox.clear_synced(sql, now_us)?)
    }

    /// Tells the cell that its transaction was undone though no command failed.
    pub fn undone(&mut self) {
        self.outbox.undone();
    }

    /// Whether commands since the last [`Account::take_effects`] left events.
    pub fn has_events(&self) -> bool {
        !self.outbox.effects.events.is_empty()
    }

    /// Whether commits keep what they replace: for exports on a host without snapshots.
    pub fn keep_replaced(&mut self, keep: bool) {
        if let Some(state) = &mut self.state {
            state.repo.keep_replaced = keep;
        }
    }

    /// What commits replaced since the last call, while they kept it.
    pub fn take_replaced(&mut self) -> Vec<Replaced> {
        self.state.as_mut().map(|state| std::mem::take(&mut state.repo.replaced)).unwrap_or_default()
    }

    /// Tells the cell that its outbox rows up to `id` are safe at the sequencer. The cell's next events take their place.
    pub fn outbox_synced(&mut self, id: i64) {
        self.outbox.note_synced(id);
    }

    fn state(&mut self) -> Result<&mut State, Error> {
        self.state.as_mut().ok_or(Error::NoRepo)
    }
}

/// What a command is answered with before it is known whose account it is.
struct Desk<'a, 'e> {
    sql: &'a dyn Sql,
    env: &'a mut Env<'e>,
    out: &'a mut Outbox,
}

impl State {
    /// The work of a domain, and what the repo's and the memory's own share of the cell is.
    fn work<'w, 'e>(
        &'w mut self,
        desk: &'w mut Desk<'_, 'e>,
    ) -> (Work<'w, 'e>, &'w mut Repo, &'w mut Memory) {
        let work = Work { sql: desk.sql, env: desk.env, account: &self.owner, out: desk.out };
        (work, &mut self.repo, &mut self.memory)
    }

    fn home(&self) -> Home<'_> {
        Home { owner: &self.owner, keyring: self.memory.keyring(), head: &self.repo.head }
    }
}

/// Answers a command that only reads. Such a command needs the database and nothing of the cell in memory, so that any
/// connection beside the writer's may answer.
///
/// # Errors
/// [`Error`].
pub fn read(sql: &dyn Sql, query: Query) -> Result<Reply, Error> {
    Ok(match query {
        Query::Hosting(never) => match never {},
        Query::Repo(query) => Reply::Repo(repo::read(sql, query)?),
        Query::Memory(never) => match never {},
        Query::Blobs(query) => Reply::Blobs(blobs::read(sql, query)?),
        Query::Outbox(query) => Reply::Outbox(outbox::read(sql, query)?),
        Query::Moving(never) => match never {},
        Query::Preferences(never) => match never {},
    })
}
