//! Slow computations, password hashes above all: threads of their own, one a core, behind all others.
//!
//! A hash takes 19 MiB and tens of milliseconds by intention. So only so many run as there are cores, and some wait;
//! whoever comes when the queue is full is told so at once, which costs nothing.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::host::HostError;
use crate::limits::COMPUTE_WAITING_MAX;

type Job = Box<dyn FnOnce() + Send>;

/// How far the threads stand back for all others: as far as can be. They have what others leave.
const NICE: i32 = 19;

/// The threads.
pub(super) struct Pool {
    jobs: SyncSender<Job>,
}

impl Pool {
    /// Starts one thread a core. They end with the pool.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(COMPUTE_WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new().name(format!("compute-{number}")).spawn(move || work(&waiting))?;
        }
        Ok(Self { jobs })
    }

    /// Has a job done.
    ///
    /// # Errors
    /// [`HostError::Busy`] when too many wait.
    pub(super) fn take(&self, job: Job) -> Result<(), HostError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => HostError::Busy,
            TrySendError::Disconnected(_) => HostError::Stopping,
        })
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    // Of this thread alone; where that is not allowed, it works all the same.
    let _ = rustix::process::setpriority_process(None, NICE);
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a computation was cut short");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_when_too_many_wait_is_told_so_and_a_panic_stops_nothing() {
        let pool = Pool::start().unwrap();
        let (gate, threads) = (Arc::new(Mutex::new(())), std::thread::available_parallelism().unwrap().get());
        let (done, heard) = std::sync::mpsc::channel();
        let closed = gate.lock().unwrap();
        let mut taken = 0;
        loop {
            let (gate, done) = (Arc::clone(&gate), done.clone());
            let job = move || {
                drop(gate.lock());
                done.send(()).unwrap();
                panic!("as a job should not");
            };
            match pool.take(Box::new(job)) {
                Ok(()) => taken += 1,
                // Those that a thread has taken leave room for as many.
                Err(HostError::Busy) if taken >= COMPUTE_WAITING_MAX + threads => break,
                Err(_) => std::thread::yield_now(),
            }
        }
        assert_eq!(taken, COMPUTE_WAITING_MAX + threads);
        drop(closed);
        for _ in 0..taken {
            heard.recv().unwrap();
        }
        pool.take(Box::new(move || done.send(()).unwrap())).unwrap();
        heard.recv().unwrap();
    }
}
