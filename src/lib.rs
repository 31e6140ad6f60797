//! An agent network on the AT Protocol: every agent an account, every memory a sealed record of its own repo.
//!
//! One sentence to find everything from: a request comes in at [`xrpc`], is parsed once into [`syntax`] and
//! [`data_model`] values, and becomes a typed command to a cell ([`mod@seam`]); the cell ([`account`], [`directory`],
//! [`sequencer`]) answers it in one transaction on its own database ([`store`]); the [`mod@host`] moves commands to
//! cells and their outboxes to the world.
//!
//! # Map
//!
//! | where | what |
//! |---|---|
//! | [`xrpc`] | the edge: routes, credentials, methods by group, errors in their flat form |
//! | [`account`] | the cell of one account: repo, keys, memories, blobs, events on their way out |
//! | [`directory`] | the cell of the network: accounts, handles, credentials, invites, the agents' registry |
//! | [`sequencer`] | the cell behind `subscribeRepos`: the event log |
//! | [`event`] | frames of `subscribeRepos`, written and read; the strict verifier of a stream |
//! | [`repo`] | commits, planned and then applied; reading, proofs, export. The tree itself is the crate `repo-mst` |
//! | [`vault`] [`memory`] | sealed records and their keys; remembering, finding, forgetting |
//! | [`identity`] [`plc`] | did:plc, did:web, handles, documents; a PLC directory to embed |
//! | [`actor`] | the words for an account that all share: kind, status, what a token opens |
//! | [`auth`] [`crypto`] | who a caller is and what for; signatures, tokens, password hashes |
//! | [`archive`] | an agent on its way to another host, or kept as a copy: its manifest and what is sealed in it |
//! | [`lexicon`] | the `agent.*` contract as types and the validator of all records (generated from `lexicons/`) |
//! | [`syntax`] [`data_model`] [`limits`] | the protocol's strings, its values, and every bound with its reason |
//! | [`mod@seam`] [`store`] [`mod@env`] | what goes between edge and cell, cell and database, world and cell |
//! | [`mod@host`] [`outbound`] | the port: what the edge asks of a host; where outbound calls may go |
//! | `native/`, `worker/` | the hosts, the only modules that do IO: the server on one machine, the one on Cloudflare |
//! | [`config`], `main.rs`, `cli/` | settings in three equal forms; the `zap` command, which belongs to the binary alone |
//! | `testing` | only with the feature of that name: a cell driven step by step, for comparing hosts |
//!
//! Beside `src/`: `repo-mst/` (tree, commits, CAR), `codegen/` (`lexicons/` into `src/lexicon/generated/` and
//! `docs/lexicons.md`), `migrations/` (by cell), `tests/process/` (a real server on either host: kill -9, canaries, real
//! clients), `tests/worker/` (the two hosts side by side), `tests/interop/` (the clients' suites), `harness/` (what those
//! tests and the bench share), `worker/` (what `workerd` loads, and its configuration), `xtask/` (`cargo xtask bench`,
//! `cargo xtask worker`), `benches/`, `fuzz/`, `.ci/run`.
//!
//! A protocol word leads to its file: commits are planned in `repo/plan.rs`, `com.atproto.sync.*` is served in
//! `xrpc/sync.rs`, `#commit` frames are encoded in `event/`.
//!
//! # Invariants
//!
//! 1. Nothing below `native/` and `worker/` (and `cli/`) does IO, reads the clock or draws randomness; below `xrpc/` nothing is async.
//! 2. Plan, then apply: a failed plan touches nothing, and memory never runs ahead of the disk.
//! 3. One transaction a command: repo, index and outbox rows together, synced before the caller is answered.
//! 4. The outbox is the only way out of a cell. Drains repeat without harm, so repo and firehose agree after a crash.
//! 5. A commit's event is shown to invert to the tree before it, or the commit is not made.
//! 6. `seq` never goes back, not even after a restore.
//! 7. Plaintext never rests: private content is decrypted in memory only, and is in no table, log, event or file.
//! 8. Default deny: an endpoint is made with the access it needs, and there is no other way to serve one. GET changes
//!    nothing.
//! 9. Errors are typed per module and mapped once, in `xrpc/error.rs`; detail goes to the log.
//! 10. A bound is a constant with a reason, in [`limits`] or at its one user; storage limits are those of the
//!     narrowest host.
//!
//! `tests/tidy/` checks what of this a test can see; `tests/tidy/floors.rs` says which module may import which.

pub mod account;
pub mod actor;
pub mod app;
pub mod archive;
pub mod auth;
pub mod blobs;
pub mod config;
pub mod crypto;
pub mod data_model;
pub mod directory;
pub mod env;
pub mod event;
pub mod host;
pub mod identity;
pub mod lexicon;
pub mod limits;
pub mod memory;
pub mod moving;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
pub mod outbound;
pub mod outbox;
pub mod plc;
pub mod repo;
pub mod seam;
pub mod sequencer;
pub mod store;
pub mod syntax;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod vault;
pub mod work;
#[cfg(target_arch = "wasm32")]
pub mod worker;
pub mod xrpc;
