//! The clock and the randomness of this host.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The operating system's randomness. A system without any cannot make keys, so the process ends there.
pub type SystemRandom = rand_core::UnwrapErr<getrandom::SysRng>;

/// One of it; it has no state.
pub fn system_random() -> SystemRandom {
    rand_core::UnwrapErr(getrandom::SysRng)
}
