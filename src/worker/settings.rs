//! The Worker's settings: the same names as everywhere (`ZAP_PUBLIC_URL`), from its variables and secrets.
//!
//! Settings are read when an isolate or an object starts; a deployment starts all of them anew. What is wrong is said
//! with every answer, since there is no start that could fail.

use std::sync::Arc;

use worker::{Env, ObjectNamespace};

use crate::config::{Config, ConfigError, Layers, MailRoute, Mailing, Secrets};
use crate::env::Network;
use crate::host::HostError;

/// What a deployment is set to, or why it can't be used.
#[derive(Clone)]
pub(super) struct Settings {
    read: Result<Arc<Read>, Arc<str>>,
}

/// Settings that are in order.
pub(super) struct Read {
    pub(super) config: Config,
    pub(super) secrets: Secrets,
    pub(super) network: Arc<Network>,
}

impl Settings {
    pub(super) fn of(env: &Env) -> Self {
        let read = read(env).map(Arc::new).map_err(|error| Arc::from(error.to_string()));
        Self { read }
    }

    pub(super) fn get(&self) -> Result<Arc<Read>, HostError> {
        self.read.clone().map_err(|error| HostError::Storage(format!("this Worker is not set up: {error}")))
    }

    pub(super) fn network(&self) -> Result<Arc<Network>, HostError> {
        Ok(Arc::clone(&self.get()?.network))
    }

    /// The objects of accounts, by DID.
    pub(super) fn agents(env: &Env) -> Result<ObjectNamespace, HostError> {
        env.durable_object("AGENT").map_err(super::unavailable)
    }

    /// The one directory's.
    pub(super) fn directory(env: &Env) -> Result<ObjectNamespace, HostError> {
        env.durable_object("DIRECTORY").map_err(super::unavailable)
    }

    /// The one sequencer's.
    pub(super) fn sequencer(env: &Env) -> Result<ObjectNamespace, HostError> {
        env.durable_object("SEQUENCER").map_err(super::unavailable)
    }
}

fn read(env: &Env) -> Result<Read, ConfigError> {
    let text = |name: &str| {
        let var = env.var(name).map(|var| var.to_string());
        var.or_else(|_| env.secret(name).map(|secret| secret.to_string())).ok()
    };
    let layers = Layers { env: Layers::read_env(text), ..Layers::default() };
    let effective = layers.effective();
    let config = Config::new(&effective)?;
    if matches!(config.mail, Mailing::Sent { route: MailRoute::Smtp(_), .. }) {
        let reason = "a Worker speaks no SMTP: give ZAP_MAIL_URL, and ZAP_MAIL_TOKEN";
        return Err(ConfigError::invalid("smtp-url", reason).placed(&effective));
    }
    let secrets = config.given_secrets()?;
    let network = Arc::new(config.network(&secrets));
    Ok(Read { config, secrets, network })
}
