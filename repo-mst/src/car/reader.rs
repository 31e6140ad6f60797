//! Reading CAR v1 as it arrives, within limits, every block hashed.

use bytes::{Buf, Bytes, BytesMut};
use cid::Cid;

use crate::cbor::{CborError, Reader};
use crate::link::{CID_BYTES, CODEC_DAG_CBOR, CODEC_RAW, HASH_SHA256, sha256, sha256_cid};

/// What a CAR may hold. There is no default: a commit's slice and a repo's import differ a thousandfold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CarLimits {
    /// Largest header.
    pub header_bytes: usize,
    /// Largest section: a CID and its block.
    pub section_bytes: usize,
    /// Largest CAR.
    pub total_bytes: u64,
    /// Most blocks.
    pub blocks: u64,
}

/// Why bytes are not a CAR that is taken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// More bytes than [`CarLimits::total_bytes`].
    #[error("CAR is longer than {limit} bytes")]
    TotalTooLarge {
        /// The limit.
        limit: u64,
    },
    /// More blocks than [`CarLimits::blocks`].
    #[error("CAR has more than {limit} blocks")]
    TooManyBlocks {
        /// The limit.
        limit: u64,
    },
    /// A header or section larger than its limit.
    #[error("section of {bytes} bytes at byte {at} is larger than {limit}")]
    SectionTooLarge {
        /// The length it claims.
        bytes: u64,
        /// The limit.
        limit: usize,
        /// Offset in the CAR.
        at: u64,
    },
    /// A section of length zero, or too short for a CID.
    #[error("section of {bytes} bytes at byte {at} is too short")]
    SectionTooShort {
        /// The length it claims.
        bytes: u64,
        /// Offset in the CAR.
        at: u64,
    },
    /// A length that is not a minimal varint.
    #[error("length at byte {at} is not a minimal varint")]
    BadVarint {
        /// Offset in the CAR.
        at: u64,
    },
    /// The header is not canonical DAG-CBOR with roots and version.
    #[error("decoding the header")]
    Header(#[source] CborError),
    /// Another version of the format.
    #[error("CAR has version {version}, not 1")]
    Version {
        /// What the header says.
        version: u64,
    },
    /// A CID that is not v1 with SHA-256 over DAG-CBOR or raw bytes.
    #[error("block at byte {at} has an unsupported CID")]
    UnsupportedCid {
        /// Offset in the CAR.
        at: u64,
    },
    /// A block that is not what its CID says.
    #[error("block at byte {at} does not have the hash of its CID")]
    HashMismatch {
        /// Offset in the CAR.
        at: u64,
    },
    /// The CAR ends inside its header or a section.
    #[error("CAR ends inside the section at byte {at}")]
    Truncated {
        /// Offset of the section.
        at: u64,
    },
}

/// A streaming reader without IO: push bytes in, take blocks out.
#[derive(Debug)]
pub struct CarReader {
    limits: CarLimits,
    buffer: BytesMut,
    /// `None` until the header was read.
    roots: Option<Vec<Cid>>,
    /// Offset of the buffer's start.
    at: u64,
    blocks: u64,
}

/// A whole CAR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Car {
    /// What the header names.
    pub roots: Vec<Cid>,
    /// Blocks in their order.
    pub blocks: Vec<(Cid, Bytes)>,
}

/// Reads a CAR that is in memory.
pub fn read_all(car: &[u8], limits: CarLimits) -> Result<Car, CarError> {
    let mut reader = CarReader::new(limits);
    reader.push(car)?;
    let mut blocks = Vec::new();
    while let Some(block) = reader.next_block()? {
        blocks.push(block);
    }
    Ok(Car { roots: reader.finish()?, blocks })
}

impl CarReader {
    /// A reader at the start of a CAR.
    pub fn new(limits: CarLimits) -> Self {
        CarReader { limits, buffer: BytesMut::new(), roots: None, at: 0, blocks: 0 }
    }

    /// Takes the next bytes, which are held until [`CarReader::next_block`] has no more to give.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CarError> {
        let limit = self.limits.total_bytes;
        let held = self.buffer.len().saturating_add(bytes.len()) as u64;
        if self.at.saturating_add(held) > limit {
            return Err(CarError::TotalTooLarge { limit });
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The roots, once the header has arrived and [`CarReader::next_block`] was called.
    pub fn roots(&self) -> Option<&[Cid]> {
        self.roots.as_deref()
    }

    /// The next block; `None` when more bytes are needed. After an error the reader is of no more use.
    pub fn next_block(&mut self) -> Result<Option<(Cid, Bytes)>, CarError> {
        if self.roots.is_none() {
            let Some(header) = self.section(self.limits.header_bytes)? else { return Ok(None) };
            self.roots = Some(parse_header(&header)?);
        }
        let at = self.at;
        let Some(mut section) = self.section(self.limits.section_bytes)? else { return Ok(None) };
        if self.blocks >= self.limits.blocks {
            return Err(CarError::TooManyBlocks { limit: self.limits.blocks });
        }
        self.blocks = self.blocks.saturating_add(1);
        let (cid, digest) = match section.split_at_checked(CID_BYTES) {
            Some((cid, _)) => parse_cid(cid).ok_or(CarError::UnsupportedCid { at })?,
            None => return Err(CarError::SectionTooShort { bytes: section.len() as u64, at }),
        };
        section.advance(CID_BYTES);
        if sha256(&section) != digest {
            return Err(CarError::HashMismatch { at });
        }
        Ok(Some((cid, section)))
    }

    /// Says that no more bytes come: checks that none are left over, and gives the roots.
    pub fn finish(self) -> Result<Vec<Cid>, CarError> {
        match self.roots {
            Some(roots) if self.buffer.is_empty() => Ok(roots),
            _ => Err(CarError::Truncated { at: self.at }),
        }
    }

    /// The next section without its length, when it is there in full.
    fn section(&mut self, limit: usize) -> Result<Option<Bytes>, CarError> {
        let at = self.at;
        let Some((bytes, prefix)) = parse_varint(&self.buffer).ok_or(CarError::BadVarint { at })? else {
            return Ok(None);
        };
        if bytes == 0 {
            return Err(CarError::SectionTooShort { bytes, at });
        }
        let len = match usize::try_from(bytes) {
            Ok(len) if len <= limit => len,
            _ => return Err(CarError::SectionTooLarge { bytes, limit, at }),
        };
        if self.buffer.len().saturating_sub(prefix) < len {
            return Ok(None);
        }
        self.buffer.advance(prefix);
        self.at = self.at.saturating_add(prefix as u64).saturating_add(bytes);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }
}

fn parse_header(header: &[u8]) -> Result<Vec<Cid>, CarError> {
    let (roots, version) = parse_header_fields(header).map_err(CarError::Header)?;
    if version == 1 { Ok(roots) } else { Err(CarError::Version { version }) }
}

fn parse_header_fields(header: &[u8]) -> Result<(Vec<Cid>, u64), CborError> {
    let mut reader = Reader::new(header);
    reader.map_of(2, "a map of two")?;
    reader.key("roots")?;
    let mut roots = Vec::new();
    for _ in 0..reader.array()? {
        roots.push(reader.link()?.cid());
    }
    reader.key("version")?;
    let version = reader.unsigned()?;
    reader.end()?;
    Ok((roots, version))
}

fn parse_cid(bytes: &[u8]) -> Option<(Cid, [u8; 32])> {
    let (prefix, digest) = bytes.split_at_checked(4)?;
    let codec = match prefix {
        [1, codec, hash, 32] if u64::from(*hash) == HASH_SHA256 => u64::from(*codec),
        _ => return None,
    };
    let digest: [u8; 32] = digest.try_into().ok()?;
    (codec == CODEC_DAG_CBOR || codec == CODEC_RAW).then(|| (sha256_cid(codec, &digest), digest))
}

/// A varint and its length in bytes; `Some(None)` when it is not all there, `None` when it is not minimal or
/// above the format's nine bytes.
fn parse_varint(bytes: &[u8]) -> Option<Option<(u64, usize)>> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let minimal = *byte != 0 || at == 0;
            return minimal.then_some(Some((value, at.saturating_add(1))));
        }
    }
    (bytes.len() < 9).then_some(None)
}
