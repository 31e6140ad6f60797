//! What the router reaches as [`Host`]: objects by name, a bucket, other servers.

use axum::body::Body;
use bytes::Bytes;
use cid::Cid;
use futures::FutureExt;
use futures::future::BoxFuture;
use rand_core::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::send::SendFuture;
use worker::{Env, ObjectNamespace};

use super::outbound::Outbound;
use super::settings::Settings;
use super::{blobs, object};
use crate::config::Config;
use crate::host::{
    Answered, ByteStream, Download, Failed, Host, HostError, PutBlobError, StoredBlob, SubscribeError,
};
use crate::outbound::FetchPolicy;
use crate::repo::GetHead;
use crate::syntax::{Did, Tid};
use crate::{account, directory, sequencer};

/// The world as a Worker sees it.
pub(super) struct WorkerHost {
    agents: ObjectNamespace,
    directory: ObjectNamespace,
    sequencer: ObjectNamespace,
    env: Env,
    outbound: Outbound,
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
            let path = format!("{}?cursor={cursor}", object::SUBSCRIBE);
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
                None => Err(failed(HostError::Storage("the sequencer took no socket".to_owned()))),
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

    fn delete_blob(&self, did: Did, cid: Cid) -> BoxFuture<'_, Result<(), HostError>> {
        SendFuture::new(async move { blobs::delete(&self.env, &did, &[cid]).await }).boxed()
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
    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), HostError> {
        work();
        Ok(())
    }

    fn now_us(&self) -> i64 {
        super::now_us()
    }

    fn random(&self, bytes: &mut [u8]) {
        super::system_random().fill_bytes(bytes);
    }
}
