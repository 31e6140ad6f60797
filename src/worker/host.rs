//! What the router reaches as [`Host`]: objects by name, a bucket, other servers.

use std::cell::RefCell;
use std::collections::HashMap;

use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rand_core::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::send::{SendFuture, SendWrapper};
use worker::{Env, ObjectNamespace};

use super::outbound::Outbound;
use super::settings::Settings;
use super::{
    account as account_object, blobs, directory as directory_object, front, object,
    sequencer as sequencer_object,
};
use crate::actor::AccountSummary;
use crate::config::Config;
use crate::directory::{GetAccount, Who};
use crate::host::{ByteStream, Download, Host, HostError, PutBlobError, StoredBlob, SubscribeError};
use crate::limits::ACCOUNTS_CACHED_MAX;
use crate::outbound::FetchPolicy;
use crate::seam::Request;
use crate::store::SqlError;
use crate::syntax::{AtIdentifier, Did, Handle};
use crate::{account, directory, sequencer};

/// How long an account's standing is taken for true here after another isolate may have changed it.
const ACCOUNT_CACHED_US: i64 = 5_000_000;

/// The world as a Worker sees it.
pub(super) struct WorkerHost {
    agents: ObjectNamespace,
    directory: ObjectNamespace,
    sequencer: ObjectNamespace,
    env: Env,
    outbound: Outbound,
    known: SendWrapper<RefCell<HashMap<AtIdentifier, (i64, AccountSummary)>>>,
}

impl WorkerHost {
    pub(super) fn new(env: &Env, config: &Config) -> Result<Self, HostError> {
        let policy = FetchPolicy {
            allow_loopback: config.allow_loopback,
            trusted_origins: vec![config.plc_url.clone()],
        };
        Ok(Self {
            agents: Settings::agents(env)?,
            directory: Settings::directory(env)?,
            sequencer: Settings::sequencer(env)?,
            env: env.clone(),
            outbound: Outbound::new(policy),
            known: SendWrapper::new(RefCell::default()),
        })
    }

    /// Asks a cell; that it can't be reached is an error of its storage.
    fn ask<'a, C, R, E>(
        &'a self,
        namespace: &'a ObjectNamespace,
        name: String,
        command: C,
    ) -> BoxFuture<'a, Result<R, E>>
    where
        C: Serialize + 'a,
        R: DeserializeOwned + 'a,
        E: DeserializeOwned + From<SqlError> + 'a,
    {
        let asked = async move {
            let asking = async { object::ask(&object::stub(namespace, &name)?, &command).await };
            asking.await.unwrap_or_else(|error: HostError| Err(SqlError::Other(error.to_string()).into()))
        };
        SendFuture::new(asked).boxed()
    }
}

impl Host for WorkerHost {
    fn account(
        &self,
        did: Did,
        command: account::Command,
    ) -> BoxFuture<'_, Result<account::Reply, account::Error>> {
        self.ask(&self.agents, did.into_string(), command)
    }

    fn directory(
        &self,
        command: directory::Command,
    ) -> BoxFuture<'_, Result<directory::Reply, directory::Error>> {
        self.ask(&self.directory, directory_object::NAME.to_owned(), command)
    }

    fn sequencer(
        &self,
        command: sequencer::Command,
    ) -> BoxFuture<'_, Result<sequencer::Reply, sequencer::Error>> {
        self.ask(&self.sequencer, sequencer_object::NAME.to_owned(), command)
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
            let failed = |error: HostError| sequencer::Error::Sql(SqlError::Other(error.to_string()));
            let stub = object::stub(&self.sequencer, sequencer_object::NAME).map_err(failed)?;
            let cursor = cursor.map(|cursor| cursor.to_string()).unwrap_or_default();
            let path = format!("{}?cursor={cursor}", sequencer_object::SUBSCRIBE);
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
                None => Err(failed(HostError::Storage("the sequencer took no socket".to_owned())).into()),
            }
        };
        SendFuture::new(subscribed).boxed()
    }

    fn destroy_account(&self, did: Did) -> BoxFuture<'_, Result<(), HostError>> {
        let destroyed = async move {
            let stub = object::stub(&self.agents, did.as_str())?;
            object::call(&stub, account_object::DESTROY, &[]).await?;
            blobs::delete_all(&self.env, did.as_str()).await
        };
        SendFuture::new(destroyed).boxed()
    }

    fn export(&self, did: Did, since: Option<String>) -> BoxFuture<'_, Result<Download, account::Error>> {
        let exported = async move {
            let failed = |error: HostError| account::Error::Sql(SqlError::Other(error.to_string()));
            let body = serde_ipld_dagcbor::to_vec(&since)
                .map_err(|error| account::Error::Internal(error.to_string()))?;
            // Told apart from other failures by asking first: the stream has no room for a typed error.
            self.account(did.clone(), account::GetHead {}.into_command()).await?;
            let stub = object::stub(&self.agents, did.as_str()).map_err(failed)?;
            let response = object::call(&stub, account_object::EXPORT, &body).await.map_err(failed)?;
            Ok(front::download(response.body().clone()))
        };
        SendFuture::new(exported).boxed()
    }

    fn put_blob(
        &self,
        did: Did,
        body: ByteStream,
        bytes_max: u64,
    ) -> BoxFuture<'_, Result<StoredBlob, PutBlobError>> {
        SendFuture::new(async move { blobs::put(&self.env, did.as_str(), body, bytes_max).await }).boxed()
    }

    fn get_blob(&self, did: Did, cid: String) -> BoxFuture<'_, Result<Option<(u64, Download)>, HostError>> {
        SendFuture::new(async move { blobs::get(&self.env, did.as_str(), &cid).await }).boxed()
    }

    fn delete_blob(&self, did: Did, cid: String) -> BoxFuture<'_, Result<(), HostError>> {
        SendFuture::new(async move { blobs::delete(&self.env, did.as_str(), &[cid]).await }).boxed()
    }

    fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HostError>> {
        SendFuture::new(self.outbound.fetch(request)).boxed()
    }

    fn txt_records(&self, name: String) -> BoxFuture<'_, Result<Vec<String>, HostError>> {
        SendFuture::new(async move { self.outbound.txt_records(&name).await }).boxed()
    }

    /// Here and now: an isolate has one thread.
    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, ()> {
        work();
        std::future::ready(()).boxed()
    }

    fn now_us(&self) -> i64 {
        super::now_us()
    }

    fn random(&self, bytes: &mut [u8]) {
        super::system_random().fill_bytes(bytes);
    }

    fn find_account(
        &self,
        identifier: AtIdentifier,
    ) -> BoxFuture<'_, Result<Option<AccountSummary>, directory::Error>> {
        let now_us = super::now_us();
        if let Some((until_us, known)) = self.known.borrow().get(&identifier)
            && now_us < *until_us
        {
            return std::future::ready(Ok(Some(known.clone()))).boxed();
        }
        let asked = async move {
            let who = match &identifier {
                AtIdentifier::Did(did) => Who::Did(did.clone()),
                AtIdentifier::Handle(handle) => Who::Handle(handle.clone()),
            };
            let answer = self.directory(GetAccount { who }.into_command()).await?;
            let account = GetAccount::from_answer(answer).ok_or(directory::Error::Mismatch)?;
            let Some(account) = account else { return Ok(None) };
            let summary = account.summary();
            let mut known = self.known.borrow_mut();
            if known.len() >= ACCOUNTS_CACHED_MAX {
                known.clear();
            }
            known.insert(identifier, (now_us + ACCOUNT_CACHED_US, summary.clone()));
            Ok(Some(summary))
        };
        SendFuture::new(asked).boxed()
    }

    fn forget_cached(&self, did: &Did, handle: Option<&Handle>) {
        let mut known = self.known.borrow_mut();
        known.retain(|_, (_, summary)| summary.did != *did && Some(&summary.handle) != handle);
    }
}
