//! Where the world is touched: the only modules that do IO, read the clock or draw randomness.

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
