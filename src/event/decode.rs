//! Reading frames, strictly: what is not canonical DAG-CBOR or misses a required field is refused.

use cid::Cid;

use super::{AccountEvent, Action, CommitEvent, IdentityEvent, RepoOp, SyncEvent};
use crate::limits::CBOR_DEPTH_MAX;

/// Why bytes are no frame.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside an item.
    #[error("the frame ends early")]
    Truncated,
    /// Bytes follow the body.
    #[error("bytes follow the body")]
    Trailing,
    /// Readable, but not the one encoding DAG-CBOR allows.
    #[error("not canonical DAG-CBOR: {0}")]
    NotCanonical(&'static str),
    /// Nested deeper than any event is.
    #[error("nested too deep")]
    TooDeep,
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
        let mut reader = Reader { rest: bytes };
        let (mut op, mut kind) = (None, None);
        reader.map("header", |reader, key| {
            match key {
                "op" => op = Some(reader.integer("op")?),
                "t" => kind = Some(reader.text("t")?),
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
        if reader.rest.is_empty() { Ok(event) } else { Err(DecodeError::Trailing) }
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
    reader.map("body", |reader, key| {
        match key {
            "seq" => seq = Some(reader.integer("seq")?),
            "repo" => repo = Some(reader.text("repo")?),
            "time" => time = Some(reader.text("time")?),
            "rev" => rev = Some(reader.text("rev")?),
            "since" => since = Some(reader.nullable(|reader| reader.text("since"))?),
            "commit" => commit = Some(reader.link("commit")?),
            "prevData" => prev_data = reader.nullable(|reader| reader.link("prevData"))?,
            "blocks" => blocks = Some(reader.bytes("blocks")?),
            "ops" => ops = Some(reader.array("ops", op)?),
            "rebase" => rebase = Some(reader.bool("rebase")?),
            "tooBig" => too_big = Some(reader.bool("tooBig")?),
            "blobs" => blobs = Some(reader.array("blobs", |reader| reader.link("blobs"))?.len()),
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
    reader.map("op", |reader, key| {
        match key {
            "action" => {
                action = Some(match reader.text("action")? {
                    "create" => Action::Create,
                    "update" => Action::Update,
                    "delete" => Action::Delete,
                    _ => return Err(DecodeError::Field { field: "action", expected: "a known action" }),
                });
            }
            "path" => path = Some(reader.text("path")?),
            "cid" => cid = Some(reader.nullable(|reader| reader.link("cid"))?),
            "prev" => prev = reader.nullable(|reader| reader.link("prev"))?,
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
    reader.map("body", |reader, key| {
        match key {
            "seq" => seq = Some(reader.integer("seq")?),
            "did" => did = Some(reader.text("did")?),
            "time" => time = Some(reader.text("time")?),
            "rev" => rev = Some(reader.text("rev")?),
            "blocks" => blocks = Some(reader.bytes("blocks")?),
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
    reader.map("body", |reader, key| {
        match key {
            "seq" => seq = Some(reader.integer("seq")?),
            "did" => did = Some(reader.text("did")?),
            "time" => time = Some(reader.text("time")?),
            "handle" => handle = Some(reader.text("handle")?),
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
    reader.map("body", |reader, key| {
        match key {
            "seq" => seq = Some(reader.integer("seq")?),
            "did" => did = Some(reader.text("did")?),
            "time" => time = Some(reader.text("time")?),
            "active" => active = Some(reader.bool("active")?),
            "status" => status = Some(reader.text("status")?),
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

/// The body of `#info` and of an error frame: a name under `field`, and a message.
fn named<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<(&'a str, Option<&'a str>), DecodeError> {
    let (mut name, mut message) = (None, None);
    reader.map("body", |reader, key| {
        match key {
            "message" => message = Some(reader.text("message")?),
            key if key == field => name = Some(reader.text(field)?),
            _ => reader.skip(CBOR_DEPTH_MAX)?,
        }
        Ok(())
    })?;
    Ok((name.ok_or(DecodeError::Missing(field))?, message))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(length).map_err(|_| DecodeError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A major type and its argument, in the shortest form.
    fn head(&mut self) -> Result<(u8, u64), DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        let (major, short) = (first >> 5, first & 0x1f);
        let (width, least) = match short {
            0..=23 => return Ok((major, u64::from(short))),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return Err(DecodeError::NotCanonical("indefinite or reserved length")),
        };
        if major == 7 {
            return Err(DecodeError::NotCanonical("a float or an unknown simple value"));
        }
        let value = self.take(width)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        if value < least {
            return Err(DecodeError::NotCanonical("an integer not in its shortest form"));
        }
        Ok((major, value))
    }

    fn expect(&mut self, major: u8, field: &'static str, expected: &'static str) -> Result<u64, DecodeError> {
        match self.head()? {
            (found, value) if found == major => Ok(value),
            _ => Err(DecodeError::Field { field, expected }),
        }
    }

    fn integer(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        let wrong = DecodeError::Field { field, expected: "an integer" };
        match self.head()? {
            (0, value) => i64::try_from(value).map_err(|_| wrong),
            (1, value) => i64::try_from(value).map(|value| -1 - value).map_err(|_| wrong),
            _ => Err(wrong),
        }
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let length = self.expect(3, field, "text")?;
        std::str::from_utf8(self.take(length)?)
            .map_err(|_| DecodeError::Field { field, expected: "UTF-8 text" })
    }

    fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.expect(2, field, "bytes")?;
        self.take(length)
    }

    fn bool(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.head()? {
            (7, 20) => Ok(false),
            (7, 21) => Ok(true),
            _ => Err(DecodeError::Field { field, expected: "a boolean" }),
        }
    }

    fn link(&mut self, field: &'static str) -> Result<Cid, DecodeError> {
        let wrong = DecodeError::Field { field, expected: "a link" };
        if self.expect(6, field, "a link")? != 42 {
            return Err(wrong);
        }
        match self.bytes(field)?.split_first() {
            Some((0, cid)) => Cid::try_from(cid).map_err(|_| wrong),
            _ => Err(wrong),
        }
    }

    fn nullable<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.rest.split_first() {
            Some((0xf6, rest)) => {
                self.rest = rest;
                Ok(None)
            }
            _ => read(self).map(Some),
        }
    }

    fn array<T>(
        &mut self,
        field: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let items = self.expect(4, field, "a list")?;
        // Grown item by item: the count is a claim, the bytes are the bound.
        let mut list = Vec::new();
        for _ in 0..items {
            list.push(read(self)?);
        }
        Ok(list)
    }

    fn map(
        &mut self,
        field: &'static str,
        mut entry: impl FnMut(&mut Self, &'a str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let entries = self.expect(5, field, "a map")?;
        let mut last: Option<&str> = None;
        for _ in 0..entries {
            let key = self.text("a key")?;
            if last.is_some_and(|last| (last.len(), last) >= (key.len(), key)) {
                return Err(DecodeError::NotCanonical("keys out of order"));
            }
            last = Some(key);
            entry(self, key)?;
        }
        Ok(())
    }

    /// Passes over one value of an unknown field, still strictly.
    fn skip(&mut self, depth: usize) -> Result<(), DecodeError> {
        let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        let mut ahead = Reader { rest: self.rest };
        match ahead.head()? {
            (0 | 1, _) | (7, 20..=22) => *self = ahead,
            (2, _) => drop(self.bytes("value")?),
            (3, _) => drop(self.text("value")?),
            (4, _) => drop(self.array("value", |reader| reader.skip(depth))?),
            (5, _) => self.map("value", |reader, _| reader.skip(depth))?,
            (6, _) => drop(self.link("value")?),
            _ => return Err(DecodeError::NotCanonical("a float or an unknown simple value")),
        }
        Ok(())
    }
}
