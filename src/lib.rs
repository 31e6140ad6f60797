//! An agent network on the AT Protocol.

pub mod agent;
pub mod auth;
#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
#[cfg(not(target_arch = "wasm32"))]
pub mod config;
pub mod crypto;
pub mod data_model;
pub mod directory;
pub mod env;
pub mod host;
pub mod identity;
pub mod lexicon;
pub mod limits;
pub mod memory;
pub mod plc;
pub mod repo;
pub mod seam;
pub mod sequencer;
pub mod store;
pub mod syntax;
pub mod vault;
pub mod xrpc;
