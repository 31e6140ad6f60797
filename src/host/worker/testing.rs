//! An object that runs the steps of [`crate::testing`], to compare this host's storage with another's. Only with the
//! feature `testing`.
#![allow(missing_docs, reason = "of what the macro durable_object makes")]

use std::cell::RefCell;

use http_body_util::BodyExt;
use worker::send::SendFuture;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use super::object;
use super::sql::ObjectSql;
use crate::testing::{Driven, Kind, Step};

/// The path in the object.
const PATH: &str = "/testing";

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

/// `/testing/NAME`: brings a step to the object of that name, through the router like all else.
pub(super) fn route(router: axum::Router, env: &Env) -> axum::Router {
    let env = env.clone();
    let forward = move |request: axum::extract::Request| {
        let env = env.clone();
        let forwarded = async move {
            let name = request.uri().path().to_owned();
            let body = request.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            let objects = env.durable_object("TESTING").map_err(|error| error.to_string())?;
            let stub = object::stub(&objects, &name).map_err(|error| error.to_string())?;
            let response = object::call(&stub, PATH, &body).await.map_err(|error| error.to_string())?;
            object::bytes(response).await.map_err(|error| error.to_string())
        };
        let failed = |error: String| (http::StatusCode::INTERNAL_SERVER_ERROR, error);
        SendFuture::new(async move { forwarded.await.map_err(failed) })
    };
    router.route("/testing/{name}", axum::routing::post(forward))
}
