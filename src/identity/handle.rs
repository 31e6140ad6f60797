//! Handle to DID: a DNS TXT record at `_atproto.`, else a file under `/.well-known/`.

use super::{
    IdentityError,
    resolve::{Request, Resolution, Response, Step},
};
use crate::syntax::{Did, Handle};

/// Finds the DID a handle's domain names. DNS is asked first; a domain that answers there is not asked over HTTP.
///
/// [`IdentityError::NotFound`] is said only of a domain that was heard to name nobody: where the DNS did not answer, or the
/// server did not or has troubles of its own, it may name somebody yet.
#[derive(Debug, Clone)]
pub struct HandleResolution {
    handle: Handle,
    turn: Turn,
}

/// Who is asked now.
#[derive(Debug, Clone)]
enum Turn {
    /// The DNS.
    Dns,
    /// The server of that name, and whether the DNS was silent.
    Http { dns_failed: bool },
    /// The DNS, whether there is a server at all which might have answered; with why it did not.
    Address { reason: String },
}

impl HandleResolution {
    /// Begins.
    #[must_use]
    pub fn new(handle: &Handle) -> Self {
        Self { handle: handle.normalized(), turn: Turn::Dns }
    }
}

impl Resolution for HandleResolution {
    type Output = Did;

    fn request(&self) -> Request {
        match self.turn {
            Turn::Dns => Request::Txt { name: format!("_atproto.{}", self.handle) },
            Turn::Http { .. } => Request::Get {
                url: format!("https://{}/.well-known/atproto-did", self.handle),
                accept: "text/plain",
                is_operators: false,
            },
            Turn::Address { .. } => Request::Address { name: self.handle.to_string() },
        }
    }

    fn answer(self, response: Response) -> Step<Self> {
        let unreachable = |why: String| Step::Done(Err(IdentityError::Unreachable(why)));
        let dns_failed = match self.turn {
            Turn::Dns => {
                let dns_failed = match response {
                    Response::Txt(records) => match did_of_txt_records(&records) {
                        Some(did) => return Step::Done(Ok(did)),
                        None => false,
                    },
                    _ => true,
                };
                return Step::Ask(Self { turn: Turn::Http { dns_failed }, ..self });
            }
            Turn::Address { reason } => {
                let is_nowhere = matches!(response, Response::Address(false));
                return if is_nowhere {
                    Step::Done(Err(IdentityError::NotFound))
                } else {
                    unreachable(reason)
                };
            }
            Turn::Http { dns_failed } => dns_failed,
        };
        let found = match &response {
            Response::Body { status: 200, body } => did_of_well_known(body),
            _ => None,
        };
        let silent = match response {
            // Also what a gateway answers in place of a server that does not exist.
            Response::Body { status: status @ (429 | 500..), .. } => Some(format!("status {status}")),
            Response::Failed(reason) => Some(reason),
            Response::Body { .. } | Response::Txt(_) | Response::Address(_) => None,
        };
        match (found, silent) {
            (Some(did), _) => Step::Done(Ok(did)),
            (None, Some(reason)) if dns_failed => unreachable(reason),
            (None, Some(reason)) => Step::Ask(Self { turn: Turn::Address { reason }, ..self }),
            (None, None) if dns_failed => unreachable("the DNS does not answer".to_owned()),
            (None, None) => Step::Done(Err(IdentityError::NotFound)),
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
