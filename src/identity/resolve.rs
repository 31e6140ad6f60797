//! Finding documents and identities, as a conversation of requests and responses that the host carries.

use super::{DidDocument, HandleResolution, IdentityError, did_web_document_url};
use crate::syntax::{AtIdentifier, Did, Handle};

/// What the host is asked to fetch. The host bounds time and size, follows no redirects of DIDs' hosts into private
/// addresses, and answers with a [`Response`] of the same kind or [`Response::Failed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// An HTTP GET.
    Get {
        /// Absolute URL.
        url: String,
        /// The `Accept` header.
        accept: &'static str,
        /// Whether the operator chose where it goes: the did:plc directory, and no name that a stranger gave.
        is_operators: bool,
    },
    /// The TXT records of a DNS name.
    Txt {
        /// The name.
        name: String,
    },
    /// Whether the DNS has an address for a name.
    Address {
        /// The name.
        name: String,
    },
}

/// What came of a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// An HTTP answer of any status.
    Body {
        /// Its status.
        status: u16,
        /// Its body, bounded by the host.
        body: Vec<u8>,
    },
    /// TXT records, each joined from its strings; none when the name does not exist.
    Txt(Vec<String>),
    /// Whether there is an address; not so when the name does not exist.
    Address(bool),
    /// No answer: timeout, refused, too large, not allowed. The reason is for the log and the client.
    Failed(String),
}

/// A conversation: ask [`Resolution::request`], hand what came of it to [`Resolution::answer`], until done.
pub trait Resolution: Sized {
    /// What it finds.
    type Output;
    /// What is to be asked now.
    fn request(&self) -> Request;
    /// Takes the answer.
    fn answer(self, response: Response) -> Step<Self>;
}

/// Where a [`Resolution`] is after an answer.
#[derive(Debug)]
pub enum Step<R: Resolution> {
    /// There is more to ask.
    Ask(R),
    /// The resolution is over.
    Done(Result<R::Output, IdentityError>),
}

/// Fetches a DID's document.
#[derive(Debug, Clone)]
pub struct DidResolution {
    did: Did,
    url: String,
    in_directory: bool,
}

impl DidResolution {
    /// Begins; `plc_url` is the directory's, without a trailing slash.
    ///
    /// # Errors
    /// [`IdentityError::UnsupportedDid`].
    pub fn new(did: &Did, plc_url: &str) -> Result<Self, IdentityError> {
        let url = match did.method() {
            "plc" => format!("{plc_url}/{did}"),
            "web" => did_web_document_url(did)?,
            _ => return Err(IdentityError::UnsupportedDid("neither did:plc nor did:web")),
        };
        Ok(Self { did: did.clone(), url, in_directory: did.method() == "plc" })
    }
}

impl Resolution for DidResolution {
    type Output = DidDocument;

    fn request(&self) -> Request {
        Request::Get {
            url: self.url.clone(),
            accept: "application/did+ld+json,application/json",
            is_operators: self.in_directory,
        }
    }

    fn answer(self, response: Response) -> Step<Self> {
        Step::Done(match response {
            Response::Body { status: 200, body } => DidDocument::parse(&self.did, &body),
            Response::Body { status: 404 | 410, .. } => Err(IdentityError::NotFound),
            Response::Body { status, .. } => Err(IdentityError::Unreachable(format!("status {status}"))),
            Response::Txt(_) | Response::Address(_) => {
                Err(IdentityError::Unreachable("no document".to_owned()))
            }
            Response::Failed(reason) => Err(IdentityError::Unreachable(reason)),
        })
    }
}

/// An account as the network sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The DID.
    pub did: Did,
    /// The handle, proven in both directions, or `handle.invalid`.
    pub handle: Handle,
    /// The document.
    pub document: DidDocument,
}

/// Finds an account by DID or handle and proves its handle in both directions.
#[derive(Debug, Clone)]
pub struct IdentityResolution {
    plc_url: String,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// Handle to DID; the document comes next.
    Handle { handle: Handle, resolution: HandleResolution },
    /// The document; `proven` is the handle it was found by.
    Document { proven: Option<Handle>, resolution: DidResolution },
    /// The document was found by DID and claims a handle: does that one name the DID?
    Proof { handle: Handle, document: DidDocument, resolution: HandleResolution },
}

impl IdentityResolution {
    /// Begins; `plc_url` is the directory's, without a trailing slash.
    ///
    /// # Errors
    /// [`IdentityError::UnsupportedDid`].
    pub fn new(identifier: &AtIdentifier, plc_url: &str) -> Result<Self, IdentityError> {
        let state = match identifier {
            AtIdentifier::Did(did) => {
                State::Document { proven: None, resolution: DidResolution::new(did, plc_url)? }
            }
            AtIdentifier::Handle(handle) => {
                State::Handle { handle: handle.normalized(), resolution: HandleResolution::new(handle) }
            }
        };
        Ok(Self { plc_url: plc_url.to_owned(), state })
    }

    fn ask(self, state: State) -> Step<Self> {
        Step::Ask(Self { state, ..self })
    }

    fn found_document(self, proven: Option<Handle>, document: DidDocument) -> Step<Self> {
        match (document.handle(), proven) {
            (Some(claimed), None) => {
                let resolution = HandleResolution::new(&claimed);
                self.ask(State::Proof { handle: claimed, document, resolution })
            }
            (Some(claimed), Some(proven)) if claimed == proven => done(claimed, document),
            _ => done(Handle::invalid(), document),
        }
    }
}

impl Resolution for IdentityResolution {
    type Output = Identity;

    fn request(&self) -> Request {
        match &self.state {
            State::Handle { resolution, .. } | State::Proof { resolution, .. } => resolution.request(),
            State::Document { resolution, .. } => resolution.request(),
        }
    }

    fn answer(self, response: Response) -> Step<Self> {
        match self.state.clone() {
            State::Handle { handle, resolution } => match resolution.answer(response) {
                Step::Ask(resolution) => self.ask(State::Handle { handle, resolution }),
                Step::Done(Err(error)) => Step::Done(Err(error)),
                Step::Done(Ok(did)) => match DidResolution::new(&did, &self.plc_url) {
                    Ok(resolution) => self.ask(State::Document { proven: Some(handle), resolution }),
                    Err(error) => Step::Done(Err(error)),
                },
            },
            State::Document { proven, resolution } => match resolution.answer(response) {
                Step::Ask(resolution) => self.ask(State::Document { proven, resolution }),
                Step::Done(Err(error)) => Step::Done(Err(error)),
                Step::Done(Ok(document)) => self.found_document(proven, document),
            },
            State::Proof { handle, document, resolution } => match resolution.answer(response) {
                Step::Ask(resolution) => self.ask(State::Proof { handle, document, resolution }),
                Step::Done(Ok(did)) if did == document.id => done(handle, document),
                // Whatever went wrong, the account is there; only its handle is not proven.
                Step::Done(_) => done(Handle::invalid(), document),
            },
        }
    }
}

fn done(handle: Handle, document: DidDocument) -> Step<IdentityResolution> {
    Step::Done(Ok(Identity { did: document.id.clone(), handle, document }))
}
