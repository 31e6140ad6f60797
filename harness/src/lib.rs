//! Runs a server as its own process and talks to it over loopback, as any stranger would.
//!
//! For black-box tests and for the benchmark driver. Nothing here knows the server's code: [`Process`] starts and
//! ends programs, [`Zap`] knows the command line, [`Client`] is one HTTP connection, [`Subscriber`] one WebSocket,
//! [`Peer`] a server that misbehaves, [`wire`] clients that do, [`Usage`] what the operating system says a process used.

pub mod client;
pub mod peer;
pub mod process;
pub mod subscriber;
pub mod usage;
pub mod wire;
pub mod zap;

pub use client::{Answer, Client};
pub use peer::{Conduct, Peer};
pub use process::Process;
pub use subscriber::Subscriber;
pub use usage::Usage;
pub use zap::{Account, Build, Host, Settings, Zap};
