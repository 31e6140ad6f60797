//! What tests reach inside of the Worker. Only with the feature `testing`.
//!
//! [`TestingObject`] runs the steps of [`crate::testing`], to compare this host's storage with another's. The objects
//! called faulty are the real ones behind a runtime that fails as it may: alarms ring twice, and the sequencer takes an
//! event without an answer, or does not take it.
#![allow(missing_docs, reason = "of what the macro durable_object makes")]

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures::join;
use http_body_util::BodyExt;
use worker::send::SendFuture;
use worker::{
    Delay, DurableObject, Env, Request, Response, State, WebSocket, WebSocketIncomingMessage, durable_object,
};

use super::account::AgentObject;
use super::directory::DirectoryObject;
use super::object;
use super::sequencer::SequencerObject;
use super::sql::ObjectSql;
use crate::testing::{Driven, Fault, Kind, Step};

// The attribute gives each class methods of the same names for JavaScript: those of the trait are asked for by name.

/// The path in the objects.
const PATH: &str = "/testing";
/// How often a fault is looked at whether it still stands.
const FAULT_LOOK: Duration = Duration::from_millis(100);

thread_local! {
    /// Whether the module has trapped since it was started.
    static TRAPPED: Cell<bool> = const { Cell::new(false) };
}

/// Traps as a fault of ours would; a module that has done so and goes on as it is says it.
fn trap() -> &'static str {
    if TRAPPED.replace(true) { "it goes on with what a trap has left" } else { std::process::abort() }
}

/// An object that a test drives step by step.
#[durable_object(fetch)]
pub struct TestingObject {
    sql: ObjectSql,
    driven: RefCell<Option<Driven>>,
}

impl DurableObject for TestingObject {
    fn new(state: State, _: Env) -> Self {
        Self { sql: ObjectSql::new(&state.storage()), driven: RefCell::default() }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let (kind, step): (Kind, Step) = object::read_command(&mut request).await?;
        let mut driven = self.driven.borrow_mut();
        let driven = driven.get_or_insert_with(|| Driven::new(kind));
        match step {
            Step::Rows => {
                let (read, written) = self.sql.counted();
                return Response::ok(format!("{read} {written}"));
            }
            Step::Trap => return Response::ok(trap()),
            _ => {}
        }
        match driven.run(&self.sql, &step) {
            Ok(bytes) => Response::from_bytes(bytes),
            Err(error) => Response::error(error, 500),
        }
    }
}

/// An agent whose alarms ring twice.
#[durable_object(alarm)]
pub struct FaultyAgent(AgentObject);

impl DurableObject for FaultyAgent {
    fn new(state: State, env: Env) -> Self {
        Self(<AgentObject as DurableObject>::new(state, env))
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        DurableObject::fetch(&self.0, request).await
    }

    async fn alarm(&self) -> worker::Result<Response> {
        ring_twice("an agent", &self.0).await
    }
}

/// A directory whose alarms ring twice.
#[durable_object(alarm)]
pub struct FaultyDirectory(DirectoryObject);

impl DurableObject for FaultyDirectory {
    fn new(state: State, env: Env) -> Self {
        Self(<DirectoryObject as DurableObject>::new(state, env))
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        DurableObject::fetch(&self.0, request).await
    }

    async fn alarm(&self) -> worker::Result<Response> {
        ring_twice("the directory", &self.0).await
    }
}

/// A sequencer whose alarms ring twice, and which has the fault that it was told to have.
#[durable_object]
pub struct FaultySequencer {
    real: SequencerObject,
    fault: Cell<Fault>,
}

impl DurableObject for FaultySequencer {
    fn new(state: State, env: Env) -> Self {
        Self { real: <SequencerObject as DurableObject>::new(state, env), fault: Cell::new(Fault::None) }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        if request.path() == PATH {
            self.fault.set(object::read_command(&mut request).await?);
            return Response::empty();
        }
        if ![object::COMMAND, object::DRAIN].contains(&request.path().as_str()) {
            return DurableObject::fetch(&self.real, request).await;
        }
        let takes_it = self.fault.get() != Fault::Deaf;
        let answer = if takes_it { Some(DurableObject::fetch(&self.real, request).await) } else { None };
        while self.fault.get() != Fault::None {
            Delay::from(FAULT_LOOK).await;
        }
        answer.unwrap_or_else(|| Response::error("a fault that a test asked for", 503))
    }

    async fn alarm(&self) -> worker::Result<Response> {
        ring_twice("the sequencer", &self.real).await
    }

    async fn websocket_message(
        &self,
        socket: WebSocket,
        message: WebSocketIncomingMessage,
    ) -> worker::Result<()> {
        DurableObject::websocket_message(&self.real, socket, message).await
    }

    async fn websocket_close(
        &self,
        socket: WebSocket,
        code: usize,
        reason: String,
        was_clean: bool,
    ) -> worker::Result<()> {
        DurableObject::websocket_close(&self.real, socket, code, reason, was_clean).await
    }

    async fn websocket_error(&self, socket: WebSocket, error: worker::Error) -> worker::Result<()> {
        DurableObject::websocket_error(&self.real, socket, error).await
    }
}

/// As a runtime does that promises "at least once": side by side, and once more when both are done.
async fn ring_twice<O: DurableObject>(whose: &str, object: &O) -> worker::Result<Response> {
    let (first, second) = join!(object.alarm(), object.alarm());
    first.and(second)?;
    let third = object.alarm().await;
    tracing::info!("an alarm of {whose} rang twice");
    third
}

/// `/testing/OBJECT/NAME`: brings a body to the object of that name, through the router like all else.
pub(super) fn route(router: axum::Router, env: &Env) -> axum::Router {
    let env = env.clone();
    let forward = move |axum::extract::Path((binding, name)): axum::extract::Path<(String, String)>,
                        request: axum::extract::Request| {
        let env = env.clone();
        let forwarded = async move {
            let body = request.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            let objects = env.durable_object(&binding).map_err(|error| error.to_string())?;
            let stub = object::stub(&objects, &name).map_err(|error| error.to_string())?;
            let response = object::call(&stub, PATH, &body).await.map_err(|error| error.to_string())?;
            object::bytes(response).await.map_err(|error| error.to_string())
        };
        let failed = |error: String| (http::StatusCode::INTERNAL_SERVER_ERROR, error);
        SendFuture::new(async move { forwarded.await.map_err(failed) })
    };
    router.route("/testing/{object}/{name}", axum::routing::post(forward))
}
