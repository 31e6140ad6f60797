//! The randomness of tests: all of it from one seed, which a test that fails prints.

use std::cell::Cell;
use std::sync::{Mutex, OnceLock};

use chacha20::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng};

use crate::native::clock::system_random;

/// The environment variable that repeats a run.
const VARIABLE: &str = "ZAP_SEED";

/// Where the randomness of one cell or one world comes from: a stream of this run's seed. Who draws in the same order draws
/// the same.
pub struct Randomness(Mutex<ChaCha20Rng>);

impl Default for Randomness {
    /// The next stream of this test, which no other of it has.
    fn default() -> Self {
        thread_local! { static NEXT: Cell<u64> = const { Cell::new(1 << 32) } }
        Self::stream(NEXT.replace(NEXT.get() + 1))
    }
}

impl Randomness {
    /// A stream by its number.
    pub fn stream(number: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed());
        rng.set_stream(number);
        Self(Mutex::new(rng))
    }

    /// What one command draws from: how much it draws changes nothing for the next.
    pub fn fork(&self) -> ChaCha20Rng {
        ChaCha20Rng::from_rng(&mut *self.0.lock().unwrap())
    }
}

impl Drop for Randomness {
    fn drop(&mut self) {
        thread_local! { static SAID: Cell<bool> = const { Cell::new(false) } }
        if std::thread::panicking() && !SAID.replace(true) {
            eprintln!("{VARIABLE}={} repeats the randomness of this run", seed());
        }
    }
}

/// The seed of this run: the environment's, or another one each time.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| match std::env::var(VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{VARIABLE} is no number: {text}")),
        Err(_) => system_random().next_u64(),
    })
}
