//! What the objects share: the seam as DAG-CBOR over a request, and the alarm.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::js_sys::{self, futures::JsFuture};
use worker::wasm_bindgen::prelude::*;
use worker::worker_sys::web_sys;
use worker::{Headers, Method, ObjectNamespace, Request, RequestInit, Response, State, Stub};

use super::now_us;
use crate::host::{Answered, Failed, HostError};

/// The host part of URLs between Worker and objects: nobody resolves it.
const ORIGIN: &str = "https://cell";

/// The name of the one directory.
pub(super) const DIRECTORY: &str = "directory";
/// The name of the one sequencer.
pub(super) const SEQUENCER: &str = "sequencer";

/// The path of commands, at every object.
pub(super) const COMMAND: &str = "/command";
/// The path that takes an outbox's events, at the sequencer.
pub(super) const DRAIN: &str = "/drain";
/// The path that answers an account's repo as a CAR.
pub(super) const EXPORT: &str = "/export";
/// The path that removes everything of an account.
pub(super) const DESTROY: &str = "/destroy";
/// The path that has the directory's notices carried.
pub(super) const CARRY: &str = "/carry";
/// The path that has the directory's object run a change to its end.
pub(super) const RUN: &str = "/run";
/// The path at the sequencer that takes a subscriber.
pub(super) const SUBSCRIBE: &str = "/subscribe";

/// Between the end of its sockets and that of the object: time enough for who reads to be told.
const START_ANEW_MS: u32 = 3_000;

/// The object that stands for `name`.
pub(super) fn stub(namespace: &ObjectNamespace, name: &str) -> Result<Stub, HostError> {
    namespace.get_by_name(name).map_err(super::unavailable)
}

/// Sends `body` to an object's `path` and returns its answer, whose status is 200.
pub(super) async fn call(stub: &Stub, path: &str, body: &[u8]) -> Result<Response, HostError> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(js_sys::Uint8Array::from(body).into()));
    let request = Request::new_with_init(&format!("{ORIGIN}{path}"), &init).map_err(super::unavailable)?;
    answered(stub.fetch_with_request(request).await.map_err(super::unavailable)?).await
}

/// Asks an object to take over a WebSocket handshake.
pub(super) async fn upgrade(stub: &Stub, path: &str) -> Result<Response, HostError> {
    let headers = Headers::new();
    headers.set("upgrade", "websocket").map_err(super::unavailable)?;
    let mut init = RequestInit::new();
    init.with_headers(headers);
    let request = Request::new_with_init(&format!("{ORIGIN}{path}"), &init).map_err(super::unavailable)?;
    stub.fetch_with_request(request).await.map_err(super::unavailable)
}

async fn answered(mut response: Response) -> Result<Response, HostError> {
    if response.status_code() == 200 {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    Err(HostError::Unreachable(format!("a cell answered {}: {text}", response.status_code())))
}

/// Asks a cell one command through the seam.
pub(super) async fn ask<C, R, E>(stub: &Stub, command: &C) -> Answered<R, E>
where
    C: Serialize,
    R: DeserializeOwned,
    E: DeserializeOwned,
{
    ask_at(stub, COMMAND, command).await
}

/// Asks a cell by a way of the host's own.
pub(super) async fn ask_at<C, R, E>(stub: &Stub, path: &str, question: &C) -> Answered<R, E>
where
    C: Serialize,
    R: DeserializeOwned,
    E: DeserializeOwned,
{
    let asked = async {
        let body = serde_ipld_dagcbor::to_vec(question).map_err(super::unavailable)?;
        let bytes = bytes(call(stub, path, &body).await?).await?;
        serde_ipld_dagcbor::from_slice::<Result<R, E>>(&bytes).map_err(super::unavailable)
    };
    let answer = asked.await.map_err(|error: HostError| Failed::Unreachable(error.to_string()))?;
    Ok(answer?)
}

/// A whole answer, in one step: the crate's way goes through a stream, chunk by chunk.
pub(super) async fn bytes(response: Response) -> Result<Vec<u8>, HostError> {
    let response = web_sys::Response::from(response);
    let failed = |thrown: JsValue| HostError::Unreachable(format!("{thrown:?}"));
    let buffer = JsFuture::from(response.array_buffer().map_err(failed)?).await.map_err(failed)?;
    Ok(js_sys::Uint8Array::new(&buffer).to_vec())
}

/// Reads the command of a request.
pub(super) async fn read_command<C: DeserializeOwned>(request: &mut Request) -> worker::Result<C> {
    let bytes = request.bytes().await?;
    serde_ipld_dagcbor::from_slice(&bytes).map_err(|error| worker::Error::RustError(error.to_string()))
}

/// Answers through the seam.
pub(super) fn answer<T: Serialize>(answer: &T) -> worker::Result<Response> {
    let bytes =
        serde_ipld_dagcbor::to_vec(answer).map_err(|error| worker::Error::RustError(error.to_string()))?;
    Response::from_bytes(bytes)
}

/// Answers through the seam what was asked of a cell elsewhere in the object: only the cell's own refusals have a place
/// in it.
pub(super) fn answer_failed<R: Serialize, E: Serialize + std::error::Error>(
    answered: Answered<R, E>,
) -> worker::Result<Response> {
    match answered {
        Ok(reply) => answer(&Ok::<_, E>(reply)),
        Err(Failed::Cell(error)) => answer(&Err::<R, _>(error)),
        Err(failed) => Response::error(failed.to_string(), 503),
    }
}

/// Ends this life of the object with all it holds; whoever waits for an answer gets an error. What was written stays
/// written. After a moment, not at once: what is thrown then would leave our own code in the middle of what it does, in an
/// isolate that others live in. Sockets are closed before: the runtime may keep those it has still something to send on, and
/// then keeps the others too, on which nothing comes any more.
pub(super) fn start_anew(state: &State) {
    let raw: &JsValue = state.as_raw().as_ref();
    let function =
        |of: &JsValue, name: &str| js_sys::Reflect::get(of, &name.into())?.dyn_into::<js_sys::Function>();
    let asked = function(raw, "abort").and_then(|abort| {
        let abort = abort.bind1(raw, &"the object starts anew".into());
        function(&js_sys::global(), "setTimeout")?.call2(&JsValue::UNDEFINED, &abort, &START_ANEW_MS.into())
    });
    match asked {
        // The timer is this event's, which has to last until then.
        Ok(_) => {
            state.wait_until(worker::Delay::from(std::time::Duration::from_millis(
                2 * u64::from(START_ANEW_MS),
            )));
        }
        Err(error) => tracing::error!(?error, "the object can't start anew"),
    }
}

/// An object's one alarm: the earliest of what was asked for, in this life of the object or in one before.
pub(super) struct Alarm {
    set: Cell<Set>,
}

/// What is known of the alarm that is set.
#[derive(Clone, Copy)]
enum Set {
    /// An earlier life of the object may have set one.
    Unknown,
    No,
    /// Rings then, in microseconds. One that is overdue rings as soon as the object has time for it.
    At(i64),
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { set: Cell::new(Set::Unknown) }
    }

    /// Learns, once a life, which alarm an earlier life left: an object that sleeps between two requests would
    /// otherwise put its alarm off with each of them, for ever. Every request begins with it. Answers whether this is
    /// the first of this life.
    pub(super) async fn learn(&self, state: &State) -> worker::Result<bool> {
        if !matches!(self.set.get(), Set::Unknown) {
            return Ok(false);
        }
        let set = state.storage().get_alarm().await?;
        let is_first = matches!(self.set.get(), Set::Unknown);
        if is_first {
            self.set.set(set.map_or(Set::No, |at_ms| Set::At(at_ms.saturating_mul(1_000))));
        }
        Ok(is_first)
    }

    /// Rings in `delay_us` at the latest. Called right after a transaction, it is part of the same durable write.
    pub(super) fn ring_in(&self, state: &State, delay_us: i64) {
        let at_us = now_us().saturating_add(delay_us);
        if matches!(self.set.get(), Set::At(set) if set <= at_us) {
            return;
        }
        let date = js_sys::Date::new(&JsValue::from_f64((at_us / 1_000) as f64));
        // The promise is not awaited: were it to fail, the runtime would reset the object instead of answering.
        match state.storage().as_raw().set_alarm(date, js_sys::Object::new()) {
            Ok(_) => self.set.set(Set::At(at_us)),
            Err(error) => tracing::error!(?error, "an alarm could not be set"),
        }
    }

    /// The alarm rang: there is none until the next is asked for.
    pub(super) fn rang(&self) {
        self.set.set(Set::No);
    }
}
