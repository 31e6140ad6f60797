//! Writing frames: each body's keys in canonical order.

use bytes::Bytes;
use repo_mst::cbor::Writer;

use super::{AccountEvent, CommitEvent, Frame, IdentityEvent, RepoOp, SyncEvent};

/// The initial byte of an unsigned integer in eight bytes.
pub(super) const UINT64: u8 = 0x1b;

impl CommitEvent<'_> {
    /// Encodes the event, `seq` open.
    pub fn encode(&self) -> Frame {
        // An op is its path, up to two links of 41 bytes and about 40 bytes of keys.
        let ops_bytes: usize = self.ops.iter().map(|op| op.path.len() + 128).sum();
        let mut w = FrameWriter::event("#commit", self.blocks.len() + ops_bytes + 384);
        w.map(if self.prev_data.is_some() { 12 } else { 11 });
        let mut ops = w.key("ops");
        ops.array(self.ops.len());
        self.ops.iter().for_each(|op| write_op(&mut ops, op));
        w.key("rev").text(self.rev);
        w.seq();
        w.key("repo").text(self.repo);
        w.key("time").text(self.time);
        w.key("blobs").array(0);
        w.key("since").nullable(self.since, Writer::text);
        w.key("blocks").bytes(self.blocks);
        w.key("commit").cid(&self.commit);
        w.key("rebase").bool(false);
        w.key("tooBig").bool(false);
        if let Some(prev_data) = &self.prev_data {
            w.key("prevData").cid(prev_data);
        }
        w.frame()
    }
}

impl SyncEvent<'_> {
    /// Encodes the event, `seq` open.
    pub fn encode(&self) -> Frame {
        let mut w = FrameWriter::event("#sync", self.blocks.len() + 192);
        w.map(5);
        w.key("did").text(self.did);
        w.key("rev").text(self.rev);
        w.seq();
        w.key("time").text(self.time);
        w.key("blocks").bytes(self.blocks);
        w.frame()
    }
}

impl IdentityEvent<'_> {
    /// Encodes the event, `seq` open.
    pub fn encode(&self) -> Frame {
        let mut w = FrameWriter::event("#identity", 256);
        w.map(if self.handle.is_some() { 4 } else { 3 });
        w.key("did").text(self.did);
        w.seq();
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
        let mut w = FrameWriter::event("#account", 192);
        w.map(if self.status.is_some() { 5 } else { 4 });
        w.key("did").text(self.did);
        w.seq();
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
    let mut w = FrameWriter::event("#info", 128);
    w.map(2);
    w.key("name").text(name);
    w.key("message").text(message);
    Bytes::from(w.bytes)
}

/// An error frame: the stream ends after it.
pub fn error(name: &str, message: &str) -> Bytes {
    let mut w = FrameWriter { bytes: Vec::with_capacity(128), seq_at: 0 };
    w.map(1);
    w.key("op").integer(-1);
    w.map(2);
    w.key("error").text(name);
    w.key("message").text(message);
    Bytes::from(w.bytes)
}

/// A frame being written, and where its `seq` has to go.
struct FrameWriter {
    bytes: Vec<u8>,
    seq_at: u32,
}

impl FrameWriter {
    fn event(kind: &str, capacity: usize) -> Self {
        let mut w = FrameWriter { bytes: Vec::with_capacity(capacity), seq_at: 0 };
        w.map(2);
        w.key("t").text(kind);
        w.key("op").unsigned(1);
        w
    }

    fn frame(self) -> Frame {
        Frame { bytes: self.bytes, seq_at: self.seq_at }
    }

    fn map(&mut self, pairs: usize) {
        Writer(&mut self.bytes).map(pairs);
    }

    fn key(&mut self, key: &str) -> Writer<'_> {
        let mut writer = Writer(&mut self.bytes);
        writer.text(key);
        writer
    }

    fn seq(&mut self) {
        self.key("seq");
        self.bytes.push(UINT64);
        // The place follows a header and a few short keys, or a list of at most 200 paths: far below 4 GiB.
        self.seq_at = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend([0; 8]);
    }
}

fn write_op(writer: &mut Writer<'_>, op: &RepoOp<'_>) {
    writer.map(if op.prev.is_some() { 4 } else { 3 });
    writer.key("cid").nullable(op.cid.as_ref(), Writer::cid);
    writer.key("path").text(op.path);
    if let Some(prev) = &op.prev {
        writer.key("prev").cid(prev);
    }
    writer.key("action").text(op.action.as_str());
}
