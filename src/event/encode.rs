//! Writing frames: the few DAG-CBOR forms they use, and each body's keys in canonical order.

use bytes::Bytes;
use cid::Cid;

use super::{AccountEvent, CommitEvent, Frame, IdentityEvent, RepoOp, SyncEvent};

/// The initial byte of an unsigned integer in eight bytes.
pub(super) const UINT64: u8 = 0x1b;

impl CommitEvent<'_> {
    /// Encodes the event, `seq` open.
    pub fn encode(&self) -> Frame {
        // An op is its path, up to two links of 41 bytes and about 40 bytes of keys.
        let ops_bytes: usize = self.ops.iter().map(|op| op.path.len() + 128).sum();
        let mut w = Writer::event("#commit", self.blocks.len() + ops_bytes + 384);
        w.map(if self.prev_data.is_some() { 12 } else { 11 });
        w.key("ops").array(self.ops.len());
        for op in &self.ops {
            w.op(op);
        }
        w.key("rev").text(self.rev);
        w.key("seq").seq();
        w.key("repo").text(self.repo);
        w.key("time").text(self.time);
        w.key("blobs").array(0);
        w.key("since").optional(self.since, Writer::text);
        w.key("blocks").bytes(self.blocks);
        w.key("commit").link(&self.commit);
        w.key("rebase").bool(false);
        w.key("tooBig").bool(false);
        if let Some(prev_data) = &self.prev_data {
            w.key("prevData").link(prev_data);
        }
        w.frame()
    }
}

impl SyncEvent<'_> {
    /// Encodes the event, `seq` open.
    pub fn encode(&self) -> Frame {
        let mut w = Writer::event("#sync", self.blocks.len() + 192);
        w.map(5);
        w.key("did").text(self.did);
        w.key("rev").text(self.rev);
        w.key("seq").seq();
        w.key("time").text(self.time);
        w.key("blocks").bytes(self.blocks);
        w.frame()
    }
}

impl IdentityEvent<'_> {
    /// Encodes the event, `seq` open.
    pub fn encode(&self) -> Frame {
        let mut w = Writer::event("#identity", 256);
        w.map(if self.handle.is_some() { 4 } else { 3 });
        w.key("did").text(self.did);
        w.key("seq").seq();
        w.key("time").text(self.time);
        if let Some(handle) = self.handle {
            w.key("handle").text(handle);
        }
        w.frame()
    }
}

impl AccountEvent<'_> {
    /// Encodes the event, `seq` open.
    pub fn encode(&self) -> Frame {
        let mut w = Writer::event("#account", 192);
        w.map(if self.status.is_some() { 5 } else { 4 });
        w.key("did").text(self.did);
        w.key("seq").seq();
        w.key("time").text(self.time);
        w.key("active").bool(self.active);
        if let Some(status) = self.status {
            w.key("status").text(status);
        }
        w.frame()
    }
}

/// An `#info` frame: says something about the stream, has no `seq`, and the stream goes on.
pub fn info(name: &str, message: &str) -> Bytes {
    let mut w = Writer::event("#info", 128);
    w.map(2);
    w.key("name").text(name);
    w.key("message").text(message);
    Bytes::from(w.bytes)
}

/// An error frame: the stream ends after it.
pub fn error(name: &str, message: &str) -> Bytes {
    let mut w = Writer { bytes: Vec::with_capacity(128), seq_at: 0 };
    w.map(1);
    w.key("op").head(1, 0); // -1
    w.map(2);
    w.key("error").text(name);
    w.key("message").text(message);
    Bytes::from(w.bytes)
}

struct Writer {
    bytes: Vec<u8>,
    seq_at: u32,
}

impl Writer {
    fn event(kind: &str, capacity: usize) -> Self {
        let mut w = Writer { bytes: Vec::with_capacity(capacity), seq_at: 0 };
        w.map(2);
        w.key("t").text(kind);
        w.key("op").head(0, 1);
        w
    }

    fn frame(self) -> Frame {
        Frame { bytes: self.bytes, seq_at: self.seq_at }
    }

    fn op(&mut self, op: &RepoOp<'_>) {
        self.map(if op.prev.is_some() { 4 } else { 3 });
        self.key("cid").optional(op.cid.as_ref(), Writer::link);
        self.key("path").text(op.path);
        if let Some(prev) = &op.prev {
            self.key("prev").link(prev);
        }
        self.key("action").text(op.action.as_str());
    }

    /// The shortest form of a major type with its argument.
    #[expect(clippy::cast_possible_truncation, reason = "each arm has checked the width")]
    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        match value {
            0..=23 => self.bytes.push(major | value as u8),
            24..=0xff => self.bytes.extend([major | 24, value as u8]),
            0x100..=0xffff => {
                self.bytes.push(major | 25);
                self.bytes.extend((value as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.bytes.push(major | 26);
                self.bytes.extend((value as u32).to_be_bytes());
            }
            _ => {
                self.bytes.push(major | 27);
                self.bytes.extend(value.to_be_bytes());
            }
        }
    }

    fn map(&mut self, entries: u64) {
        self.head(5, entries);
    }

    fn array(&mut self, items: usize) {
        self.head(4, items as u64);
    }

    fn key(&mut self, key: &str) -> &mut Self {
        self.text(key);
        self
    }

    fn text(&mut self, text: &str) {
        self.head(3, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.head(2, bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn bool(&mut self, value: bool) {
        self.bytes.push(if value { 0xf5 } else { 0xf4 });
    }

    /// Tag 42 around the CID's bytes with the identity multibase prefix.
    fn link(&mut self, cid: &Cid) {
        let cid = cid.to_bytes();
        self.head(6, 42);
        self.head(2, cid.len() as u64 + 1);
        self.bytes.push(0);
        self.bytes.extend_from_slice(&cid);
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.bytes.push(0xf6),
        }
    }

    fn seq(&mut self) {
        self.bytes.push(UINT64);
        // The place follows a header and a few short keys, or a list of at most 200 paths: far below 4 GiB.
        self.seq_at = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend([0; 8]);
    }
}
