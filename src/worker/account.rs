//! The object of one account: its cell over its storage, its outbox on the way to the sequencer, its repo on the way
//! out.
//!
//! The outbox is drained right after a command, beside the answer; an alarm that is set with the same durable write
//! drains again what a crash, an eviction or the sequencer's absence left. When it finds nothing to send, it removes
//! the rows that are safe, so that an object at rest has an empty outbox and nothing to do when it wakes.
#![allow(missing_docs, reason = "of what the macro durable_object makes")]

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures::future::{Either, select};
use futures::lock::Mutex;
use futures::pin_mut;
use rand_core::Rng as _;
use worker::{Delay, DurableObject, Env, Request, Response, State, durable_object};

use super::object::{self, Alarm};
use super::settings::Settings;
use super::sql::ObjectSql;
use super::{blobs, download, now_us, system_random};
use crate::account::{self, Account, Command, Error, Reply};
use crate::blobs::ExpireBlobs;
use crate::host::HostError;
use crate::limits::{BLOB_UNREFERENCED_SECONDS, OUTBOX_HELD_BYTES_MAX};
use crate::outbox::OutboxRow;
use crate::outbox::drain::{Drain, RETRY_MIN_US};
use crate::repo::export::{Export, Replaced};
use crate::seam::{Access, Named as _, Request as _};
use crate::sequencer::{self, Append, OutboxEvent};
use crate::store::migrate::is_current;
use crate::store::query_first;
use crate::syntax::{Did, Tid};
use crate::{blobs as blobs_cell, outbox};

/// Drains what the drain beside the answer did not, and tidies up after it.
const OUTBOX_ALARM_US: i64 = RETRY_MIN_US;
/// At least this long between two drains: a busy agent's events go out together, one alone goes out at once.
const DRAIN_PAUSE_US: i64 = 50_000;
/// The longest the sequencer may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Blobs let go in one transaction, and from the bucket in one request.
const BLOBS_PAGE: u32 = 100;
/// Pages of them in one alarm.
const BLOBS_PAGES: u32 = 50;
/// After the bucket failed.
const BLOBS_RETRY_US: i64 = 3_600_000_000;

/// The Durable Object.
#[durable_object(alarm)]
pub struct AgentObject {
    inner: Rc<Inner>,
}

struct Inner {
    state: State,
    env: Env,
    settings: Settings,
    sql: ObjectSql,
    alarm: Alarm,
    /// Opened by the first command that needs it.
    cell: RefCell<Option<Account>>,
    /// Exports on their way; a writer tells them what it replaces.
    exports: RefCell<Vec<Weak<RefCell<Running>>>>,
    /// Known to have a database.
    is_there: Cell<bool>,
    did: RefCell<Option<Did>>,
    /// Held by the one drain that runs.
    turn: Mutex<()>,
    /// What of the outbox goes to the sequencer next.
    drain: RefCell<Drain>,
}

/// An export, or why it can't be finished.
type Running = Result<Export, Error>;

impl DurableObject for AgentObject {
    fn new(state: State, env: Env) -> Self {
        let sql = ObjectSql::new(&state.storage());
        Self {
            inner: Rc::new(Inner {
                settings: Settings::of(&env),
                sql,
                state,
                env,
                alarm: Alarm::new(),
                cell: RefCell::new(None),
                exports: RefCell::default(),
                is_there: Cell::new(false),
                did: RefCell::default(),
                turn: Mutex::new(()),
                drain: RefCell::new(Drain::new(OUTBOX_HELD_BYTES_MAX)),
            }),
        }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        self.inner.alarm.learn(&self.inner.state).await?;
        match request.path().as_str() {
            object::COMMAND => {
                let command = object::read_command(&mut request).await?;
                let answer = self.inner.handle(command);
                self.inner.drain_aside();
                object::answer(&answer)
            }
            object::EXPORT => {
                let since: Option<Tid> = object::read_command(&mut request).await?;
                self.inner.export(since)
            }
            object::DESTROY => {
                self.inner.destroy().await?;
                Response::empty()
            }
            other => Response::error(format!("an agent has no {other}"), 404),
        }
    }

    async fn alarm(&self) -> worker::Result<Response> {
        let inner = &self.inner;
        inner.alarm.rang();
        if !inner.exists()? {
            return Response::empty();
        }
        inner.drain_all().await;
        if inner.drain.borrow().has_unsent() {
            // Another drain runs, or this one failed: either may be lost with this life of the object.
            inner.alarm.ring_in(&inner.state, inner.retry_us());
        }
        inner.tidy();
        inner.expire_blobs().await;
        Response::empty()
    }
}

impl Inner {
    /// Whether there is a database: naming an object makes none.
    fn exists(&self) -> Result<bool, Error> {
        if !self.is_there.get() {
            let statement = "SELECT count(*) FROM sqlite_master WHERE name = 'schema_migration'";
            let tables = query_first(&self.sql, statement, &[], |row| row.integer(0))?;
            self.is_there.set(tables.unwrap_or(0) > 0);
        }
        Ok(self.is_there.get())
    }

    /// Whose object this is, once it has an account.
    fn did(&self) -> Result<Option<Did>, Error> {
        let mut did = self.did.borrow_mut();
        if did.is_none() {
            *did = account::did(&self.sql)?;
        }
        Ok(did.clone())
    }

    fn handle(&self, command: Command) -> Result<Reply, Error> {
        let mut opened = self.cell.borrow_mut();
        if opened.is_none() {
            if command.access() != Access::Create && !self.exists()? {
                return Err(Error::NoRepo);
            }
            *opened = Some(self.load()?);
        }
        let cell = opened.as_mut().ok_or(Error::NoRepo)?;
        let network = self.settings.network().map_err(|error| Error::Internal(error.to_string()))?;
        let mut rng = system_random();
        let mut env = crate::env::Env { now_us: now_us(), rng: &mut rng, network: &network };
        let exporting = self.exports.borrow().iter().any(|export| export.strong_count() > 0);
        cell.keep_replaced(exporting);
        let answer = cell.handle(&self.sql, &mut env, command);
        let effects = cell.take_effects();
        if !effects.events.is_empty() {
            let mut drain = self.drain.borrow_mut();
            drain.hold(effects.events);
            // After a failure the alarm is set already, for when it is worth another try.
            if !drain.is_resting(now_us()) {
                self.alarm.ring_in(&self.state, OUTBOX_ALARM_US);
            }
        }
        if let Some(wake_us) = effects.wake_us {
            self.alarm.ring_in(&self.state, wake_us - now_us());
        }
        self.tell_exports(&cell.take_replaced());
        if answer.as_ref().is_err_and(Error::is_storage) {
            // Memory may be ahead of the database now: the next command opens the cell anew.
            *opened = None;
        }
        answer
    }

    /// Opens the cell, which brings its schema up to date.
    fn load(&self) -> Result<Account, Error> {
        let network = self.settings.network().map_err(|error| Error::Internal(error.to_string()))?;
        let mut rng = system_random();
        let mut env = crate::env::Env { now_us: now_us(), rng: &mut rng, network: &network };
        Account::load(&self.sql, &mut env)
    }

    fn tell_exports(&self, replaced: &[Replaced]) {
        let mut exports = self.exports.borrow_mut();
        exports.retain(|export| export.strong_count() > 0);
        for export in exports.iter().filter_map(Weak::upgrade) {
            let mut running = export.borrow_mut();
            if let Ok(export) = running.as_mut()
                && let Err(error) = export.keep(replaced)
            {
                *running = Err(error.into());
            }
        }
    }

    /// Streams the repo: the reader's pace decides when the next chunk is read.
    fn export(self: &Rc<Self>, since: Option<Tid>) -> worker::Result<Response> {
        if !self.exists()? {
            return object::answer(&Err::<(), Error>(Error::NoRepo)).map(|answer| answer.with_status(404));
        }
        if !is_current(&self.sql, account::MIGRATIONS).map_err(Error::from)? {
            *self.cell.borrow_mut() = Some(self.load()?);
        }
        let export = Rc::new(RefCell::new(Ok(
            Export::begin(&self.sql, since.as_ref().map(Tid::as_str)).map_err(Error::from)?
        )));
        self.exports.borrow_mut().push(Rc::downgrade(&export));
        let inner = Rc::clone(self);
        download::answer(&self.state, move || {
            let mut running = export.borrow_mut();
            let next = running.as_mut().map_err(|error| error.clone());
            let next = next.and_then(|export| export.next_chunk(&inner.sql).map_err(Error::from));
            next.map_err(|error| {
                let did = inner.did().ok().flatten();
                tracing::error!(did = did.as_ref().map(Did::as_str), %error, "an export was cut short");
            })
            .transpose()
        })
    }

    /// Drains beside the answer that is on its way, if there is something to send and no drain that will see it. After a
    /// failure only the alarm drains for a while: a sequencer that failed is not asked again by every command.
    fn drain_aside(self: &Rc<Self>) {
        let is_idle = {
            let drain = self.drain.borrow();
            !drain.has_unsent() || drain.is_resting(now_us())
        };
        if is_idle || self.turn.try_lock().is_none() {
            return;
        }
        let object = Rc::clone(self);
        self.state.wait_until(async move { object.drain_all().await });
    }

    /// Brings the outbox to the sequencer, in order. One at a time; who comes while one runs is served by it.
    async fn drain_all(&self) {
        let Some(_turn) = self.turn.try_lock() else { return };
        while self.drain.borrow().has_unsent() {
            let pause_us = self.drain.borrow().pause_us(now_us(), DRAIN_PAUSE_US);
            if pause_us > 0 {
                Delay::from(Duration::from_micros(pause_us.unsigned_abs())).await;
            }
            match self.send_next().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "events wait in the outbox for the next try");
                    self.alarm.ring_in(&self.state, self.retry_us());
                    return;
                }
            }
        }
    }

    /// Sends one batch; whether there was one.
    async fn send_next(&self) -> Result<bool, HostError> {
        let Some((did, rows)) = self.next_batch().map_err(super::unavailable)? else { return Ok(false) };
        let sent = self.send(did, rows).await;
        let retry_us = if sent.is_err() { self.retry_us() } else { 0 };
        let mut drain = self.drain.borrow_mut();
        match sent {
            Ok(()) => {
                let arrived = drain.arrived();
                if let Some(cell) = self.cell.borrow_mut().as_mut() {
                    cell.outbox_synced(arrived);
                }
                Ok(true)
            }
            Err(error) => {
                drain.failed(now_us(), retry_us);
                Err(error)
            }
        }
    }

    /// When to try again to bring the outbox to the sequencer.
    fn retry_us(&self) -> i64 {
        let oldest_us = match outbox::oldest(&self.sql, self.drain.borrow().last_arrived()) {
            Ok(oldest) => oldest.unwrap_or(i64::MAX),
            Err(_) => i64::MAX,
        };
        Drain::retry_us(now_us(), oldest_us, system_random().next_u64())
    }

    fn next_batch(&self) -> Result<Option<(Did, Vec<OutboxRow>)>, Error> {
        if !self.exists()? {
            return Ok(None);
        }
        // A repo that is on its way in has no account yet; the drain is asked all the same, and sees that it has no events.
        let did = self.did()?;
        let rows = self.drain.borrow_mut().next(&self.sql, now_us())?;
        Ok(did.zip(rows))
    }

    async fn send(&self, did: Did, rows: Vec<OutboxRow>) -> Result<(), HostError> {
        let events = rows.into_iter().map(|row| OutboxEvent {
            did: did.clone(),
            outbox_id: row.id,
            kind: row.kind,
            frame: row.frame,
        });
        let append = Append { events: events.collect() };
        let sequencer = object::stub(&Settings::sequencer(&self.env)?, object::SEQUENCER)?;
        let asked =
            object::ask_at::<_, Vec<Option<i64>>, sequencer::Error>(&sequencer, object::DRAIN, &append);
        let timeout = Delay::from(SEND_TIMEOUT);
        pin_mut!(asked, timeout);
        match select(asked, timeout).await {
            Either::Left((answer, _)) => answer.map(|_| ()).map_err(super::unavailable),
            // Sent again later; the sequencer knows what it has.
            Either::Right(_) => Err(HostError::Unreachable("the sequencer does not answer".to_owned())),
        }
    }

    /// Removes the outbox rows that are safe.
    fn tidy(&self) {
        let sent = self.drain.borrow().last_arrived();
        if sent == 0 {
            return;
        }
        if let Err(error) = outbox::clear(&self.sql, sent) {
            tracing::warn!(%error, "outbox rows that are safe could not be removed");
        }
    }

    /// Lets go of uploads that no record refers to, and asks to be woken for those that are too young.
    async fn expire_blobs(&self) {
        if let Err(error) = self.expire_pages().await {
            tracing::warn!(%error, "blobs that nothing refers to stay for now");
            self.alarm.ring_in(&self.state, BLOBS_RETRY_US);
        }
    }

    async fn expire_pages(&self) -> Result<(), HostError> {
        let before_us = now_us() - BLOB_UNREFERENCED_SECONDS * 1_000_000;
        let Some(did) = self.did().map_err(super::unavailable)? else { return Ok(()) };
        for _ in 0..BLOBS_PAGES {
            let expire = ExpireBlobs { before_us, limit: BLOBS_PAGE };
            let reply = self.handle(expire.into_command().into()).map_err(super::unavailable)?;
            let Some(expired) = reply.try_into().ok().and_then(ExpireBlobs::from_answer) else { break };
            blobs::delete(&self.env, &did, &expired).await?;
            if expired.len() < BLOBS_PAGE as usize {
                break;
            }
        }
        if let Some(uploaded_us) = blobs_cell::oldest_unreferenced(&self.sql).map_err(super::unavailable)? {
            let due_us = uploaded_us + BLOB_UNREFERENCED_SECONDS * 1_000_000;
            self.alarm.ring_in(&self.state, (due_us - now_us()).max(1_000_000));
        }
        Ok(())
    }

    /// Sends the last events, then removes everything.
    async fn destroy(&self) -> worker::Result<()> {
        if !self.exists()? {
            return Ok(());
        }
        // A drain that runs is waited for, and the rest sent without pauses.
        let _turn = self.turn.lock().await;
        let failed = |error: HostError| worker::Error::RustError(error.to_string());
        while self.send_next().await.map_err(failed)? {}
        *self.cell.borrow_mut() = None;
        self.state.storage().delete_alarm().await?;
        self.state.storage().delete_all().await?;
        *self.drain.borrow_mut() = Drain::new(OUTBOX_HELD_BYTES_MAX);
        self.is_there.set(false);
        *self.did.borrow_mut() = None;
        self.alarm.rang();
        Ok(())
    }
}

impl From<Error> for worker::Error {
    fn from(error: Error) -> Self {
        worker::Error::RustError(error.to_string())
    }
}
