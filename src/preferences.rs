//! What an account's owner set in apps: `app.bsky.actor.getPreferences` and `putPreferences`.
//!
//! The server keeps them and does not know what they mean, but for two. Personal details, a birth date, are for the owner's
//! own sessions: an app password neither reads nor replaces them. What everybody's app is to know of the age follows from
//! them, is told with each answer, and is never kept.
//!
//! Preferences are private: muted words, labels, a birth date. They rest as one list, sealed under a key of the master key
//! that is bound to the account.

mod age;
mod command;

pub use command::{Change, Command, GetPreferences, PutPreferences, Query, Reply};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::env::Env;
use crate::limits::PREFERENCES_BYTES_MAX;
use crate::seam::HiddenBytes;
use crate::store::{Sql, SqlError, Value, query_first};
use crate::syntax::Did;
use crate::vault::{self, unwrap_secret, wrap_secret};
use crate::work::Work;

/// Why preferences were not kept, or not given.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// Not a list of objects with a type.
    #[error("Preference is missing a $type")]
    NoType,
    /// Of another kind than is kept here.
    #[error("Some preferences are not in the {NAMESPACE} namespace")]
    Foreign,
    /// For the owner's own sessions only.
    #[error("Do not have authorization to set preferences: {0}")]
    Forbidden(String),
    /// More than any app needs.
    #[error("preferences come to at most {PREFERENCES_BYTES_MAX} bytes")]
    TooLarge,
    /// The key does not open them: another master key, or a damaged row.
    #[error("vault: {0}")]
    Vault(String),
}

impl From<vault::Error> for Error {
    fn from(error: vault::Error) -> Self {
        match error {
            vault::Error::Sql(error) => Error::Sql(error),
            error => Error::Vault(error.to_string()),
        }
    }
}

impl Error {
    /// Whether the cell in memory may differ from its database after this.
    pub fn is_storage(&self) -> bool {
        matches!(self, Error::Sql(_))
    }
}

const NAMESPACE: &str = "app.bsky";
const PERSONAL_DETAILS: &str = "app.bsky.actor.defs#personalDetailsPref";
const DECLARED_AGE: &str = "app.bsky.actor.defs#declaredAgePref";

/// Answers a command.
///
/// # Errors
/// [`Error`]; then nothing has changed.
pub fn change(work: &mut Work<'_, '_>, change: Change) -> Result<Reply, Error> {
    Ok(match change {
        Change::GetPreferences(get) => Reply::GetPreferences(shown(work, get.is_full)?),
        Change::PutPreferences(put) => Reply::PutPreferences(replace(work, &put)?),
    })
}

/// What a caller sees: all of it, or what apps may.
fn shown(work: &mut Work<'_, '_>, is_full: bool) -> Result<HiddenBytes, Error> {
    let mut kept = read(work.sql, work.env, &work.account.did)?;
    let details = kept.iter().find(|preference| kind(preference) == PERSONAL_DETAILS);
    let birth_date = details.and_then(|details| details.get("birthDate")).and_then(Json::as_str);
    if let Some(birth_date) = birth_date.filter(|birth_date| !birth_date.is_empty()) {
        let is_over = |years| age::is_over(birth_date, years, work.env.now_us);
        let declared = serde_json::json!({
            "$type": DECLARED_AGE,
            "isOverAge13": is_over(13), "isOverAge16": is_over(16), "isOverAge18": is_over(18),
        });
        kept.push(declared);
    }
    kept.retain(|preference| is_full || kind(preference) != PERSONAL_DETAILS);
    Ok(written(&kept).into())
}

/// Puts a new list in the place of what the caller sees.
fn replace(work: &mut Work<'_, '_>, put: &PutPreferences) -> Result<(), Error> {
    let mut wanted = checked(put.preferences.expose())?;
    if !put.is_full && wanted.iter().any(|preference| kind(preference) == PERSONAL_DETAILS) {
        return Err(Error::Forbidden(PERSONAL_DETAILS.to_owned()));
    }
    let (sql, did) = (work.sql, &work.account.did);
    if !put.is_full {
        let mut kept = read(sql, work.env, did)?;
        kept.retain(|preference| kind(preference) == PERSONAL_DETAILS);
        kept.append(&mut wanted);
        wanted = kept;
    }
    keep(sql, work.env, did, &wanted)
}

/// All preferences of an account, for an archive: a list as [`restore`] takes it; `None` where none were ever set.
///
/// # Errors
/// [`Error::Sql`], [`Error::Vault`].
pub fn copy(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<Option<HiddenBytes>, Error> {
    let kept = read(sql, env, did)?;
    Ok((!kept.is_empty()).then(|| written(&kept).into()))
}

/// Gives an account the preferences that it had elsewhere.
///
/// # Errors
/// [`Error`]: they are what could have been set here, or they are not taken.
pub fn restore(sql: &dyn Sql, env: &mut Env<'_>, did: &Did, list: &HiddenBytes) -> Result<(), Error> {
    keep(sql, env, did, &checked(list.expose())?)
}

/// Reads a list that is to be kept, without what is never kept.
fn checked(list: &[u8]) -> Result<Vec<Json>, Error> {
    let mut wanted: Vec<Json> = serde_json::from_slice(list).map_err(|_| Error::NoType)?;
    let kinds: Vec<&str> = wanted.iter().map(kind).collect();
    if kinds.contains(&"") {
        return Err(Error::NoType);
    }
    let is_ours = |kind: &&str| kind.strip_prefix(NAMESPACE).is_some_and(|rest| rest.starts_with('.'));
    if !kinds.iter().all(is_ours) {
        return Err(Error::Foreign);
    }
    wanted.retain(|preference| kind(preference) != DECLARED_AGE);
    Ok(wanted)
}

fn keep(sql: &dyn Sql, env: &mut Env<'_>, did: &Did, wanted: &[Json]) -> Result<(), Error> {
    let bytes = written(wanted);
    if bytes.len() > PREFERENCES_BYTES_MAX {
        return Err(Error::TooLarge);
    }
    let (key, aad) = (env.network.master_key.derive(LABEL), did.as_str().as_bytes());
    let sealed = wrap_secret(&key, aad, &bytes, env.rng)?;
    let count = i64::try_from(wanted.len()).unwrap_or(i64::MAX);
    sql.execute(
        "INSERT INTO preferences (id, sealed, count) VALUES (1, ?, ?)
         ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, count = excluded.count",
        &[Value::Blob(&sealed), count.into()],
    )?;
    Ok(())
}

/// The key derived under this label seals preferences.
const LABEL: &str = "account/preferences";

fn read(sql: &dyn Sql, env: &Env<'_>, did: &Did) -> Result<Vec<Json>, Error> {
    let sealed = query_first(sql, "SELECT sealed FROM preferences WHERE id = 1", &[], |row| {
        Ok(row.blob(0)?.to_vec())
    })?;
    let Some(sealed) = sealed else { return Ok(Vec::new()) };
    let (key, aad) = (env.network.master_key.derive(LABEL), did.as_str().as_bytes());
    let bytes = unwrap_secret(&key, aad, &sealed, "preferences")?;
    serde_json::from_slice(&bytes).map_err(|_| Error::Vault("preferences are damaged".to_owned()))
}

/// A value of JSON always has a text.
fn written(preferences: &[Json]) -> Vec<u8> {
    Json::from(preferences.to_vec()).to_string().into_bytes()
}

/// The type of a preference; empty when it has none.
fn kind(preference: &Json) -> &str {
    preference.get("$type").and_then(Json::as_str).unwrap_or_default()
}
