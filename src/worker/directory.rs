//! The network's directory as one object, and the one place where changes of several steps are carried out.
//!
//! A Worker has no state and its requests end with their callers, so it can't see to it that a change goes on to its end,
//! or that notices are carried in order: it asks this object to. An alarm goes on with what was left behind.
#![allow(missing_docs, reason = "of what the macro durable_object makes")]

use std::cell::RefCell;
use std::sync::Arc;

use futures::channel::oneshot;
use worker::wasm_bindgen_futures::spawn_local;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use super::object::{self, Alarm};
use super::settings::Settings;
use super::sql::ObjectSql;
use super::{now_us, system_random};
use crate::app::{App, Carried, Error, Flows};
use crate::directory::{self, Command, Directory, Flow, Reply, has_work, next_handle_check_us, next_mail_us};
use crate::store::SqlError;
use crate::syntax::Did;

/// What a handler or a crash left is gone on with then.
const CARRY_ALARM_US: i64 = 30_000_000;

/// Mail that is due goes then, with what else is asked for in the same moment; so often at most is it tried.
const MAIL_ALARM_US: i64 = 1_000_000;

/// How often is looked at handles that are due: each is once a day, or once an hour.
const HANDLES_ALARM_US: i64 = 60_000_000;

/// The Durable Object.
#[durable_object(alarm)]
pub struct DirectoryObject {
    state: State,
    settings: Settings,
    sql: ObjectSql,
    alarm: Alarm,
    cell: RefCell<Option<Directory>>,
    /// What carries out changes; its host reaches the cells as any other does, this one included.
    app: Result<Arc<App>, String>,
}

impl DurableObject for DirectoryObject {
    fn new(state: State, env: Env) -> Self {
        let settings = Settings::of(&env);
        let app = super::app::app(&env, &settings, Flows::here(Box::new(spawn_local)))
            .map_err(|error| error.to_string());
        let sql = ObjectSql::new(&state.storage());
        Self { state, settings, sql, alarm: Alarm::new(), cell: RefCell::new(None), app }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        self.alarm.learn(&self.state).await?;
        match request.path().as_str() {
            object::COMMAND => {
                let command = object::read_command(&mut request).await?;
                object::answer(&self.handle(command))
            }
            object::CARRY => object::answer(&self.carry().await),
            object::RUN => {
                let (did, flow) = object::read_command(&mut request).await?;
                object::answer(&self.run(did, flow).await)
            }
            other => Response::error(format!("the directory has no {other}"), 404),
        }
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.alarm.rang();
        let app = self.app.as_ref().map_err(|error| worker::Error::RustError(error.clone()))?;
        if let Err(error) = app.resume_flows().await {
            tracing::warn!(%error, "changes that were cut short wait for the next try");
        }
        if let Err(error) = self.carry().await {
            tracing::warn!(%error, "notices of the directory wait for the next try");
        }
        if let Err(error) = app.post().await {
            tracing::warn!(%error, "mail waits for the next try");
        }
        // In a task of its own: it may wait for many servers, and mail waits for none of them.
        let app = Arc::clone(app);
        self.state.wait_until(async move {
            if let Err(error) = app.check_handles().await {
                tracing::warn!(%error, "handles are looked at later");
            }
        });
        self.ring_if_needed();
        Response::empty()
    }
}

impl DirectoryObject {
    fn handle(&self, command: Command) -> Result<Reply, directory::Error> {
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
        match next_mail_us(&self.sql) {
            Ok(Some(next_us)) => {
                self.alarm.ring_in(&self.state, next_us.saturating_sub(now_us()).max(MAIL_ALARM_US));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "whether mail waits is not known"),
        }
        match next_handle_check_us(&self.sql) {
            Ok(Some(next_us)) => {
                self.alarm.ring_in(&self.state, next_us.saturating_sub(now_us()).max(HANDLES_ALARM_US));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "whether handles are due is not known"),
        }
    }

    fn app(&self) -> Result<Arc<App>, Error> {
        self.app.as_ref().map(Arc::clone).map_err(|error| Error::Storage(error.clone()))
    }

    async fn carry(&self) -> Result<Carried, Error> {
        self.app()?.carry_here().await
    }

    /// In a task of the object, which goes on when the request ends early.
    async fn run(&self, did: Did, flow: Option<Flow>) -> Result<(), Error> {
        let app = self.app()?;
        let (sender, receiver) = oneshot::channel();
        self.state.wait_until(async move { drop(sender.send(app.run_here(&did, flow).await)) });
        receiver.await.unwrap_or(Err(Error::Stopping))
    }
}
