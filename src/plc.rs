//! A did:plc directory of our own, for `zap dev` and tests: the HTTP interface of plc.directory over one SQLite
//! database.
//!
//! The directory verifies what it is given as plc.directory does (`identity::validate_next` and the limits of
//! [`constraints`]), so that what works here works there, with one difference: it does not limit how often a DID may
//! change.
//!
//! Invariants
//! - A synchronous state machine: [`handle`] takes the database, the time and a request, and returns a response.
//! - An operation is checked and stored in one transaction.
//! - `createdAt` rises strictly over the whole directory, in milliseconds, even if the clock does not.
//!
//! Source of the interface: <https://web.plc.directory/api/redoc>.

mod constraints;
mod store;

use serde_json::json;

use crate::{
    identity::{DidDocument, IdentityError, Operation, validate_next},
    store::{Sql, SqlError, in_transaction, migrate},
    syntax::{Did, SyntaxError, format_datetime_ms, parse_datetime_us},
};
use store::{Entry, ExportFrom};

/// The port `zap dev` serves it on.
pub const DEFAULT_PORT: u16 = 2582;

/// Bytes of a request's body: JSON of the largest operation, with room for white space.
pub const BODY_BYTES_MAX: usize = 16 * 1024;

/// Lines of one page of `/export`, as at plc.directory.
const EXPORT_LINES_MAX: usize = 1000;

/// An HTTP request, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The path, still percent-encoded.
    pub path: &'a str,
    /// The query without `?`, still percent-encoded.
    pub query: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its content type.
    pub content_type: &'static str,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database failed.
    #[error("database: {0}")]
    Sql(#[from] SqlError),
    /// A stored operation does not read back.
    #[error("stored operation {cid} is damaged")]
    Stored {
        /// Its CID.
        cid: String,
    },
    /// The operation is malformed, badly signed or out of order.
    #[error(transparent)]
    Operation(#[from] IdentityError),
    /// The path names no DID.
    #[error(transparent)]
    Did(#[from] SyntaxError),
    /// The operation is over a limit of the directory.
    #[error("{0}")]
    Constraint(&'static str),
    /// A query parameter is malformed.
    #[error("Invalid {0} parameter")]
    Parameter(&'static str),
    /// No operation of this DID is known.
    #[error("DID not registered: {0}")]
    NotRegistered(Did),
    /// The DID was ended by a tombstone.
    #[error("DID not available: {0}")]
    Tombstoned(Did),
    /// No such endpoint.
    #[error("Not Found")]
    NoSuchEndpoint,
}

/// Brings a database to the newest schema.
///
/// # Errors
/// [`SqlError`] of a migration.
pub fn prepare(sql: &dyn Sql) -> Result<(), SqlError> {
    migrate::migrate(sql, crate::migrations!("plc", 1 "0001_init"))
}

/// Serves one request.
#[must_use]
pub fn handle(sql: &dyn Sql, now_us: i64, request: &Request<'_>) -> Response {
    route(sql, now_us, request).unwrap_or_else(|error| {
        let (status, message) = match &error {
            Error::Sql(_) | Error::Stored { .. } => {
                tracing::error!(%error, "serving a request to the did:plc directory");
                (500, "Internal Server Error".to_owned())
            }
            Error::NotRegistered(_) | Error::Tombstoned(_) | Error::NoSuchEndpoint => {
                (404, error.to_string())
            }
            _ => (400, error.to_string()),
        };
        Response { status, ..json_response(&json!({ "message": message })) }
    })
}

fn route(sql: &dyn Sql, now_us: i64, request: &Request<'_>) -> Result<Response, Error> {
    let path = percent_decode(request.path);
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (request.method, segments.as_slice()) {
        ("GET", ["_health"]) => Ok(json_response(&json!({ "version": env!("CARGO_PKG_VERSION") }))),
        ("GET", ["export"]) => export(sql, request.query),
        ("GET", [did]) => document(sql, &Did::try_from(*did)?),
        ("GET", [did, "data"]) => data(sql, &Did::try_from(*did)?),
        ("GET", [did, "log"]) => log(sql, &Did::try_from(*did)?),
        ("GET", [did, "log", "audit"]) => audit(sql, &Did::try_from(*did)?),
        ("GET", [did, "log", "last"]) => last(sql, &Did::try_from(*did)?),
        ("POST", [did]) => submit(sql, now_us, &Did::try_from(*did)?, request.body),
        _ => Err(Error::NoSuchEndpoint),
    }
}

/// Checks an operation and appends it to the log of its DID.
fn submit(sql: &dyn Sql, now_us: i64, did: &Did, body: &[u8]) -> Result<Response, Error> {
    let operation = constraints::parse_incoming(body)?;
    in_transaction(sql, || {
        let log = store::log(sql, did)?;
        let created_at_us = store::next_created_at_us(sql, now_us)?;
        let next = validate_next(did, &log, &operation, created_at_us)?;
        for cid in &next.nullified {
            store::nullify(sql, did, cid)?;
        }
        store::append(sql, did, &next.cid, &operation, created_at_us)
    })?;
    Ok(Response { status: 200, content_type: "text/plain; charset=utf-8", body: b"OK".to_vec() })
}

fn document(sql: &dyn Sql, did: &Did) -> Result<Response, Error> {
    let last = last_operation(sql, did)?;
    let data = last.data(did).ok_or_else(|| Error::Tombstoned(did.clone()))?;
    let response = json_response(&DidDocument::from_plc_data(&data));
    Ok(Response { content_type: "application/did+ld+json; charset=utf-8", ..response })
}

fn data(sql: &dyn Sql, did: &Did) -> Result<Response, Error> {
    let last = last_operation(sql, did)?;
    Ok(json_response(&last.data(did).ok_or_else(|| Error::Tombstoned(did.clone()))?))
}

fn last(sql: &dyn Sql, did: &Did) -> Result<Response, Error> {
    Ok(json_response(&last_operation(sql, did)?))
}

fn log(sql: &dyn Sql, did: &Did) -> Result<Response, Error> {
    let entries = store::log(sql, did)?;
    if entries.is_empty() {
        return Err(Error::NotRegistered(did.clone()));
    }
    Ok(json_response(&entries.iter().map(|entry| &entry.operation).collect::<Vec<_>>()))
}

fn audit(sql: &dyn Sql, did: &Did) -> Result<Response, Error> {
    let entries = store::audit_log(sql, did)?;
    if entries.is_empty() {
        return Err(Error::NotRegistered(did.clone()));
    }
    Ok(json_response(&entries.iter().map(audit_json).collect::<Vec<_>>()))
}

/// All operations of all DIDs, a line each. `after` is a datetime, or the `seq` of a line; the lines then carry `seq`.
fn export(sql: &dyn Sql, query: &str) -> Result<Response, Error> {
    let lines = match parameter(query, "count") {
        None => EXPORT_LINES_MAX,
        Some(count) => match count.parse() {
            Ok(count @ 1..) => EXPORT_LINES_MAX.min(count),
            _ => return Err(Error::Parameter("count")),
        },
    };
    let after = parameter(query, "after");
    let (from, by_seq) = match after.as_deref() {
        None => (ExportFrom::Start, false),
        Some(after) if after.bytes().all(|b| b.is_ascii_digit()) => {
            (ExportFrom::AfterSeq(after.parse().map_err(|_| Error::Parameter("after"))?), true)
        }
        Some(after) => {
            (ExportFrom::AfterTime(parse_datetime_us(after).map_err(|_| Error::Parameter("after"))?), false)
        }
    };
    let mut body = Vec::new();
    for entry in store::export(sql, from, lines)? {
        if !body.is_empty() {
            body.push(b'\n');
        }
        let line = if by_seq { sequenced_json(&entry) } else { audit_json(&entry) };
        body.extend_from_slice(line.to_string().as_bytes());
    }
    Ok(Response { status: 200, content_type: "application/jsonlines", body })
}

fn last_operation(sql: &dyn Sql, did: &Did) -> Result<Operation, Error> {
    store::last(sql, did)?.ok_or_else(|| Error::NotRegistered(did.clone()))
}

fn audit_json(entry: &Entry) -> serde_json::Value {
    json!({
        "did": entry.did,
        "operation": entry.operation,
        "cid": entry.cid,
        "nullified": entry.nullified,
        "createdAt": format_datetime_ms(entry.created_at_us),
    })
}

fn sequenced_json(entry: &Entry) -> serde_json::Value {
    json!({
        "type": "sequenced_op",
        "seq": entry.seq,
        "did": entry.did,
        "operation": entry.operation,
        "cid": entry.cid,
        "createdAt": format_datetime_ms(entry.created_at_us),
    })
}

fn json_response(value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => Response { status: 200, content_type: "application/json; charset=utf-8", body },
        // Our own types serialise; this is for the signature's sake.
        Err(_) => Response { status: 500, content_type: "text/plain", body: Vec::new() },
    }
}

/// The first value of a query parameter.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| percent_decode(value))
}

/// Replaces `%3A` and the like; what is malformed stays as it is.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                digit(*high).zip(digit(*low)).map(|(high, low)| ((high * 16 + low) as u8, tail))
            }
            _ => None,
        };
        let (byte, tail) = escaped.unwrap_or((first, after));
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
