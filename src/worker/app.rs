//! What the doors and the directory's object run on; and the way to the one place where changes are carried out.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use rand_core::Rng as _;
use serde::de::DeserializeOwned;
use worker::send::SendFuture;
use worker::{Env, ObjectNamespace};

use super::host::WorkerHost;
use super::object;
use super::settings::Settings;
use crate::app::flows::Elsewhere;
use crate::app::{Accounts, App, Carried, Error, Flows, Identities, Lexicons, Limits, Oauth};
use crate::config::Config;
use crate::directory::Flow;
use crate::host::HostError;
use crate::syntax::Did;
use crate::{auth, host};

/// How long an account's standing is taken for true here after another isolate may have changed it.
const ACCOUNT_CACHED_US: i64 = 5_000_000;

/// What handlers run on.
pub(super) fn app(env: &Env, settings: &Settings, flows: Flows) -> Result<Arc<App>, HostError> {
    let read = settings.get()?;
    let network = Arc::clone(&read.network);
    Ok(Arc::new(App {
        host: Arc::new(WorkerHost::new(env, &read.config)?) as Arc<dyn host::Host>,
        auth: auth::Authority::new(
            &network.master_key,
            network.service_did.clone(),
            Some(&read.secrets.admin_token),
        ),
        identities: Identities::new(network.plc_url.clone()),
        lexicons: Lexicons::new(),
        oauth: Oauth::new(&network, read.config.allow_loopback),
        accounts: Accounts::kept_for(ACCOUNT_CACHED_US),
        flows,
        limits: limits(&read.config),
        services: read.config.services.clone(),
        blob_bytes_max: read.config.blob_bytes_max.min(super::blobs::BYTES_MAX),
        network,
    }))
}

/// What may be asked of an isolate how often, as it is set.
fn limits(config: &Config) -> Limits {
    let Some(methods) = &config.rate_limits.methods else { return Limits::none() };
    let mut secret = [0; 16];
    super::system_random().fill_bytes(&mut secret);
    Limits::new(config.rate_limits.requests, methods, secret)
}

/// A Worker has no state and its requests end with their callers, so the directory's object carries out changes.
pub(super) struct Afar {
    pub(super) directory: ObjectNamespace,
}

impl Afar {
    fn ask<T: DeserializeOwned + 'static>(
        &self,
        path: &'static str,
        question: Result<Vec<u8>, HostError>,
    ) -> BoxFuture<'static, Result<T, Error>> {
        let namespace = self.directory.clone();
        let asked = async move {
            let directory = object::stub(&namespace, object::DIRECTORY)?;
            let bytes = object::bytes(object::call(&directory, path, &question?).await?).await?;
            serde_ipld_dagcbor::from_slice::<Result<T, Error>>(&bytes).map_err(super::unavailable)
        };
        SendFuture::new(async move {
            asked.await.map_err(|error: HostError| Error::Unreachable(error.to_string()))?
        })
        .boxed()
    }
}

impl Elsewhere for Afar {
    fn run(&self, did: Did, flow: Option<Flow>) -> BoxFuture<'static, Result<(), Error>> {
        self.ask(object::RUN, serde_ipld_dagcbor::to_vec(&(did, flow)).map_err(super::unavailable))
    }

    fn carry(&self) -> BoxFuture<'static, Result<Carried, Error>> {
        self.ask(object::CARRY, Ok(Vec::new()))
    }
}
