//! An agent network on the AT Protocol: every agent an account, every memory a sealed record of its own repo.
//!
//! One sentence to find everything from: a request comes in at a door ([`xrpc`]), is parsed once into [`syntax`] and
//! [`data_model`] values, and becomes a typed command to a cell ([`mod@seam`]), directly or in a flow of [`app`]; the cell
//! ([`account`], [`directory`], [`sequencer`]) answers it in one transaction on its own database ([`store`]); the host
//! (`native/`, `worker/`) moves commands to cells and their outboxes to the world.
//!
//! # Map
//!
//! From the top floor down; a room imports from the floors below it and from no other (`tests/tidy/floors.rs` is the exact
//! table). There is no circle between rooms.
//!
//! | where | what |
//! |---|---|
//! | `main.rs`, `cli/` | the `zap` command, which belongs to the binary alone |
//! | `native/`, `worker/` | the hosts, the only modules that do IO: the server on one machine, the one on Cloudflare |
//! | [`xrpc`] | the door for programs: routes, credentials, methods by group, errors in their flat form |
//! | [`web`] | the door for browsers: the authorization server's pages and endpoints, the account's own pages |
//! | [`app`] | what the network does over several cells: signup, handles, deletion, moving, notices; how such a change survives its caller |
//! | [`auth`] [`config`] | who a caller is and what for; settings in three equal forms |
//! | [`mod@host`] [`outbound`] | the port: what is asked of a host; where outbound calls may go |
//! | [`account`] | the cell of one account: opens what its domains share, hands each command to its domain |
//! | [`directory`] | the cell of the network: accounts, handles, credentials, invites, the agents' registry, changes under way |
//! | [`sequencer`] [`plc`] | the cell behind `subscribeRepos`: the event log; a PLC directory to embed |
//! | [`memory`] [`moving`] | domains of an account: remembering, finding, forgetting; leaving as an archive, being told of it, and arriving |
//! | [`preferences`] | what an account's owner set in apps, sealed |
//! | [`repo`] | commits, planned and then applied; reading, proofs, export. The tree itself is the crate `repo-mst` |
//! | [`blobs`] [`outbox`] [`work`] | which blobs are kept; the only way out of a cell; what a domain is given to answer with |
//! | [`vault`] [`archive`] [`mod@env`] | sealed records and their keys; an agent as one file; what comes into a cell |
//! | [`oauth`] | OAuth without IO: scopes, clients, requests, proofs of possession, tokens |
//! | [`event`] | frames of `subscribeRepos`, written and read; the strict verifier of a stream |
//! | [`identity`] [`crypto`] | did:plc, did:web, handles, documents; signatures, tokens, password hashes |
//! | [`mail`] | what is written to people: letters, their words, addresses |
//! | [`lexicon`] | the `agent.*` contract as types and the validator of all records (generated from `lexicons/`) |
//! | [`actor`] | the words for an account that all share: kind, status, what a token opens |
//! | [`syntax`] [`data_model`] [`limits`] | the protocol's strings, its values, and every bound with its reason |
//! | [`rate_limit`] | how often something may be done, over a clock that comes in; the debts of many in bounded memory |
//! | [`mod@seam`] [`store`] | what goes between caller and cell, cell and database |
//! | `testing` | a cell driven step by step, for comparing hosts; in tests, a world in memory that one can break |
//!
//! Beside `src/`: `repo-mst/` (tree, commits, CAR), `codegen/` (`lexicons/` into `src/lexicon/generated/` and
//! `docs/lexicons.md`), `templates/` and `assets/` (the pages), `migrations/` (by cell), `tests/process/` (a real server on either host: kill -9, canaries,
//! adversaries, real clients), `tests/worker/` (the two hosts side by side), `tests/interop/` and `tests/python/` (the clients' suites), `tests/bsky-sdk/` (a client of Rust's), `tests/reference/` (the reference server beside ours), `tests/browser/` (the pages in Chromium), `harness/` (what those
//! tests and the bench share), `worker/` (what `workerd` loads, and its configuration), `xtask/` (`cargo xtask bench`,
//! `cargo xtask worker`), `docs/methods.rs` (writes `docs/methods.md`), `benches/`, `fuzz/`, `.ci/run`. `CONTRIBUTING.md` says which files a change touches.
//!
//! A protocol word leads to its file: commits are planned in `repo/plan.rs`, `com.atproto.sync.*` is served in
//! `xrpc/sync.rs`, `#commit` frames are encoded in `event/`.
//!
//! # Invariants
//!
//! 1. Nothing below `native/` and `worker/` (and `cli/`) does IO, reads the clock or draws randomness; below `app/` nothing
//!    is async.
//! 2. Plan, then apply: a failed plan touches nothing, and memory never runs ahead of the disk.
//! 3. One transaction a command: repo, index and outbox rows together, synced before the caller is answered.
//! 4. The outbox is the only way out of a cell. Drains repeat without harm, so repo and firehose agree after a crash.
//! 5. A commit's event is shown to invert to the tree before it, or the commit is not made.
//! 6. `seq` never goes back, not even after a restore.
//! 7. Plaintext never rests: private content is decrypted in memory only, and is in no table, log, event or file. A key
//!    that is ended leaves the database's own log too ([`vault::owes_cut`]).
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
pub mod mail;
pub mod memory;
pub mod moving;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
pub mod oauth;
pub mod outbound;
pub mod outbox;
pub mod plc;
pub mod preferences;
pub mod rate_limit;
pub mod repo;
pub mod seam;
pub mod sequencer;
pub mod store;
pub mod syntax;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod vault;
pub mod web;
pub mod work;
#[cfg(target_arch = "wasm32")]
pub mod worker;
pub mod xrpc;
