//! An object that runs the steps of [`crate::testing`], to compare this host's storage with another's. Only with the
//! feature `testing`.
#![allow(missing_docs, reason = "of what the macro durable_object makes")]

use std::cell::RefCell;

use worker::{DurableObject, Env, Request, Response, State, durable_object};

use super::object;
use super::sql::ObjectSql;
use crate::testing::{Driven, Kind, Step};

/// The path of the Worker that leads here.
pub(super) const PATH: &str = "/testing/";

/// The Durable Object.
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
        if let Step::Rows = step {
            let (read, written) = self.sql.counted();
            return Response::ok(format!("{read} {written}"));
        }
        match driven.run(&self.sql, &step) {
            Ok(bytes) => Response::from_bytes(bytes),
            Err(error) => Response::error(error, 500),
        }
    }
}

/// Brings a request to the object its path names.
pub(super) async fn forward(env: &Env, name: &str, body: &[u8]) -> worker::Result<Vec<u8>> {
    let failed = |error: crate::host::HostError| worker::Error::RustError(error.to_string());
    let stub = object::stub(&env.durable_object("TESTING")?, name).map_err(failed)?;
    object::bytes(object::call(&stub, PATH, body).await.map_err(failed)?).await.map_err(failed)
}
