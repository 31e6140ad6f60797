//! Handle to DID: a DNS TXT record at `_atproto.`, else a file under `/.well-known/`.

use super::{
    IdentityError,
    resolve::{Request, Resolution, Response, Step},
};
use crate::syntax::{Did, Handle};

/// Finds the DID a handle's domain names. DNS is asked first; a domain that answers there is not asked over HTTP.
#[derive(Debug, Clone)]
pub struct HandleResolution {
    handle: Handle,
    over_http: bool,
}

impl HandleResolution {
    /// Begins.
    #[must_use]
    pub fn new(handle: &Handle) -> Self {
        Self { handle: handle.normalized(), over_http: false }
    }
}

impl Resolution for HandleResolution {
    type Output = Did;

    fn request(&self) -> Request {
        if self.over_http {
            Request::Get {
                url: format!("https://{}/.well-known/atproto-did", self.handle),
                accept: "text/plain",
                is_operators: false,
            }
        } else {
            Request::Txt { name: format!("_atproto.{}", self.handle) }
        }
    }

    fn answer(self, response: Response) -> Step<Self> {
        match response {
            Response::Txt(records) => match did_of_txt_records(&records) {
                Some(did) => Step::Done(Ok(did)),
                None => Step::Ask(Self { over_http: true, ..self }),
            },
            Response::Body { status: 200, body } => {
                Step::Done(did_of_well_known(&body).ok_or(IdentityError::NotFound))
            }
            Response::Body { .. } => Step::Done(Err(IdentityError::NotFound)),
            Response::Failed(_) if !self.over_http => Step::Ask(Self { over_http: true, ..self }),
            Response::Failed(reason) => Step::Done(Err(IdentityError::Unreachable(reason))),
        }
    }
}

/// The DID in the TXT records of `_atproto.` and a handle. Records that say nothing of DIDs are passed over; two that
/// name different ones name none.
#[must_use]
pub fn did_of_txt_records(records: &[String]) -> Option<Did> {
    let mut named = records.iter().filter_map(|record| record.strip_prefix("did="));
    let first = named.next()?;
    if named.any(|other| other != first) {
        return None;
    }
    Did::try_from(first.trim()).ok()
}

/// The DID in the body of `/.well-known/atproto-did`: its first line.
#[must_use]
pub fn did_of_well_known(body: &[u8]) -> Option<Did> {
    let line = body.split(|byte| *byte == b'\n').next()?;
    Did::try_from(std::str::from_utf8(line).ok()?.trim()).ok()
}
