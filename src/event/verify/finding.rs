//! What the verifier finds.

use cid::Cid;
use repo_mst::InvertError;
use repo_mst::car::CarError;
use repo_mst::commit::CommitError;

use super::super::DecodeError;
use crate::data_model::DataModelError;

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Allowed, but wasteful or unusual.
    Warning,
    /// Against the protocol.
    Violation,
}

/// One thing that is not as it has to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// Over the limit of a message.
    #[error("the frame has {bytes} bytes")]
    FrameTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// No frame, or not a canonical one.
    #[error(transparent)]
    Frame(DecodeError),
    /// An event type that is gone from the protocol.
    #[error("event type {0} is gone from the protocol")]
    RemovedKind(String),
    /// An event type that this program does not know.
    #[error("unknown event type {0}")]
    UnknownKind(String),
    /// Outside 1…2^53.
    #[error("seq {seq} is out of range")]
    SeqRange {
        /// The number.
        seq: i64,
    },
    /// Not above the one before.
    #[error("seq {seq} after {last}")]
    SeqOrder {
        /// The one before.
        last: i64,
        /// This one.
        seq: i64,
    },
    /// A field's text is not of its format.
    #[error("bad {field}: {value:?}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it says.
        value: String,
    },
    /// A field that is no longer used says something.
    #[error("{0} is not false or empty")]
    DeadField(&'static str),
    /// More operations than a commit may have.
    #[error("{0} operations")]
    TooManyOps(usize),
    /// More bytes of blocks than the event may have.
    #[error("blocks have {0} bytes")]
    BlocksTooLarge(usize),
    /// The blocks are no CAR, or one has another hash than it says.
    #[error("blocks: {0}")]
    Car(CarError),
    /// The CAR's root is not the event's commit, or it has none or several.
    #[error("the CAR's first root is not the commit")]
    CarRoot,
    /// The commit's block is not in the CAR.
    #[error("the commit block is missing")]
    CommitMissing,
    /// The commit's block is not a commit.
    #[error("commit block: {0}")]
    Commit(CommitError),
    /// Commit and event disagree.
    #[error("{0} of the commit is not the event's")]
    CommitField(&'static str),
    /// The DID's signing key could not be found.
    #[error("no signing key: {0}")]
    NoKey(String),
    /// Not signed by the DID's key.
    #[error("the signature is not of the DID document's key: {0}")]
    Signature(String),
    /// The rev does not rise.
    #[error("rev {rev} after {last}")]
    RevOrder {
        /// The last one.
        last: String,
        /// This one.
        rev: String,
    },
    /// The rev is from the future.
    #[error("rev {0} is more than 5 minutes ahead")]
    RevAhead(String),
    /// `since` is not the rev of the commit before.
    #[error("since is {since:?}, the last rev was {last}")]
    Since {
        /// What the event says.
        since: Option<String>,
        /// The last rev.
        last: String,
    },
    /// `prevData` is not there, though there was a commit before.
    #[error("prevData is missing")]
    PrevDataMissing,
    /// `prevData` is there, though there was no commit before.
    #[error("prevData on a first commit")]
    PrevDataOnFirst,
    /// `prevData` is not the root of the tree before.
    #[error("prevData is {stated}, the last root was {last}")]
    PrevData {
        /// What the event says.
        stated: Box<Cid>,
        /// The last root.
        last: Box<Cid>,
    },
    /// An operation's fields contradict its action, or its path is none.
    #[error("operation on {path:?}: {problem}")]
    Op {
        /// Its path.
        path: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A created or updated record is not among the blocks.
    #[error("the record of {path} is missing")]
    RecordMissing {
        /// Its path.
        path: String,
    },
    /// A record is not canonical DAG-CBOR of the data model.
    #[error("the record of {path}: {source}")]
    Record {
        /// Its path.
        path: String,
        /// Why.
        source: DataModelError,
    },
    /// A record has no `$type`, or another than its collection.
    #[error("the record of {path} has $type {found:?}")]
    RecordType {
        /// Its path.
        path: String,
        /// Its `$type`.
        found: Option<String>,
    },
    /// The operations cannot be undone.
    #[error("inversion: {0}")]
    Invert(InvertError),
    /// Undoing the operations leads to another tree.
    #[error("undoing the operations gives {found}, not {expected}")]
    InvertRoot {
        /// `prevData`, or the empty tree.
        expected: Box<Cid>,
        /// What undoing gave.
        found: Box<Cid>,
    },
    /// Blocks that neither the commit, its records nor the inversion need.
    #[error("{0} blocks that nothing needs")]
    ExtraBlocks(usize),
    /// The `#sync` CAR holds more than the commit.
    #[error("a #sync with {0} blocks")]
    SyncBlocks(usize),
    /// An event of an account that is not active.
    #[error("{0} while the account is inactive")]
    WhileInactive(&'static str),
    /// A first commit before `#identity` and `#account`.
    #[error("a first commit without #identity and #account before it")]
    CreationOrder,
    /// A commit, though the account's `#sync` after creation or activation has not come.
    #[error("a commit before the #sync that follows creation or activation")]
    SyncDue,
    /// An active account with a status that says otherwise.
    #[error("active, and yet {0}")]
    ActiveWithStatus(String),
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Finding::UnknownKind(_) | Finding::ExtraBlocks(_) | Finding::SyncDue => Severity::Warning,
            _ => Severity::Violation,
        }
    }
}
