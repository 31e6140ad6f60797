//! The module that workerd loads. Everything is in the package `zap`, under `src/worker/`; an empty shell on other targets.

#[cfg(target_arch = "wasm32")]
pub use zap::worker::*;
