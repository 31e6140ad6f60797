//! Whose key an event needs, and whether it is signed with it.

use repo_mst::car::{self, Car, CarError, CarLimits};
use repo_mst::commit::Commit;

use super::super::Event;
use crate::crypto::VerifyingKey;
use crate::limits::{COMMIT_BLOCKS_BYTES_MAX, RECORD_BYTES_MAX};

/// The DID whose signing key [`super::Verifier::check`] needs for this event; `None` when it needs none.
pub fn signer<'a>(event: &Event<'a>) -> Option<&'a str> {
    match event {
        Event::Commit { body, .. } => Some(body.repo),
        Event::Sync { body, .. } => Some(body.did),
        _ => None,
    }
}

/// Whether the event's commit is signed with this key. When not, the key may have been rotated: look it up again
/// before calling that a violation.
pub fn is_signed_by(event: &Event<'_>, key: &VerifyingKey) -> bool {
    let blocks = match event {
        Event::Commit { body, .. } => body.blocks,
        Event::Sync { body, .. } => body.blocks,
        _ => return true,
    };
    let Ok(car) = read_slice(blocks) else { return false };
    let commit = car.roots.first().and_then(|root| car.blocks.iter().find(|(cid, _)| cid == root));
    commit.is_some_and(|(_, block)| {
        Commit::decode(block).is_ok_and(|commit| key.verify(&commit.unsigned().encode(), &commit.sig).is_ok())
    })
}

/// Reads an event's CAR, each block's hash checked.
pub(super) fn read_slice(blocks: &[u8]) -> Result<Car, CarError> {
    let limits = CarLimits {
        header_bytes: 1024,
        section_bytes: RECORD_BYTES_MAX + 128,
        // Somewhat above what is allowed: an event over its limit is still checked for everything else.
        total_bytes: 2 * COMMIT_BLOCKS_BYTES_MAX as u64,
        blocks: 100_000,
    };
    car::read_all(blocks, limits)
}
