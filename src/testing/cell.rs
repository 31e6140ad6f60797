//! What all cells have in common, for what is done with any of them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::account::{self, Account};
use crate::directory::{self, Directory};
use crate::env::Env;
use crate::sequencer::{self, Sequencer};
use crate::store::Sql;

/// A cell of any kind.
pub trait Cell: Sized {
    /// What it can be asked.
    type Command: Serialize + DeserializeOwned;
    /// What it answers.
    type Reply: Serialize + DeserializeOwned;
    /// Why it does not.
    type Error: std::fmt::Display + std::fmt::Debug + Serialize;

    /// Opens it from its database.
    ///
    /// # Errors
    /// The cell's.
    fn load(sql: &dyn Sql, env: &mut Env<'_>) -> Result<Self, Self::Error>;

    /// Answers one command.
    ///
    /// # Errors
    /// The cell's.
    fn handle(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        command: Self::Command,
    ) -> Result<Self::Reply, Self::Error>;

    /// Drops what commands leave to the host.
    fn drop_effects(&mut self) {}
}

impl Cell for Account {
    type Command = account::Command;
    type Reply = account::Reply;
    type Error = account::Error;

    fn load(sql: &dyn Sql, env: &mut Env<'_>) -> Result<Self, account::Error> {
        Self::load(sql, env)
    }

    fn handle(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        command: account::Command,
    ) -> Result<account::Reply, account::Error> {
        self.handle(sql, env, command)
    }

    fn drop_effects(&mut self) {
        self.take_effects();
    }
}

impl Cell for Directory {
    type Command = directory::Command;
    type Reply = directory::Reply;
    type Error = directory::Error;

    fn load(sql: &dyn Sql, env: &mut Env<'_>) -> Result<Self, directory::Error> {
        Self::load(sql, env)
    }

    fn handle(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        command: directory::Command,
    ) -> Result<directory::Reply, directory::Error> {
        self.handle(sql, env, command)
    }
}

impl Cell for Sequencer {
    type Command = sequencer::Command;
    type Reply = sequencer::Reply;
    type Error = sequencer::Error;

    fn load(sql: &dyn Sql, _: &mut Env<'_>) -> Result<Self, sequencer::Error> {
        Self::load(sql)
    }

    fn handle(
        &mut self,
        sql: &dyn Sql,
        env: &mut Env<'_>,
        command: sequencer::Command,
    ) -> Result<sequencer::Reply, sequencer::Error> {
        self.handle(sql, env.now_us, command)
    }

    fn drop_effects(&mut self) {
        self.take_appended();
    }
}
