//! The network's directory as one object, and the one carrier of its notices.
//!
//! A Worker has no state, so it can't see to it that notices are carried in order: it asks this object to. An alarm
//! carries what was left behind, and ends signups that a crash cut short.
#![allow(missing_docs, reason = "of what the macro durable_object makes")]

use std::cell::RefCell;
use std::sync::Arc;

use worker::{DurableObject, Env, Request, Response, State, durable_object};

use super::front;
use super::object::{self, Alarm};
use super::settings::Settings;
use super::sql::ObjectSql;
use super::{now_us, system_random};
use crate::directory::{Command, Directory, Error, Reply, has_work};
use crate::store::SqlError;
use crate::xrpc::{App, Carried, Carrier};

/// The name of the one object.
pub(super) const NAME: &str = "directory";
/// The path that has notices carried.
pub(super) const CARRY: &str = "/carry";
/// What a handler or a crash left is carried then.
const CARRY_ALARM_US: i64 = 30_000_000;

/// The Durable Object.
#[durable_object(alarm)]
pub struct DirectoryObject {
    state: State,
    settings: Settings,
    sql: ObjectSql,
    alarm: Alarm,
    cell: RefCell<Option<Directory>>,
    /// What carries notices; its host reaches the cells as any other does, this one included.
    app: Result<Arc<App>, String>,
}

impl DurableObject for DirectoryObject {
    fn new(state: State, env: Env) -> Self {
        let settings = Settings::of(&env);
        let app = front::app(&env, &settings, Carrier::default()).map_err(|error| error.to_string());
        let sql = ObjectSql::new(&state.storage());
        Self { state, settings, sql, alarm: Alarm::new(), cell: RefCell::new(None), app }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        match request.path().as_str() {
            object::COMMAND => {
                let command = object::read_command(&mut request).await?;
                object::answer(&self.handle(command))
            }
            CARRY => object::answer(&self.carry().await),
            other => Response::error(format!("the directory has no {other}"), 404),
        }
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.alarm.rang();
        let app = self.app.as_ref().map_err(|error| worker::Error::RustError(error.clone()))?;
        if let Err(error) = app.resume_signups().await {
            tracing::warn!(%error.message, "signups that a stop cut short wait for the next try");
        }
        if let Err(error) = self.carry().await {
            tracing::warn!(%error, "notices of the directory wait for the next try");
        }
        self.ring_if_needed();
        Response::empty()
    }
}

impl DirectoryObject {
    fn handle(&self, command: Command) -> Result<Reply, Error> {
        let network = self.settings.network().map_err(|error| SqlError::Other(error.to_string()))?;
        let mut rng = system_random();
        let mut env = crate::env::Env { now_us: now_us(), rng: &mut rng, network: &network };
        let mut opened = self.cell.borrow_mut();
        let cell = match opened.as_mut() {
            Some(cell) => cell,
            None => opened.insert(Directory::load(&self.sql, &mut env)?),
        };
        let answer = cell.handle(&self.sql, &mut env, command);
        self.ring_if_needed();
        answer
    }

    fn ring_if_needed(&self) {
        match has_work(&self.sql) {
            Ok(true) => self.alarm.ring_in(&self.state, CARRY_ALARM_US),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "whether notices wait is not known"),
        }
    }

    async fn carry(&self) -> Result<Carried, String> {
        let app = self.app.as_ref().map_err(Clone::clone)?;
        app.carry_here().await.map_err(|error| error.message.to_string())
    }
}
