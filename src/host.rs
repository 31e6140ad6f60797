//! The port to a host (`native/`, `worker/`), which alone does IO, reads the clock and draws randomness.
//!
//! [`Host`] is what `app/` and the edge (`xrpc/`) ask of it. Everything asked of a cell goes through the seam: one
//! typed command, one typed reply. A host moves commands to the cells, carries their outboxes, keeps blobs, and reaches
//! other servers.

use std::net::{IpAddr, Ipv6Addr};

use bytes::Bytes;
use cid::Cid;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};

use crate::limits::FETCH_BODY_BYTES_MAX;
use crate::mail::Mail;
use crate::seam::Request;
use crate::syntax::{Did, Tid};
use crate::{account, directory, sequencer};

/// Why the host could not do what it was asked. Not the cells' errors: they have their own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Storage failed outside a cell: a blob, a stream.
    #[error("storage: {0}")]
    Storage(String),
    /// The disk is full.
    #[error("storage is full")]
    Full,
    /// A part of the host does not answer for the moment.
    #[error("a part of the server can't be reached: {0}")]
    Unreachable(String),
    /// Another server could not be reached or answered nonsense.
    #[error("{0}")]
    Upstream(String),
    /// Too many wait for the same already.
    #[error("the server is busy: try again in a moment")]
    Busy,
    /// The host is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// Why a cell did not answer a question: its own refusal, or the host's failure to bring question or answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed<E> {
    /// The cell refused.
    #[error(transparent)]
    Cell(#[from] E),
    /// The cell can't be reached.
    #[error("the cell can't be reached: {0}")]
    Unreachable(String),
    /// Too much waits for the same already; nothing has happened.
    #[error("the server is busy: try again in a moment")]
    Busy,
    /// The host is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The host brought the answer to another question: a bug.
    #[error("the answer is to another question")]
    Mismatch,
}

/// What is wrong with a host for as long as it lasts: requests may be answered, and still an operator is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The event log takes no events: writes are refused once too many wait for it.
    EventLogStuck,
    /// The event log could not be brought to disk: accounts keep their events until a restart.
    EventLogUnsynced,
    /// The disk is full, or as good as: writes are refused with `StorageFull`.
    StorageFull,
}

impl Trouble {
    /// Its name, for `/xrpc/_health`.
    pub fn name(self) -> &'static str {
        match self {
            Self::EventLogStuck => "EventLogStuck",
            Self::EventLogUnsynced => "EventLogUnsynced",
            Self::StorageFull => "StorageFull",
        }
    }
}

/// What a cell answers, through a host.
pub type Answered<R, E> = Result<R, Failed<E>>;

/// A stream of body chunks, in order, ending after the first error.
pub type ByteStream = BoxStream<'static, Result<Bytes, HostError>>;

/// Bytes for a client, as the body of its answer: a host may have a shorter way for them than through the router.
pub type Download = http::Response<axum::body::Body>;

/// Bytes that have no shorter way. Whoever compresses them asks once more after the end.
pub fn download(chunks: ByteStream) -> Download {
    Download::new(axum::body::Body::from_stream(chunks.fuse()))
}

/// An extension of a request to [`Host::fetch`]: bytes of the answer that are read, where that is less than usual.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit(pub usize);

impl BodyLimit {
    /// Of a request.
    pub fn of<T>(request: &http::Request<T>) -> usize {
        let limit = request.extensions().get::<Self>();
        limit.map_or(FETCH_BODY_BYTES_MAX, |limit| limit.0.min(FETCH_BODY_BYTES_MAX))
    }
}

/// An extension of a request to [`Host::fetch`]: the operator chose where it goes (a setting), no stranger. Without it, an
/// origin that the operator trusts is reached as any other is.
#[derive(Clone, Copy, Debug)]
pub struct ToOperatorsOrigin;

impl ToOperatorsOrigin {
    /// Whether a request is one.
    pub fn is<T>(request: &http::Request<T>) -> bool {
        request.extensions().get::<Self>().is_some()
    }
}

/// A network that is one client to us: an IPv4 address, or the /64 that one subscriber line has. An extension of a request
/// that comes in, where its host knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Net(IpAddr);

impl Net {
    /// Of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        })
    }

    /// Whether it is this machine itself.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        match self.0 {
            IpAddr::V4(address) => address.is_loopback(),
            // The /64 of ::1.
            IpAddr::V6(address) => address.is_unspecified(),
        }
    }
}

impl std::fmt::Display for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

/// Room in memory for the body of one request, as an extension of that (`Arc<dyn BodyRoom>`). What was taken is given back
/// when it is dropped.
pub trait BodyRoom: Send + Sync {
    /// Takes so many bytes more. Nobody waits for room: those who wait would hold what they have.
    ///
    /// # Errors
    /// [`NoRoom`].
    fn take(&self, bytes: usize) -> Result<(), NoRoom>;
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The client has what one may have.
    Yours,
    /// All is taken.
    All,
}

/// What the edge asks of the world.
pub trait Host: Send + Sync + 'static {
    /// Asks the account cell of `did`; a reading command may be answered beside the writer.
    fn account(
        &self,
        did: Did,
        command: account::Command,
    ) -> BoxFuture<'_, Answered<account::Reply, account::Error>>;

    /// Asks the directory cell.
    fn directory(
        &self,
        command: directory::Command,
    ) -> BoxFuture<'_, Answered<directory::Reply, directory::Error>>;

    /// Asks the sequencer cell.
    fn sequencer(
        &self,
        command: sequencer::Command,
    ) -> BoxFuture<'_, Answered<sequencer::Reply, sequencer::Error>>;

    /// Answers a `subscribeRepos` request with the switch to a WebSocket, over which the events after `cursor` then
    /// flow, apart from this call.
    fn subscribe_repos(
        &self,
        cursor: Option<i64>,
        request: http::Request<axum::body::Body>,
    ) -> BoxFuture<'_, Result<http::Response<axum::body::Body>, SubscribeError>>;

    /// Removes everything the account cell and the blob store hold of `did`.
    fn destroy_account(&self, did: Did) -> BoxFuture<'_, Result<(), HostError>>;

    /// The repo as a CAR, one snapshot of it, in bounded memory; `since` leaves out what an older rev had.
    fn export(&self, did: Did, since: Option<Tid>) -> BoxFuture<'_, Answered<Download, account::Error>>;

    /// Keeps a blob until it is referenced or expires; measures and hashes it on the way.
    fn put_blob(
        &self,
        did: Did,
        body: ByteStream,
        bytes_max: u64,
    ) -> BoxFuture<'_, Result<StoredBlob, PutBlobError>>;

    /// A blob and how many bytes it has; `None` when it is not there.
    fn get_blob(&self, did: Did, cid: Cid) -> BoxFuture<'_, Result<Option<(u64, Download)>, HostError>>;

    /// One outbound HTTP exchange, with a timeout, a bounded body, no redirects and no private addresses (loopback
    /// only where the configuration allows it).
    fn fetch(&self, request: http::Request<Bytes>)
    -> BoxFuture<'_, Result<http::Response<Bytes>, HostError>>;

    /// The same, both bodies as streams: for calls that go through this server. An answer that comes too slowly, or to too
    /// much, ends with an error of its body.
    fn exchange(
        &self,
        request: http::Request<axum::body::Body>,
    ) -> BoxFuture<'_, Result<http::Response<axum::body::Body>, HostError>>;

    /// The TXT records of a DNS name; an empty list when there are none.
    fn txt_records(&self, name: String) -> BoxFuture<'_, Result<Vec<String>, HostError>>;

    /// Whether the DNS has an address for a name; an error when it does not answer.
    fn has_address(&self, name: String) -> BoxFuture<'_, Result<bool, HostError>>;

    /// Hands a mail to the mail server, or whoever takes mail here, in bounded time.
    fn send_mail(&self, mail: Mail) -> BoxFuture<'_, Result<(), MailFailure>>;

    /// Has slow computation (a password hash) done where it delays nobody else; one that is not done is dropped.
    ///
    /// # Errors
    /// [`HostError::Busy`] when too much waits already.
    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), HostError>;

    /// What is wrong with it now; nothing where the runtime looks after itself.
    fn troubles(&self) -> Vec<Trouble> {
        Vec::new()
    }

    /// Microseconds since the Unix epoch.
    fn now_us(&self) -> i64;

    /// Fills `bytes` with cryptographic randomness.
    fn random(&self, bytes: &mut [u8]);
}

/// Why a mail was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailFailure {
    /// It never will be.
    #[error("{0}")]
    Refused(String),
    /// Nobody took it now.
    #[error("{0}")]
    Later(String),
}

/// Why a request did not become a subscription.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The request is no WebSocket handshake.
    #[error("this method is a subscription: connect to it with a WebSocket")]
    NotWebSocket,
    /// The limit of open subscriptions is reached.
    #[error("too many subscribers, try again later")]
    TooMany,
    /// The sequencer did not answer.
    #[error(transparent)]
    Sequencer(#[from] Failed<sequencer::Error>),
}

/// A blob as the store has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Its CID, of the raw codec.
    pub cid: Cid,
    /// Its length.
    pub bytes: u64,
    /// Its first bytes, for finding the MIME type.
    pub head: Bytes,
}

/// Why a blob was not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutBlobError {
    /// Over the limit given; nothing was kept.
    #[error("the blob is over {0} bytes")]
    TooLarge(u64),
    /// The sender stopped or storage failed; nothing was kept.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Typed questions through any host: `account(&host, did, GetRecord { .. }).await?`. The question is on its way when this
/// returns: what waits holds the answer only, which keeps callers small.
///
/// # Errors
/// The cell's own, or that it could not be asked.
pub fn account<'a, R>(
    host: &'a dyn Host,
    did: &Did,
    request: R,
) -> impl Future<Output = Answered<R::Reply, account::Error>> + use<'a, R>
where
    R: Request,
    account::Command: From<R::Command>,
    R::Answer: TryFrom<account::Reply>,
{
    let asked = host.account(did.clone(), request.into_command().into());
    asked.map(|answer| answer?.try_into().ok().and_then(R::from_answer).ok_or(Failed::Mismatch))
}

/// As [`account()`], to the directory.
///
/// # Errors
/// As there.
pub fn directory<R>(host: &dyn Host, request: R) -> impl Future<Output = Answered<R::Reply, directory::Error>>
where
    R: Request<Command = directory::Command, Answer = directory::Reply>,
{
    let asked = host.directory(request.into_command());
    asked.map(|answer| R::from_answer(answer?).ok_or(Failed::Mismatch))
}

/// As [`account()`], to the sequencer.
///
/// # Errors
/// As there.
pub fn sequencer<R>(host: &dyn Host, request: R) -> impl Future<Output = Answered<R::Reply, sequencer::Error>>
where
    R: Request<Command = sequencer::Command, Answer = sequencer::Reply>,
{
    let asked = host.sequencer(request.into_command());
    asked.map(|answer| R::from_answer(answer?).ok_or(Failed::Mismatch))
}
