//! What the router reaches as [`Host`]: objects by name, a bucket, other servers.

use std::cell::Cell;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use cid::Cid;
use futures::FutureExt;
use futures::future::BoxFuture;
use rand_core::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::send::SendFuture;
use worker::wasm_bindgen_futures::spawn_local;
use worker::{Delay, Env, ObjectNamespace};

use super::outbound::Outbound;
use super::settings::Settings;
use super::{blobs, object};
use crate::app::mail_service;
use crate::config::{Config, MailRoute, Mailing};
use crate::host::{
    Answered, ByteStream, Download, Failed, Host, HostError, MailFailure, Net, PutBlobError, StoredBlob,
    SubscribeError,
};
use crate::mail::Mail;
use crate::outbound::FetchPolicy;
use crate::repo::GetHead;
use crate::syntax::{Did, Tid};
use crate::{account, directory, sequencer};

/// Between the beginnings of two slow computations in an isolate: hashing a password takes a small part of it.
const COMPUTE_PAUSE_US: i64 = 200_000;
/// Who would wait longer for its turn is told to come again.
const COMPUTE_WAIT_US: i64 = 3_000_000;

thread_local! {
    /// When the next slow computation may begin.
    static NEXT_COMPUTE_US: Cell<i64> = const { Cell::new(0) };
}

/// The world as a Worker sees it.
pub(super) struct WorkerHost {
    agents: ObjectNamespace,
    directory: ObjectNamespace,
    sequencer: ObjectNamespace,
    env: Env,
    outbound: Outbound,
    mail: Mailing,
}

impl WorkerHost {
    pub(super) fn new(env: &Env, config: &Config) -> Result<Self, HostError> {
        let policy =
            FetchPolicy { allow_loopback: config.allow_loopback, trusted_origins: config.trusted_origins() };
        Ok(Self {
            agents: Settings::agents(env)?,
            directory: Settings::directory(env)?,
            sequencer: Settings::sequencer(env)?,
            env: env.clone(),
            outbound: Outbound::new(policy),
            mail: config.mail.clone(),
        })
    }

    /// Asks a cell.
    fn ask<'a, C, R, E>(
        &'a self,
        namespace: &'a ObjectNamespace,
        name: String,
        command: C,
    ) -> BoxFuture<'a, Answered<R, E>>
    where
        C: Serialize + 'a,
        R: DeserializeOwned + 'a,
        E: DeserializeOwned + 'a,
    {
        let asked = async move {
            let stub = object::stub(namespace, &name).map_err(unreachable)?;
            object::ask(&stub, &command).await
        };
        SendFuture::new(asked).boxed()
    }
}

fn unreachable<E>(error: HostError) -> Failed<E> {
    Failed::Unreachable(error.to_string())
}

impl Host for WorkerHost {
    fn account(
        &self,
        did: Did,
        command: account::Command,
    ) -> BoxFuture<'_, Answered<account::Reply, account::Error>> {
        self.ask(&self.agents, did.into_string(), command)
    }

    fn directory(
        &self,
        command: directory::Command,
    ) -> BoxFuture<'_, Answered<directory::Reply, directory::Error>> {
        self.ask(&self.directory, object::DIRECTORY.to_owned(), command)
    }

    fn sequencer(
        &self,
        command: sequencer::Command,
    ) -> BoxFuture<'_, Answered<sequencer::Reply, sequencer::Error>> {
        self.ask(&self.sequencer, object::SEQUENCER.to_owned(), command)
    }

    fn subscribe_repos(
        &self,
        cursor: Option<i64>,
        request: http::Request<Body>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, SubscribeError>> {
        let subscribed = async move {
            let upgrade = request.headers().get(http::header::UPGRADE).and_then(|value| value.to_str().ok());
            if !upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
                return Err(SubscribeError::NotWebSocket);
            }
            let failed = |error: HostError| SubscribeError::from(unreachable(error));
            let stub = object::stub(&self.sequencer, object::SEQUENCER).map_err(failed)?;
            let cursor = cursor.map(|cursor| cursor.to_string()).unwrap_or_default();
            let address = request.extensions().get::<Net>().map(Net::to_string);
            let address = address.as_deref().unwrap_or(super::subscribers::NO_ADDRESS);
            let path = format!("{}?cursor={cursor}&address={address}", object::SUBSCRIBE);
            let response = object::upgrade(&stub, &path).await.map_err(failed)?;
            let status = response.status_code();
            match response.websocket() {
                Some(socket) => {
                    let mut switch = http::Response::new(Body::empty());
                    *switch.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
                    switch.extensions_mut().insert(socket);
                    Ok(switch)
                }
                None if status == 503 => Err(SubscribeError::TooMany),
                None => Err(failed(HostError::Unreachable("the sequencer took no socket".to_owned()))),
            }
        };
        SendFuture::new(subscribed).boxed()
    }

    fn destroy_account(&self, did: Did) -> BoxFuture<'_, Result<(), HostError>> {
        let destroyed = async move {
            let stub = object::stub(&self.agents, did.as_str())?;
            object::call(&stub, object::DESTROY, &[]).await?;
            blobs::delete_all(&self.env, &did).await
        };
        SendFuture::new(destroyed).boxed()
    }

    fn export(&self, did: Did, since: Option<Tid>) -> BoxFuture<'_, Answered<Download, account::Error>> {
        let exported = async move {
            let body = serde_ipld_dagcbor::to_vec(&since)
                .map_err(|error| account::Error::Internal(error.to_string()))?;
            // Told apart from other failures by asking first: the stream has no room for a typed error.
            crate::host::account(self, &did, GetHead {}).await?;
            let stub = object::stub(&self.agents, did.as_str()).map_err(unreachable)?;
            let response = object::call(&stub, object::EXPORT, &body).await.map_err(unreachable)?;
            Ok(super::http::download(response.body().clone()))
        };
        SendFuture::new(exported).boxed()
    }

    fn put_blob(
        &self,
        did: Did,
        body: ByteStream,
        bytes_max: u64,
    ) -> BoxFuture<'_, Result<StoredBlob, PutBlobError>> {
        SendFuture::new(async move { blobs::put(&self.env, &did, body, bytes_max).await }).boxed()
    }

    fn get_blob(&self, did: Did, cid: Cid) -> BoxFuture<'_, Result<Option<(u64, Download)>, HostError>> {
        SendFuture::new(async move { blobs::get(&self.env, &did, &cid).await }).boxed()
    }

    fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HostError>> {
        SendFuture::new(self.outbound.fetch(request)).boxed()
    }

    fn exchange(
        &self,
        request: http::Request<Body>,
    ) -> BoxFuture<'_, Result<http::Response<Body>, HostError>> {
        SendFuture::new(self.outbound.exchange(request)).boxed()
    }

    fn txt_records(&self, name: String) -> BoxFuture<'_, Result<Vec<String>, HostError>> {
        SendFuture::new(async move { self.outbound.txt_records(&name).await }).boxed()
    }

    fn has_address(&self, name: String) -> BoxFuture<'_, Result<bool, HostError>> {
        SendFuture::new(async move { self.outbound.has_address(&name).await }).boxed()
    }

    fn send_mail(&self, mail: Mail) -> BoxFuture<'_, Result<(), MailFailure>> {
        SendFuture::new(async move {
            match &self.mail {
                Mailing::Sent { from, route: MailRoute::Http(service) } => {
                    mail_service::send(self, service, from, &mail).await
                }
                Mailing::Sent { route: MailRoute::Smtp(_), .. } | Mailing::Printed | Mailing::Off => {
                    Err(MailFailure::Refused("this server sends no mail".to_owned()))
                }
            }
        })
        .boxed()
    }

    /// An isolate has one thread, and what is computed on it holds up all else: one at a time, with a pause before the
    /// next, in which others are served.
    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), HostError> {
        let now_us = super::now_us();
        let turn_us = NEXT_COMPUTE_US.get().max(now_us);
        if turn_us - now_us > COMPUTE_WAIT_US {
            return Err(HostError::Busy);
        }
        NEXT_COMPUTE_US.set(turn_us + COMPUTE_PAUSE_US);
        if turn_us == now_us {
            work();
        } else {
            // A timer of the caller's own: one whose caller leaves does not keep the others waiting.
            let wait = Delay::from(Duration::from_micros((turn_us - now_us).unsigned_abs()));
            spawn_local(async move {
                wait.await;
                work();
            });
        }
        Ok(())
    }

    fn now_us(&self) -> i64 {
        super::now_us()
    }

    fn random(&self, bytes: &mut [u8]) {
        super::system_random().fill_bytes(bytes);
    }
}
