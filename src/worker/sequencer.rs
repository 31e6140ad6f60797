//! The event log as one object, and its subscribers as hibernating WebSockets.
//!
//! Where a subscriber stands is in its socket's attachment, which outlives the object's memory: either live, and then
//! it was sent every event that the log has, or behind a cursor, and then a task reads it up to the end of the log and
//! makes it live in the same turn in which it found the end. Events are appended and sent to the live ones in one turn
//! as well; messages leave only when what was written before them is durable. So nothing is missed and nothing comes
//! twice, whenever the object is put to sleep. How much may wait for one that does not read: [`super::subscribers`].
//!
//! All agents of the network come here, and an object's transactions are one after the other, each as slow as a disk far
//! away. So there is a pause between two appends, and what comes in it is appended together; who comes alone waits for
//! nothing.
#![allow(missing_docs, reason = "of what the macro durable_object makes")]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use worker::{
    Delay, DurableObject, Env, Request, Response, State, WebSocket, WebSocketIncomingMessage, WebSocketPair,
    durable_object,
};

use super::now_us;
use super::object::{self, Alarm};
use super::relays;
use super::settings::Settings;
use super::sql::ObjectSql;
use super::subscribers::{self, Subscriber, Subscribers};
use crate::event;
use crate::host::{Answered, Failed};
use crate::limits::{EVENT_LOG_BYTES_MAX, FIREHOSE_WRITE_BYTES_MAX, SEQUENCER_BATCH_BYTES_MAX};
use crate::seam::Request as _;
use crate::sequencer::{
    Append, Command, Error, Expire, GetHead, OutboxEvent, Reply, Sequencer, Start, for_each_event, head,
};
use crate::store::SqlError;

/// At least this long between two appends.
const PAUSE_US: i64 = 20_000;
/// How often at least old events are looked for while there are any.
const EXPIRY_ALARM_US: i64 = 600_000_000;
/// How soon those of a deleted account go, and the rest of a long expiry.
const EXPIRY_SOON_US: i64 = 1_000_000;
/// Old events deleted in one transaction.
const EXPIRY_ROWS: u32 = 500;
/// Events read in one turn for a subscriber that is behind.
const BACKFILL_EVENTS: u32 = 1_000;
/// Between two turns of a backfill, so that others are served too.
const BACKFILL_PAUSE: Duration = Duration::from_millis(20);
/// Backfills at a time; others wait for their turn.
const BACKFILLS_MAX: usize = 16;
/// A backfill for which there is no room in memory looks again then.
const BACKFILL_WAIT: Duration = Duration::from_millis(500);
/// A backfill that an eviction ended goes on then, and those that do not answer a close are looked after.
const SUBSCRIBERS_ALARM_US: i64 = 10_000_000;

/// The Durable Object.
#[durable_object]
pub struct SequencerObject {
    inner: Rc<Inner>,
}

struct Inner {
    state: State,
    env: Env,
    settings: Settings,
    sql: ObjectSql,
    alarm: Alarm,
    cell: RefCell<Option<Sequencer>>,
    appended_us: Cell<i64>,
    /// Events that gather, and who waits for them.
    gathered: RefCell<Vec<Gathered>>,
    /// Whether this life of the object has begun with what the last one left.
    is_awake: Cell<bool>,
    subscribers: Subscribers,
    /// Numbers of the sockets that a task of this life of the object reads for.
    backfilling: RefCell<HashSet<u64>>,
}

/// One drain.
struct Gathered {
    events: Vec<OutboxEvent>,
    answer: oneshot::Sender<Answered<Vec<Option<i64>>, Error>>,
}

impl DurableObject for SequencerObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            inner: Rc::new(Inner {
                settings: Settings::of(&env),
                sql: ObjectSql::new(&state.storage()),
                state,
                env,
                alarm: Alarm::new(),
                cell: RefCell::new(None),
                appended_us: Cell::new(0),
                gathered: RefCell::default(),
                is_awake: Cell::new(false),
                subscribers: Subscribers::default(),
                backfilling: RefCell::default(),
            }),
        }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        self.inner.wake().await?;
        match request.path().as_str() {
            object::COMMAND => object::answer(&self.inner.handle(object::read_command(&mut request).await?)),
            object::DRAIN => {
                let Append { events } = object::read_command(&mut request).await?;
                object::answer_failed(self.inner.gather(events).await)
            }
            object::SUBSCRIBE => {
                let url = request.url()?;
                let value = |wanted: &str| {
                    let mut pairs = url.query_pairs();
                    pairs.find_map(|(name, value)| (name == wanted).then(|| value.into_owned()))
                };
                let address = value("address").unwrap_or_else(|| subscribers::NO_ADDRESS.to_owned());
                self.inner.subscribe(value("cursor").and_then(|cursor| cursor.parse().ok()), &address)
            }
            other => Response::error(format!("the sequencer has no {other}"), 404),
        }
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.inner.alarm.rang();
        self.inner.wake().await?;
        self.inner.expire();
        self.inner.resume_backfills();
        self.inner.ask_relays().await;
        self.inner.look_after_subscribers();
        Response::empty()
    }

    /// The protocol has no messages from subscribers.
    async fn websocket_message(&self, _: WebSocket, _: WebSocketIncomingMessage) -> worker::Result<()> {
        Ok(())
    }

    async fn websocket_close(&self, socket: WebSocket, _: usize, _: String, _: bool) -> worker::Result<()> {
        // Answers the close; one that is gone already has nothing to answer.
        let _ = socket.close(Some(1000), Some(""));
        self.inner.subscribers.remove(&socket);
        Ok(())
    }

    async fn websocket_error(&self, socket: WebSocket, _: worker::Error) -> worker::Result<()> {
        let _ = socket.close(Some(1011), Some(""));
        self.inner.subscribers.remove(&socket);
        Ok(())
    }
}

impl Inner {
    /// Each life of the object begins with what the last one left.
    async fn wake(self: &Rc<Self>) -> worker::Result<()> {
        self.alarm.learn(&self.state).await?;
        if !self.is_awake.replace(true) {
            self.subscribers.restore(&self.state);
            self.resume_backfills();
        }
        Ok(())
    }

    /// Appends events with all others that come now.
    async fn gather(self: &Rc<Self>, events: Vec<OutboxEvent>) -> Answered<Vec<Option<i64>>, Error> {
        let (answer, answered) = oneshot::channel();
        let (is_first, is_much) = {
            let mut gathered = self.gathered.borrow_mut();
            gathered.push(Gathered { events, answer });
            let frames = gathered.iter().flat_map(|drain| &drain.events);
            let bytes: usize = frames.map(|event| event.frame.bytes().len()).sum();
            (gathered.len() == 1, bytes >= SEQUENCER_BATCH_BYTES_MAX)
        };
        if is_much {
            // The task of the first finds nothing left, or what came since.
            self.append_gathered();
        } else if is_first {
            let object = Rc::clone(self);
            let pause_us = (self.appended_us.get() + PAUSE_US - now_us()).clamp(0, PAUSE_US);
            self.state.wait_until(async move {
                if pause_us > 0 {
                    Delay::from(Duration::from_micros(pause_us.unsigned_abs())).await;
                }
                object.append_gathered();
            });
        }
        answered.await.unwrap_or(Err(Failed::Stopping))
    }

    fn append_gathered(&self) {
        let gathered = self.gathered.take();
        if gathered.is_empty() {
            return;
        }
        self.appended_us.set(now_us());
        let counts: Vec<usize> = gathered.iter().map(|drain| drain.events.len()).collect();
        let (events, waiting): (Vec<_>, Vec<_>) =
            gathered.into_iter().map(|drain| (drain.events, drain.answer)).unzip();
        let mut appended =
            match self.handle(Append { events: events.into_iter().flatten().collect() }.into_command()) {
                Ok(reply) => Append::from_answer(reply).map(Vec::into_iter).ok_or(Failed::Mismatch),
                Err(error) => Err(Failed::Cell(error)),
            };
        for (count, waiting) in counts.into_iter().zip(waiting) {
            let answer = match &mut appended {
                Ok(seqs) => Ok(seqs.by_ref().take(count).collect()),
                Err(error) => Err(error.clone()),
            };
            // An error means that the agent has gone; it will drain again.
            let _ = waiting.send(answer);
        }
    }

    fn handle(&self, command: Command) -> Result<Reply, Error> {
        let mut opened = self.cell.borrow_mut();
        let cell = match opened.as_mut() {
            Some(cell) => cell,
            None => opened.insert(Sequencer::load(&self.sql)?),
        };
        let answer = cell.handle(&self.sql, now_us(), command);
        let appended = cell.take_appended();
        if !appended.is_empty() {
            let frames: Vec<&[u8]> = appended.iter().map(|(_, event)| event.frame.bytes()).collect();
            self.subscribers.send_to_live(&frames);
            if self.subscribers.any_leaving() {
                self.alarm.ring_in(&self.state, SUBSCRIBERS_ALARM_US);
            }
            let deleted = appended.iter().any(|(_, event)| event.is_deletion());
            let is_urgent = deleted || cell.bytes() > EVENT_LOG_BYTES_MAX;
            let delay_us = if is_urgent { EXPIRY_SOON_US } else { self.expiry_us() };
            self.alarm.ring_in(&self.state, delay_us);
        }
        answer
    }

    fn subscribe(self: &Rc<Self>, cursor: Option<i64>, address: &str) -> worker::Result<Response> {
        if !self.subscribers.has_room(address) {
            return Response::error("too many subscribers", 503);
        }
        // Opened for its migrations: the first subscriber may come before the first event.
        if let Err(error) = self.handle(GetHead {}.into_command()) {
            return Response::error(error.to_string(), 500);
        }
        let head = match head(&self.sql) {
            Ok(head) => head,
            Err(error) => return Response::error(error.to_string(), 500),
        };
        let start = head.start(cursor);
        let behind = match start {
            Start::After(seq) if seq < head.last_seq => Some(seq),
            Start::Outdated => Some(0),
            Start::After(_) | Start::Future => None,
        };
        let pair = WebSocketPair::new()?;
        let subscriber = self.subscribers.add(&self.state, pair.server, address, behind)?;
        match start {
            Start::After(_) => {}
            Start::Outdated => {
                let message = "Requested cursor exceeded limit. Possibly missing events";
                subscriber.send_alone(&event::info("OutdatedCursor", message))?;
            }
            Start::Future => subscriber.refuse("FutureCursor", "Cursor in the future.")?,
        }
        if behind.is_some() {
            self.backfill(subscriber);
        }
        Response::from_websocket(pair.client)
    }

    /// Goes on with those that wait, or that an earlier life of the object left behind.
    fn resume_backfills(self: &Rc<Self>) {
        for subscriber in self.subscribers.behind() {
            if !self.backfilling.borrow().contains(&subscriber.number()) {
                self.backfill(subscriber);
            }
        }
    }

    fn backfill(self: &Rc<Self>, subscriber: Rc<Subscriber>) {
        self.alarm.ring_in(&self.state, SUBSCRIBERS_ALARM_US);
        if self.backfilling.borrow().len() >= BACKFILLS_MAX {
            return; // The socket's attachment says that it waits.
        }
        self.backfilling.borrow_mut().insert(subscriber.number());
        let object = Rc::clone(self);
        self.state.wait_until(async move {
            while let Some(cursor) = subscriber.behind().filter(|_| subscriber.is_open()) {
                if !object.subscribers.has_room_for_a_page() {
                    Delay::from(BACKFILL_WAIT).await;
                    continue;
                }
                let sent = object.send_page(&subscriber, cursor).map_err(|error| error.to_string());
                let noted =
                    sent.and_then(|next| subscriber.set_behind(next).map_err(|error| error.to_string()));
                if let Err(error) = noted {
                    tracing::debug!(%error, "a backfill ended early");
                    subscriber.fail();
                }
                object.subscribers.shed();
                if subscriber.behind().is_some() {
                    Delay::from(BACKFILL_PAUSE).await;
                }
            }
            object.backfilling.borrow_mut().remove(&subscriber.number());
            object.resume_backfills();
        });
    }

    /// Sends one page; answers where the next begins, `None` at the end of the log.
    fn send_page(&self, subscriber: &Subscriber, cursor: i64) -> Result<Option<i64>, Error> {
        let (mut last, mut gone) = (None, None);
        let bytes_max = FIREHOSE_WRITE_BYTES_MAX as u64;
        for_each_event(&self.sql, cursor, BACKFILL_EVENTS, bytes_max, &mut |seq, _, frame| {
            if gone.is_none() {
                gone = subscriber.send_alone(frame).err();
            }
            last = Some(seq);
        })?;
        match gone {
            Some(error) => Err(SqlError::Other(error.to_string()).into()),
            None => Ok(last),
        }
    }

    async fn ask_relays(&self) {
        let last_seq = head(&self.sql).map_or(0, |head| head.last_seq);
        if let Err(error) = relays::ask(&self.state, &self.env, &self.settings, last_seq).await {
            tracing::warn!(%error, "relays are asked at the next alarm");
        }
    }

    /// Starts the object anew when those that never read hold too much of its memory.
    fn look_after_subscribers(&self) {
        if self.subscribers.are_lost() {
            tracing::warn!("subscribers that do not read hold too much: all of them have to come back");
            self.subscribers.close_all();
            object::start_anew(&self.state);
        }
        if self.subscribers.any_leaving() {
            self.alarm.ring_in(&self.state, SUBSCRIBERS_ALARM_US);
        }
    }

    /// How long events are kept.
    fn window_us(&self) -> Option<i64> {
        let read = self.settings.get().ok()?;
        Some(i64::try_from(read.config.backfill_window.as_micros()).unwrap_or(i64::MAX))
    }

    /// How often old events are looked for: no event stays twice as long as it should.
    fn expiry_us(&self) -> i64 {
        self.window_us().unwrap_or(i64::MAX).clamp(EXPIRY_SOON_US, EXPIRY_ALARM_US)
    }

    fn expire(&self) {
        let Ok(read) = self.settings.get() else { return };
        let Some(window_us) = self.window_us() else { return };
        let bytes_max = read.config.backfill_bytes_max.min(EVENT_LOG_BYTES_MAX);
        let before_us = now_us().saturating_sub(window_us);
        let expire = Expire { before_us, bytes_max, limit: EXPIRY_ROWS };
        match self.handle(expire.into_command()).map(|reply| Expire::from_answer(reply).unwrap_or(0)) {
            Ok(removed) if removed >= u64::from(EXPIRY_ROWS) => {
                self.alarm.ring_in(&self.state, EXPIRY_SOON_US);
            }
            Ok(_) => {
                let kept = head(&self.sql).is_ok_and(|head| head.last_seq > head.expired_seq);
                if kept {
                    self.alarm.ring_in(&self.state, self.expiry_us());
                }
            }
            Err(error) => {
                tracing::warn!(%error, "old events could not be removed");
                self.alarm.ring_in(&self.state, EXPIRY_ALARM_US);
            }
        }
    }
}
