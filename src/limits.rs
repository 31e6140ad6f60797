//! Every limit, with its reason. Nothing else in the source is a bare number that bounds something.

/// Parameters bound to one SQL statement: a Durable Object takes 100.
pub const SQL_PARAMETERS_MAX: usize = 100;

/// Bytes of one SQL value: a Durable Object takes 2 MB.
pub const SQL_VALUE_BYTES_MAX: usize = 2_000_000;

/// Bytes of one record block: the protocol's limit for a record in a repo.
pub const RECORD_BYTES_MAX: usize = 1_000_000;

/// Levels of lists and maps in a value of the data model. The specification asks for a limit and names none; records
/// in the wild stay below ten, and 64 levels of recursion fit any stack, the small one of a Worker included.
pub const DATA_DEPTH_MAX: usize = 64;

/// Operations in one `#commit`: consumers drop more.
pub const COMMIT_OPS_MAX: usize = 200;

/// Sealed records changed by one commit: each is an operation of it, and a key that is destroyed.
pub const SEALED_CHANGES_MAX: usize = 100;

/// Bytes of events that an object on Cloudflare holds in memory between a commit and the sequencer: an isolate has many
/// accounts, and a batch on its way is copied some times.
pub const OUTBOX_HELD_BYTES_MAX: usize = 256 * 1024;

/// Bytes of the CAR slice of one `#commit`: consumers drop more.
pub const COMMIT_BLOCKS_BYTES_MAX: usize = 2_000_000;

/// Bytes of one event: it is a value of a row, and a Durable Object takes 2 MB for the whole row.
pub const EVENT_BYTES_MAX: usize = SQL_VALUE_BYTES_MAX - 4_000;

/// Bytes of commits' events that an account makes in a day: a tenth of the event log on the host where that is smallest.
pub const EVENT_BYTES_A_DAY_MAX: i64 = 1024 * 1024 * 1024;

/// Bytes of commits' events that an account comes to in a day when it deletes: as much again, for what deletes a record tells
/// of nodes of up to a megabyte.
pub const EVENT_BYTES_A_DAY_DELETING_MAX: i64 = 2 * EVENT_BYTES_A_DAY_MAX;

/// Bytes of a compact token; longer ones are refused unread. Ours are under 600; OAuth's, with all that permission sets open
/// (`oauth::scope::GRANTED_BYTES_MAX`), under 12 KiB.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a password; longer ones are refused before hashing: nobody types them, and they cost time.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// Bytes of an e-mail address: RFC 5321's path without its brackets.
pub const EMAIL_BYTES_MAX: usize = 254;

/// Characters of a mail's subject: more is cut off wherever it is shown.
pub const MAIL_SUBJECT_CHARS_MAX: usize = 200;

/// Characters of a public key's multibase text: an uncompressed point takes 91. Decoding base58 is quadratic.
pub const KEY_TEXT_CHARS_MAX: usize = 128;

/// Depth of nested CBOR: records and events are far flatter; deeper is an attack on the stack.
pub const CBOR_DEPTH_MAX: usize = 32;

/// Bytes of a JSON request body: as the reference server has it, ample for one record of text.
pub const JSON_BODY_BYTES_MAX: usize = 150_000;

/// Bytes of an account's preferences: what fits into the request that sets them, and as much again that it can't see.
pub const PREFERENCES_BYTES_MAX: usize = 2 * JSON_BODY_BYTES_MAX;

/// Bytes of a body with records in it: as the reference server has it; a record of any size, or 200 operations.
pub const RECORDS_BODY_BYTES_MAX: usize = 1_000_000;

/// Bytes of the message in a letter: the longest text that the lexicon allows, and what is around it.
pub const LETTER_BODY_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a letter: that message with its padding, and what a host has to know.
pub const LETTER_BYTES_MAX: usize = 320 * 1024;

/// Bytes of a sealed blob: it is sealed and opened in memory at once.
pub const SEALED_BLOB_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of one chunk of an exported repo: large enough that a chunk's fixed cost vanishes, small enough that a
/// hundred slow downloads hold little memory.
pub const EXPORT_CHUNK_BYTES: usize = 65_536;

/// Repos exported at a time on one machine, each with a thread; others wait for their turn.
pub const EXPORTS_MAX: usize = 64;

/// Repos that are exported or wait for that: what turns come to within [`EXPORT_WAIT_SECONDS`], roughly.
pub const EXPORTS_ASKED_MAX: usize = 256;

/// How long who wants a repo waits for a turn before being told to come back.
pub const EXPORT_WAIT_SECONDS: u64 = 10;

/// How long who reads an export may take for one chunk: what it holds (a thread, a snapshot of the database) is freed
/// then.
pub const EXPORT_READER_SECONDS: u64 = 30;

/// The same while others wait for a turn: what is read at 256 kbit/s goes on.
pub const EXPORT_READER_CONTESTED_SECONDS: u64 = 4;

/// How long the download of a repo may take in all: 2 GB at 20 Mbit/s. What it holds, a snapshot and a thread, is bounded
/// by that.
pub const EXPORT_SECONDS: u64 = 900;

/// How much longer it may take once a key was ended that the log can't be rid of meanwhile.
pub const EXPORT_OWED_SECONDS: u64 = 5;

/// Bytes of records in one page, as the client gets them, about: what is over goes into the next page.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of blocks in one answer of getBlocks: it is held in memory, a few times over on a Worker.
pub const BLOCKS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of rows replaced during an export that a host without snapshots holds until it is done: some ten thousand
/// commits' worth, and little beside a Worker's 128 MB.
pub const EXPORT_KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Nodes of one agent's tree kept in memory (some 500 bytes each) before the tree is opened anew.
pub const TREE_NODES_LOADED_MAX: usize = 2_048;

/// Threads that own account cells: enough that their fsyncs coalesce in the kernel, few enough to cost nothing idle.
pub const SHARDS: usize = 32;

/// Agents held open in all; of each shard's, the one unused longest goes.
pub const AGENTS_OPEN_MAX: usize = 3_072;

/// What an agent takes while it is open: pages, statements, schema, and 32 KB for the index of its log. Measured with 2,000.
pub const AGENT_OPEN_BYTES: usize = 300 * 1024;

/// Messages a cell's thread takes at a time: bounds how long the first waits for the last.
pub const MAILBOX_BATCH_MAX: usize = 64;

/// Outbox rows read at a time when a cell is opened.
pub const OUTBOX_BATCH_MAX: u32 = 100;

/// Bytes of outbox rows read at a time, about: a Worker holds such a batch several times over in its 128 MB.
pub const OUTBOX_BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Open connections, of some 10 KB each: far more than clients that use them, and what an attack has to pay for.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Bytes of answers in memory that their clients have not read yet: sixty-four of the largest pages.
pub const ANSWER_BYTES_HELD_MAX: usize = 256 * 1024 * 1024;

/// Bytes of bodies in memory that are still coming or are being answered, decoded: as many as of answers.
pub const BODY_BYTES_HELD_MAX: usize = 256 * 1024 * 1024;

/// Blobs on their way in or out, each with a file open.
pub const BLOBS_OPEN_MAX: usize = 1_024;

/// Bytes from which an answer is compressed for who asks: what is less fits in a few packets anyway.
pub const ANSWER_COMPRESSED_BYTES_MIN: u64 = 8 * 1024;

/// Bytes of an answer up to which nobody counts it: the kernel takes as much at once.
pub const ANSWER_SMALL_BYTES: usize = 64 * 1024;

/// Idle read-only connections of the native host (2 files and up to 0.5 MB of page cache each).
pub const READERS_IDLE_MAX: usize = 128;

/// Accounts remembered in front of the directory, some 200 bytes each.
pub const ACCOUNTS_CACHED_MAX: usize = 50_000;

/// Addresses, or accounts, whose debts at one limit are kept, at 24 bytes each: an attack has to come from as many to be
/// forgotten, and whoever owes most is forgotten last.
pub const RATE_KEYS_MAX: usize = 1 << 16;

/// Slow computations, password hashes of some 50 ms above all, that wait for a core: a second or two on a small machine.
pub const COMPUTE_WAITING_MAX: usize = 64;

/// Chunks of an exported repo that may wait for a slow client.
pub const EXPORT_CHUNKS_WAITING_MAX: usize = 4;

/// How long an uploaded blob waits for a record that refers to it.
pub const BLOB_UNREFERENCED_SECONDS: i64 = 6 * 3600;

/// Seconds of one outbound exchange: a DID document or a letter takes far less; a caller waits for it.
pub const FETCH_TIMEOUT_SECONDS: u64 = 10;

/// Seconds that another server's answer may take from its head to its end, where it goes on to a client as it comes.
pub const EXCHANGE_ANSWER_SECONDS: u64 = 60;

/// Seconds of a whole exchange that goes through this server: as long as any request may take.
pub const EXCHANGE_SECONDS: u64 = 20 * 60;

/// Bytes of such an answer: as the reference server has it.
pub const EXCHANGE_BODY_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Such exchanges at a time, each with a socket: an app view answers some ten a second on each.
pub const EXCHANGES_MAX: usize = 512;

/// Bytes of the headers that come back from another server: proper ones have some hundred.
pub const PROXIED_HEADERS_BYTES_MAX: usize = 16 * 1024;

/// Bytes of an app view's answer into which is put what its reader wrote since; a feed of a hundred posts has a quarter.
pub const READ_AFTER_WRITE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Such answers in memory at a time, each some ten times over as values. Others go on as they came.
pub const READ_AFTER_WRITE_MAX: usize = 8;

/// Records of one collection that are put into answers: app views are seconds behind, and nobody writes faster by hand.
pub const RECENT_RECORDS_MAX: u32 = 10;

/// Bytes of an answer we read whole: the largest proper ones are lists of a hundred records.
pub const FETCH_BODY_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Seconds for one DNS question: as the reference waits for a handle.
pub const DNS_TIMEOUT_SECONDS: u64 = 3;

/// Bytes of a DID document: proper ones have one or two thousand.
pub const DID_DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// Names, keys or services of a DID document that are looked at: proper ones have a handful of each.
pub const DID_DOCUMENT_ENTRIES_MAX: usize = 64;

/// Bytes of DID documents kept in memory, and of handles.
pub const IDENTITY_CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// DID documents asked for at once on the word of strangers; others are told to come back.
pub const STRANGERS_DOCUMENTS_MAX: usize = 16;

/// The same on the word of one of them: an eighth.
pub const STRANGERS_DOCUMENTS_OF_ONE_MAX: usize = STRANGERS_DOCUMENTS_MAX / 8;

/// Handles, and documents of accounts, asked for at once for all clients, besides those. One that does not answer takes
/// up to [`DNS_TIMEOUT_SECONDS`] and [`FETCH_TIMEOUT_SECONDS`], two sockets and a TLS handshake's memory.
pub const LOOKUPS_MAX: usize = 64;

/// The same for one of them: an eighth.
pub const LOOKUPS_OF_ONE_MAX: usize = LOOKUPS_MAX / 8;

/// The longest that a service token may be good for: what the reference server makes.
pub const SERVICE_TOKEN_SECONDS_MAX: i64 = 3600;

/// How often at most a DID's document is asked for again because a signature does not fit.
pub const KEY_REFRESH_SECONDS: i64 = 60;

/// TXT records of one name that are looked at: proper names have one or two of ours beside a few of others.
pub const DNS_TXT_RECORDS_MAX: usize = 100;

/// First bytes of a blob that its MIME type is found from: an office document says what it is in its third or fourth
/// entry, some thousand bytes in.
pub const BLOB_HEAD_BYTES: usize = 8 * 1024;

/// Bytes of a blob that are read from disk at once.
pub const BLOB_CHUNK_BYTES: usize = 64 * 1024;

/// Bytes of a repo that `zap repo verify` takes into memory; the largest known are a few hundred megabytes.
pub const VERIFY_REPO_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Blocks of a repo that `zap repo verify` takes into memory.
pub const VERIFY_BLOCKS_MAX: u64 = 20_000_000;

/// Free bytes of the disk below which it is said to be full, and no account is begun any more: the first files of one, and
/// of the embedded PLC directory's word on it, must not end half-way.
pub const STORAGE_ROOM_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// Messages of events that may wait for the sequencer thread: some turns' worth. Past it, writes wait a moment and are
/// then refused before they are made.
pub const SEQUENCER_QUEUE_MAX: usize = 256;

/// Bytes of events that may wait for the sequencer thread, about: some of its turns.
pub const SEQUENCER_WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of events appended in one transaction, about: bounds what waits on one commit.
pub const SEQUENCER_BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of events in the log on any host, whatever its window: an object on Cloudflare holds 10 GB, and pages and indexes
/// take their part.
pub const EVENT_LOG_BYTES_MAX: u64 = 6 * 1024 * 1024 * 1024;

/// Bytes of recent events in memory: several thousand, so that a live subscriber may stall for seconds.
pub const FIREHOSE_RING_BYTES_MAX: usize = 16 * 1024 * 1024;

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

/// Blocks of one `getBlocks`: with a megabyte each, what an answer may take in memory.
pub const GET_BLOCKS_MAX: usize = 200;

/// Commits that one `agent.memory.forget` makes, of a hundred memories each, before it stops and says how far it got.
pub const FORGET_COMMITS_MAX: usize = 1_000;

/// Bytes of an archive's manifest: it passes through a Worker's 128 MB some times over, as text too.
pub const MANIFEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Archives of an agent that its owner is told of: as many as a page.
pub const EXPORTS_NOTED_MAX: i64 = 100;

/// Data keys in one archive, of some hundred bytes each: what fits into a manifest beside a list of blobs.
pub const ARCHIVE_KEYS_MAX: u64 = 120_000;

/// Memory that opening an archive may take, in KiB: what a Worker has to spare.
pub const ARCHIVE_KDF_KIB_MAX: u32 = 64 * 1024;

/// Passes that opening an archive may take over that memory: some seconds' work.
pub const ARCHIVE_KDF_PASSES_MAX: u32 = 16;

/// Bytes of a passphrase at least: an archive can be guessed at without anybody noticing.
pub const PASSPHRASE_BYTES_MIN: usize = 8;

/// Bytes of one body of records while a repo is rebuilt: a few records of the largest size, and little memory.
pub const IMPORT_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Records in one such body: their tree's nodes are in memory at once.
pub const IMPORT_RECORDS_MAX: usize = 5_000;
