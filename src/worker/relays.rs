//! Asking relays to crawl, from the sequencer's alarm. Objects come and go, so what was asked is kept with the log: an object
//! that wakes has not been away.

use worker::{Env, State};

use super::host::WorkerHost;
use super::settings::Settings;
use crate::app::Relays;
use crate::host::HostError;

fn storage(error: impl std::fmt::Display) -> HostError {
    HostError::Storage(error.to_string())
}

/// Where the object keeps what was asked, as JSON.
const ASKED: &str = "relays";

/// Asks those whose turn it is. `last_seq` is the newest event.
pub(super) async fn ask(
    state: &State,
    env: &Env,
    settings: &Settings,
    last_seq: i64,
) -> Result<(), HostError> {
    let config = &settings.get()?.config;
    if config.relays.is_empty() || last_seq == 0 {
        return Ok(());
    }
    let kept: Option<String> = state.storage().get(ASKED).await.map_err(storage)?;
    let asked = kept.and_then(|kept| serde_json::from_str(&kept).ok()).unwrap_or_default();
    let mut relays = Relays::new(&config.relays, &config.public_url, asked);
    let host = WorkerHost::new(env, config)?;
    if relays.ask(&host, last_seq).await.is_empty() {
        return Ok(());
    }
    let asked = serde_json::to_string(relays.asked()).map_err(storage)?;
    state.storage().put(ASKED, asked).await.map_err(storage)
}
