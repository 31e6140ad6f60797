//! Reading frames, strictly: what is not canonical DAG-CBOR or misses a required field is refused.

use repo_mst::CborError;
use repo_mst::cbor::Reader;

use super::{AccountEvent, Action, CommitEvent, IdentityEvent, RepoOp, SyncEvent};
use crate::limits::CBOR_DEPTH_MAX;

/// Why bytes are no frame.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not two items of canonical DAG-CBOR and nothing more, or nested deeper than any event is.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A field is of another type than the schema says.
    #[error("{field} is not {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A required field is not there.
    #[error("required field {0} is missing")]
    Missing(&'static str),
    /// The header's `op` is neither 1 nor -1.
    #[error("unknown op in the header")]
    UnknownOp,
}

/// A decoded frame, borrowing from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "decoded, looked at and dropped; nearly all are commits")]
pub enum Event<'a> {
    /// `#commit`.
    Commit {
        /// Its number.
        seq: i64,
        /// The body.
        body: CommitEvent<'a>,
        /// Dead, has to be false.
        rebase: bool,
        /// Dead, has to be false.
        too_big: bool,
        /// How many `blobs` are listed; dead, has to be 0.
        blobs: usize,
    },
    /// `#sync`.
    Sync {
        /// Its number.
        seq: i64,
        /// The body.
        body: SyncEvent<'a>,
    },
    /// `#identity`.
    Identity {
        /// Its number.
        seq: i64,
        /// The body.
        body: IdentityEvent<'a>,
    },
    /// `#account`.
    Account {
        /// Its number.
        seq: i64,
        /// The body.
        body: AccountEvent<'a>,
    },
    /// `#info`.
    Info {
        /// For programs, as `OutdatedCursor`.
        name: &'a str,
        /// For people.
        message: Option<&'a str>,
    },
    /// An error frame; the stream ends.
    Error {
        /// For programs, as `FutureCursor`.
        error: &'a str,
        /// For people.
        message: Option<&'a str>,
    },
    /// An event of a type this program does not know: to be passed over, the specification says.
    Unknown {
        /// The header's `t`.
        kind: &'a str,
    },
}

impl<'a> Event<'a> {
    /// Decodes one frame.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but two canonical items of the expected shape.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (mut op, mut kind) = (None, None);
        fields(&mut reader, "header", |reader, key| {
            match key {
                "op" => op = Some(field("op", reader.integer())?),
                "t" => kind = Some(field("t", reader.text())?),
                _ => reader.skip(CBOR_DEPTH_MAX)?,
            }
            Ok(())
        })?;
        let event = match (op.ok_or(DecodeError::Missing("op"))?, kind) {
            (-1, _) => named(&mut reader, "error").map(|(error, message)| Event::Error { error, message })?,
            (1, Some("#commit")) => commit(&mut reader)?,
            (1, Some("#sync")) => sync(&mut reader)?,
            (1, Some("#identity")) => identity(&mut reader)?,
            (1, Some("#account")) => account(&mut reader)?,
            (1, Some("#info")) => {
                named(&mut reader, "name").map(|(name, message)| Event::Info { name, message })?
            }
            (1, Some(kind)) => {
                reader.skip(CBOR_DEPTH_MAX)?;
                Event::Unknown { kind }
            }
            (1, None) => return Err(DecodeError::Missing("t")),
            _ => return Err(DecodeError::UnknownOp),
        };
        reader.end()?;
        Ok(event)
    }

    /// The event's number; `None` for those that have none.
    pub fn seq(&self) -> Option<i64> {
        match self {
            Event::Commit { seq, .. }
            | Event::Sync { seq, .. }
            | Event::Identity { seq, .. }
            | Event::Account { seq, .. } => Some(*seq),
            _ => None,
        }
    }
}

fn commit<'a>(reader: &mut Reader<'a>) -> Result<Event<'a>, DecodeError> {
    let (mut seq, mut repo, mut time, mut rev, mut since) = (None, None, None, None, None);
    let (mut commit, mut prev_data, mut blocks, mut ops) = (None, None, None, None);
    let (mut rebase, mut too_big, mut blobs) = (None, None, None);
    fields(reader, "body", |reader, key| {
        match key {
            "seq" => seq = Some(field("seq", reader.integer())?),
            "repo" => repo = Some(field("repo", reader.text())?),
            "time" => time = Some(field("time", reader.text())?),
            "rev" => rev = Some(field("rev", reader.text())?),
            "since" => since = Some(field("since", reader.nullable(Reader::text))?),
            "commit" => commit = Some(field("commit", reader.cid())?),
            "prevData" => prev_data = field("prevData", reader.nullable(Reader::cid))?,
            "blocks" => blocks = Some(field("blocks", reader.bytes())?),
            "ops" => ops = Some(list(reader, "ops", op)?),
            "rebase" => rebase = Some(field("rebase", reader.bool())?),
            "tooBig" => too_big = Some(field("tooBig", reader.bool())?),
            "blobs" => {
                blobs = Some(list(reader, "blobs", |reader| field("blobs", reader.cid()).map(drop))?.len());
            }
            _ => reader.skip(CBOR_DEPTH_MAX)?,
        }
        Ok(())
    })?;
    Ok(Event::Commit {
        seq: seq.ok_or(DecodeError::Missing("seq"))?,
        body: CommitEvent {
            repo: repo.ok_or(DecodeError::Missing("repo"))?,
            time: time.ok_or(DecodeError::Missing("time"))?,
            rev: rev.ok_or(DecodeError::Missing("rev"))?,
            since: since.ok_or(DecodeError::Missing("since"))?,
            commit: commit.ok_or(DecodeError::Missing("commit"))?,
            prev_data,
            blocks: blocks.ok_or(DecodeError::Missing("blocks"))?,
            ops: ops.ok_or(DecodeError::Missing("ops"))?,
        },
        rebase: rebase.ok_or(DecodeError::Missing("rebase"))?,
        too_big: too_big.ok_or(DecodeError::Missing("tooBig"))?,
        blobs: blobs.ok_or(DecodeError::Missing("blobs"))?,
    })
}

fn op<'a>(reader: &mut Reader<'a>) -> Result<RepoOp<'a>, DecodeError> {
    let (mut action, mut path, mut cid, mut prev) = (None, None, None, None);
    fields(reader, "op", |reader, key| {
        match key {
            "action" => {
                action = Some(match field("action", reader.text())? {
                    "create" => Action::Create,
                    "update" => Action::Update,
                    "delete" => Action::Delete,
                    _ => return Err(DecodeError::Field { field: "action", expected: "a known action" }),
                });
            }
            "path" => path = Some(field("path", reader.text())?),
            "cid" => cid = Some(field("cid", reader.nullable(Reader::cid))?),
            "prev" => prev = field("prev", reader.nullable(Reader::cid))?,
            _ => reader.skip(CBOR_DEPTH_MAX)?,
        }
        Ok(())
    })?;
    Ok(RepoOp {
        action: action.ok_or(DecodeError::Missing("action"))?,
        path: path.ok_or(DecodeError::Missing("path"))?,
        cid: cid.ok_or(DecodeError::Missing("cid"))?,
        prev,
    })
}

fn sync<'a>(reader: &mut Reader<'a>) -> Result<Event<'a>, DecodeError> {
    let (mut seq, mut did, mut time, mut rev, mut blocks) = (None, None, None, None, None);
    fields(reader, "body", |reader, key| {
        match key {
            "seq" => seq = Some(field("seq", reader.integer())?),
            "did" => did = Some(field("did", reader.text())?),
            "time" => time = Some(field("time", reader.text())?),
            "rev" => rev = Some(field("rev", reader.text())?),
            "blocks" => blocks = Some(field("blocks", reader.bytes())?),
            _ => reader.skip(CBOR_DEPTH_MAX)?,
        }
        Ok(())
    })?;
    Ok(Event::Sync {
        seq: seq.ok_or(DecodeError::Missing("seq"))?,
        body: SyncEvent {
            did: did.ok_or(DecodeError::Missing("did"))?,
            time: time.ok_or(DecodeError::Missing("time"))?,
            rev: rev.ok_or(DecodeError::Missing("rev"))?,
            blocks: blocks.ok_or(DecodeError::Missing("blocks"))?,
        },
    })
}

fn identity<'a>(reader: &mut Reader<'a>) -> Result<Event<'a>, DecodeError> {
    let (mut seq, mut did, mut time, mut handle) = (None, None, None, None);
    fields(reader, "body", |reader, key| {
        match key {
            "seq" => seq = Some(field("seq", reader.integer())?),
            "did" => did = Some(field("did", reader.text())?),
            "time" => time = Some(field("time", reader.text())?),
            "handle" => handle = Some(field("handle", reader.text())?),
            _ => reader.skip(CBOR_DEPTH_MAX)?,
        }
        Ok(())
    })?;
    Ok(Event::Identity {
        seq: seq.ok_or(DecodeError::Missing("seq"))?,
        body: IdentityEvent {
            did: did.ok_or(DecodeError::Missing("did"))?,
            time: time.ok_or(DecodeError::Missing("time"))?,
            handle,
        },
    })
}

fn account<'a>(reader: &mut Reader<'a>) -> Result<Event<'a>, DecodeError> {
    let (mut seq, mut did, mut time, mut active, mut status) = (None, None, None, None, None);
    fields(reader, "body", |reader, key| {
        match key {
            "seq" => seq = Some(field("seq", reader.integer())?),
            "did" => did = Some(field("did", reader.text())?),
            "time" => time = Some(field("time", reader.text())?),
            "active" => active = Some(field("active", reader.bool())?),
            "status" => status = Some(field("status", reader.text())?),
            _ => reader.skip(CBOR_DEPTH_MAX)?,
        }
        Ok(())
    })?;
    Ok(Event::Account {
        seq: seq.ok_or(DecodeError::Missing("seq"))?,
        body: AccountEvent {
            did: did.ok_or(DecodeError::Missing("did"))?,
            time: time.ok_or(DecodeError::Missing("time"))?,
            active: active.ok_or(DecodeError::Missing("active"))?,
            status,
        },
    })
}

/// The body of `#info` and of an error frame: a name under `name_key`, and a message.
fn named<'a>(
    reader: &mut Reader<'a>,
    name_key: &'static str,
) -> Result<(&'a str, Option<&'a str>), DecodeError> {
    let (mut name, mut message) = (None, None);
    fields(reader, "body", |reader, key| {
        match key {
            "message" => message = Some(field("message", reader.text())?),
            key if key == name_key => name = Some(field(name_key, reader.text())?),
            _ => reader.skip(CBOR_DEPTH_MAX)?,
        }
        Ok(())
    })?;
    Ok((name.ok_or(DecodeError::Missing(name_key))?, message))
}

/// The fields of a map: `read` reads the value of each key.
fn fields<'a>(
    reader: &mut Reader<'a>,
    name: &'static str,
    read: impl FnMut(&mut Reader<'a>, &'a str) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let pairs = field(name, reader.map())?;
    reader.pairs(pairs, read)
}

/// The items of an array. Grown one by one: an operation takes far more memory than the bytes that claim it.
fn list<'a, T>(
    reader: &mut Reader<'a>,
    name: &'static str,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let items = field(name, reader.array())?;
    let mut list = Vec::new();
    for _ in 0..items {
        list.push(read(reader)?);
    }
    Ok(list)
}

/// Names the field that holds a value of another type.
fn field<T>(field: &'static str, read: Result<T, CborError>) -> Result<T, DecodeError> {
    read.map_err(|error| match error {
        CborError::Unexpected { expected, .. } => DecodeError::Field { field, expected },
        error => DecodeError::Cbor(error),
    })
}
