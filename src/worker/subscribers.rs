//! The sockets of one life of the sequencer's object: who is live, who is behind, and how much may be waiting for each.
//!
//! The runtime says of no socket what it still has to send, and a subscriber says nothing at all: one that reads and one
//! that does not look the same. What was seen in `workerd`: what is sent waits in memory, without bound; a closed socket
//! keeps it until the other side has read up to the close; one buffer sent to many sockets is in memory once, but each
//! message costs [`MESSAGE_BYTES`] beside it; and an object with something unsent is never put to sleep. So
//!
//! - all that was sent on a connection since it began, or since the object last woke, counts as unsent;
//! - a connection takes at most [`CONNECTION_BYTES_MAX`] of it, then it is told `ConsumerTooSlow` and closed: who reads
//!   comes back with its cursor at once and has lost nothing;
//! - all together hold at most [`HELD_BYTES_MAX`]; above that, those that hold most are closed first;
//! - who does not answer the close in [`STUCK_US`] does not read. When such sockets hold too much, the object starts
//!   anew, which alone frees it; the others are sent away before, and come back with their cursors.
//!
//! An attachment outlives the object's memory and is read once a life, not with each event.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use worker::js_sys::{ArrayBuffer, Uint8Array};
use worker::{State, WebSocket};

use super::now_us;
use crate::event;

/// Bytes that may wait on one connection: some thousand events, so that who reads is not sent away often.
pub(super) const CONNECTION_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes that may wait on all: an isolate has 128 MB, and as much again is needed beside it.
pub(super) const HELD_BYTES_MAX: usize = 48 * 1024 * 1024;
/// What a message that waits takes beside its bytes, as measured in `workerd`.
const MESSAGE_BYTES: usize = 1_200;
/// Sockets at a time: relays and tools are few, and each event is sent once for each.
const SUBSCRIBERS_MAX: usize = 500;
/// Of one address: a relay needs one, and one more while it comes back. What they hold is less than what counts as lost.
const SUBSCRIBERS_OF_ADDRESS_MAX: usize = 4;
/// Stands for the address of who comes past Cloudflare's edge: in `workerd` on one's own machine.
pub(super) const NO_ADDRESS: &str = "-";
/// A close is answered in this time by who reads.
const STUCK_US: i64 = 3_000_000;
/// Who has not answered it for so long is counted as lost.
const LOST_US: i64 = 30_000_000;
/// Bytes held by those that are lost for which the object starts anew.
const LOST_BYTES_MAX: usize = HELD_BYTES_MAX / 4 * 3;
/// The close code of a subscription that ends with an error.
const CLOSE_POLICY: u16 = 1008;
/// The close code of a server that starts anew.
const CLOSE_RESTART: u16 = 1012;

/// The sockets, in the order in which they came.
#[derive(Default)]
pub(super) struct Subscribers {
    sockets: RefCell<Vec<Rc<Subscriber>>>,
    /// Bytes that the live ones were sent, each message counted once.
    sent_live: Cell<u64>,
    /// Whether this life of the object ends.
    is_over: Cell<bool>,
}

/// One socket.
pub(super) struct Subscriber {
    socket: WebSocket,
    attachment: Cell<Attachment>,
    address: String,
    /// All that was sent.
    sent: Cell<usize>,
    /// What of it is in memory for this socket alone.
    alone: Cell<usize>,
    /// What of it is in memory once for all live ones: from where to where, of all bytes that those were sent.
    shared: Cell<(u64, u64)>,
    closed_us: Cell<Option<i64>>,
}

/// What outlives the object's memory.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Attachment {
    /// Tells sockets apart.
    number: u64,
    /// Absent for a live one.
    behind: Option<i64>,
}

/// A message that any number of sockets send without a copy of their own.
pub(super) struct Message {
    buffer: ArrayBuffer,
    bytes: usize,
}

impl Message {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self { buffer: Uint8Array::from(bytes).buffer(), bytes: bytes.len() }
    }
}

impl Subscribers {
    /// Those that were there before the object slept. Nothing waits for them: else it would not have slept.
    pub(super) fn restore(&self, state: &State) {
        let mut sockets = self.sockets.borrow_mut();
        for socket in state.get_websockets() {
            let is_open = socket.as_ref().ready_state() == 1;
            if let Some(attachment) = attachment(&socket).filter(|_| is_open) {
                let address = state.get_tags(&socket).into_iter().next().unwrap_or_default();
                sockets.push(Rc::new(Subscriber::new(socket, attachment, address)));
            }
        }
    }

    /// Whether one more may come from this address.
    pub(super) fn has_room(&self, address: &str) -> bool {
        let sockets = self.sockets.borrow();
        let is_known = address != NO_ADDRESS;
        let of_address = sockets.iter().filter(|socket| is_known && socket.address == address).count();
        !self.is_over.get()
            && sockets.len() < SUBSCRIBERS_MAX
            && of_address < SUBSCRIBERS_OF_ADDRESS_MAX
            && held(sockets.iter()) < HELD_BYTES_MAX
    }

    /// Takes one more, whose address is its tag.
    pub(super) fn add(
        &self,
        state: &State,
        socket: WebSocket,
        address: &str,
        behind: Option<i64>,
    ) -> worker::Result<Rc<Subscriber>> {
        state.accept_websocket_with_tags(&socket, &[address]);
        let attachment = Attachment { number: random_number(), behind };
        socket.serialize_attachment(attachment)?;
        let subscriber = Rc::new(Subscriber::new(socket, attachment, address.to_owned()));
        self.sockets.borrow_mut().push(Rc::clone(&subscriber));
        Ok(subscriber)
    }

    /// One is gone, with all that waited for it.
    pub(super) fn remove(&self, socket: &WebSocket) {
        let Some(Attachment { number, .. }) = attachment(socket) else { return };
        self.sockets.borrow_mut().retain(|socket| socket.number() != number);
    }

    /// Those that a task has to read for.
    pub(super) fn behind(&self) -> Vec<Rc<Subscriber>> {
        let sockets = self.sockets.borrow();
        sockets.iter().filter(|socket| socket.is_open() && socket.behind().is_some()).cloned().collect()
    }

    /// Sends events to all that are live.
    pub(super) fn send_to_live(&self, frames: &[&[u8]]) {
        for frame in frames {
            let message = Message::new(frame);
            let from = self.sent_live.get();
            self.sent_live.set(from + message.bytes as u64);
            self.sockets.borrow_mut().retain(|socket| {
                if !socket.is_open() || socket.behind().is_some() {
                    return true;
                }
                socket.share(from, self.sent_live.get());
                // A socket that is gone takes no message.
                socket.send(&message, 0).is_ok()
            });
        }
        self.shed();
    }

    /// Whether a backfill may go on: what it sends is in memory for one socket alone.
    pub(super) fn has_room_for_a_page(&self) -> bool {
        self.shed();
        held(self.sockets.borrow().iter()) < HELD_BYTES_MAX
    }

    /// Sends away who has taken its share, and, above what all may hold, who holds most. Those that were just sent away
    /// are about to free theirs.
    pub(super) fn shed(&self) {
        let sockets = self.sockets.borrow();
        let now_us = now_us();
        for socket in sockets.iter().filter(|socket| socket.is_open()) {
            if socket.sent.get() >= CONNECTION_BYTES_MAX {
                socket.send_away(now_us);
            }
        }
        let is_leaving =
            |socket: &Subscriber| socket.closed_us.get().is_some_and(|us| now_us - us < STUCK_US);
        while held(sockets.iter().filter(|socket| !is_leaving(socket))) > HELD_BYTES_MAX {
            let open = sockets.iter().filter(|socket| socket.is_open());
            let Some(most) = open.max_by_key(|socket| socket.alone.get()) else { break };
            most.send_away(now_us);
        }
    }

    /// Sends all away, before this life of the object ends: who reads comes back to the next one.
    pub(super) fn close_all(&self) {
        self.is_over.set(true);
        let now_us = now_us();
        for socket in self.sockets.borrow().iter().filter(|socket| socket.is_open()) {
            socket.closed_us.set(Some(now_us));
            let _ = socket.socket.close(Some(CLOSE_RESTART), Some("starting anew"));
        }
    }

    /// Whether any has not answered its close yet.
    pub(super) fn any_leaving(&self) -> bool {
        self.sockets.borrow().iter().any(|socket| !socket.is_open())
    }

    /// Whether those that will never read hold so much that the object has to start anew.
    pub(super) fn are_lost(&self) -> bool {
        let before_us = now_us() - LOST_US;
        let sockets = self.sockets.borrow();
        let lost = sockets.iter().filter(|socket| socket.closed_us.get().is_some_and(|us| us < before_us));
        held(lost) >= LOST_BYTES_MAX
    }
}

impl Subscriber {
    fn new(socket: WebSocket, attachment: Attachment, address: String) -> Self {
        Self {
            socket,
            attachment: Cell::new(attachment),
            address,
            sent: Cell::new(0),
            alone: Cell::new(0),
            shared: Cell::default(),
            closed_us: Cell::new(None),
        }
    }

    /// Tells sockets apart.
    pub(super) fn number(&self) -> u64 {
        self.attachment.get().number
    }

    /// The last event that it was sent, while the log has more for it.
    pub(super) fn behind(&self) -> Option<i64> {
        self.attachment.get().behind
    }

    pub(super) fn set_behind(&self, behind: Option<i64>) -> worker::Result<()> {
        let attachment = Attachment { behind, ..self.attachment.get() };
        self.attachment.set(attachment);
        self.socket.serialize_attachment(attachment)
    }

    pub(super) fn is_open(&self) -> bool {
        self.closed_us.get().is_none()
    }

    /// Sends a message that no other socket sends.
    pub(super) fn send_alone(&self, bytes: &[u8]) -> worker::Result<()> {
        self.send(&Message::new(bytes), bytes.len())
    }

    /// Notes what of all that live ones were sent it has. Once live, it stays so: no gap comes in between.
    fn share(&self, from: u64, to: u64) {
        let (since, had) = self.shared.get();
        self.shared.set(if had == from { (since, to) } else { (from, to) });
    }

    fn send(&self, message: &Message, alone: usize) -> worker::Result<()> {
        self.socket.as_ref().send_with_array_buffer(&message.buffer)?;
        self.sent.set(self.sent.get() + message.bytes + MESSAGE_BYTES);
        self.alone.set(self.alone.get() + alone + MESSAGE_BYTES);
        Ok(())
    }

    fn send_away(&self, now_us: i64) {
        // Whoever reads sees this at the end of all that it was sent.
        let told = self.send_alone(&event::error("ConsumerTooSlow", "Come back with your cursor"));
        self.closed_us.set(Some(now_us));
        let closed = told.and_then(|()| self.socket.close(Some(CLOSE_POLICY), Some("ConsumerTooSlow")));
        if let Err(error) = closed {
            tracing::debug!(%error, "a subscriber was gone before it was sent away");
        }
    }

    /// Closes it with an error of the stream.
    pub(super) fn refuse(&self, name: &str, message: &str) -> worker::Result<()> {
        self.send_alone(&event::error(name, message))?;
        self.closed_us.set(Some(now_us()));
        self.socket.close(Some(CLOSE_POLICY), Some(name))
    }

    /// Closes it after a failure here.
    pub(super) fn fail(&self) {
        self.closed_us.set(Some(now_us()));
        let _ = self.socket.close(Some(1011), Some("backfill failed"));
    }
}

/// What may be in memory for these: what each has alone, and once what several share.
fn held<'a>(sockets: impl Iterator<Item = &'a Rc<Subscriber>>) -> usize {
    let (mut alone, mut shared) = (0, Vec::new());
    for socket in sockets {
        alone += socket.alone.get();
        shared.push(socket.shared.get());
    }
    shared.sort_unstable();
    let (mut counted, mut end) = (0, 0);
    for (from, to) in shared {
        counted += to.saturating_sub(from.max(end));
        end = end.max(to);
    }
    alone.saturating_add(usize::try_from(counted).unwrap_or(usize::MAX))
}

fn attachment(socket: &WebSocket) -> Option<Attachment> {
    socket.deserialize_attachment().ok().flatten()
}

/// Small enough for a JavaScript number.
fn random_number() -> u64 {
    rand_core::Rng::next_u64(&mut super::system_random()) >> 11
}
