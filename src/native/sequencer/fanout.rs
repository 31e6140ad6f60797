//! The threads on which subscribers are written to: apart from those that answer requests, and behind them.
//!
//! An event for two thousand subscribers is two thousand writes. Whoever waits for the answer to a write of their own
//! must not wait for those.

use std::io;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

/// How far the threads stand back for all others: a third of their share of a core.
const NICE: i32 = 5;
/// How often it is looked whether the last subscriber has heard the goodbye.
const LOOK: Duration = Duration::from_millis(5);

/// The threads.
pub(super) struct FanOut {
    handle: Handle,
    runtime: std::sync::Mutex<Option<Runtime>>,
}

impl FanOut {
    /// Starts one thread a core.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub(super) fn start() -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("fan-out")
            .on_thread_start(|| {
                // Of this thread alone; where that is not allowed, it works all the same.
                let _ = rustix::process::setpriority_process(None, NICE);
            })
            .enable_time()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: std::sync::Mutex::new(Some(runtime)) })
    }

    /// Has a subscriber written to.
    pub(super) fn spawn(&self, subscriber: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(subscriber);
    }

    /// Ends the threads when nobody is left, or `within` that time.
    pub(super) fn stop(&self, within: Duration, left: impl Fn() -> usize) {
        let start = Instant::now();
        while left() > 0 && start.elapsed() < within {
            std::thread::sleep(LOOK);
        }
        let runtime = self.runtime.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}
