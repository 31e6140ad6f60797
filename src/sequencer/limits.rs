//! The limits of the event stream.

/// Messages waiting for the sequencer thread: some turns' worth. Shards wait when it is full.
pub const SEQUENCER_QUEUE_MAX: usize = 256;

/// Bytes of events appended in one transaction, about: bounds what waits on one commit.
pub const SEQUENCER_BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of recent events in memory: several thousand, so that a live subscriber may stall for seconds.
pub const FIREHOSE_RING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes written to a subscriber in one go: enough to spread a system call's cost over many events.
pub const FIREHOSE_WRITE_BYTES_MAX: usize = 256 * 1024;

/// Open subscriptions: relays and tools are few; more is a leak or an attack.
pub const FIREHOSE_SUBSCRIBERS_MAX: usize = 2_000;

/// Bytes of one message from a subscriber. The protocol has none, so there is nothing to lose.
pub const FIREHOSE_CLIENT_MESSAGE_BYTES_MAX: usize = 4096;

/// Bytes of one event stream message that our client takes: the protocol's limit.
pub const FIREHOSE_FRAME_BYTES_MAX: usize = 5_000_000;

/// Bytes of the CAR of one `#sync`, which holds the commit alone: the protocol's limit.
pub const SYNC_BLOCKS_BYTES_MAX: usize = 10_000;

/// Accounts whose state the firehose verifier keeps, at about 300 bytes each; others are checked event by event.
pub const VERIFIER_ACCOUNTS_MAX: usize = 1_000_000;
