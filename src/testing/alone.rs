//! One cell without a host, for tests of the cell itself.

use super::{Cell, Disk, Randomness, START_US, network};
use crate::env::{Env, Network};
use crate::seam::Request;

/// A cell, and all that comes into it; a new one is on an empty disk.
pub struct Alone<C> {
    /// The time, which goes on only by a test's hand.
    pub now_us: i64,
    /// The network's facts.
    pub network: Network,
    /// Where the cell rests.
    pub disk: Disk,
    /// The cell in memory.
    pub cell: C,
    randomness: Randomness,
}

impl<C: Cell> Default for Alone<C> {
    fn default() -> Self {
        let (network, disk, randomness) = (network(), Disk::default(), Randomness::default());
        let mut env = Env { now_us: START_US, rng: &mut randomness.fork(), network: &network };
        let cell = C::load(&disk, &mut env).unwrap();
        Self { now_us: START_US, network, disk, cell, randomness }
    }
}

impl<C: Cell> Alone<C> {
    /// Opens the cell again from its disk, the machine running.
    ///
    /// # Errors
    /// The cell's.
    pub fn restart(&mut self) -> Result<(), C::Error> {
        self.disk.power_on();
        let mut rng = self.randomness.fork();
        let mut env = Env { now_us: self.now_us, rng: &mut rng, network: &self.network };
        self.cell = C::load(&self.disk, &mut env)?;
        Ok(())
    }

    /// Asks through the seam's bytes, as another machine would.
    ///
    /// # Errors
    /// The cell's.
    pub fn ask<R>(&mut self, request: R) -> Result<R::Reply, C::Error>
    where
        R: Request,
        C::Command: From<R::Command>,
        R::Answer: TryFrom<C::Reply>,
    {
        let command = C::Command::from(request.into_command());
        let bytes = serde_ipld_dagcbor::to_vec(&command).unwrap();
        let command = serde_ipld_dagcbor::from_slice(&bytes).unwrap();
        let mut rng = self.randomness.fork();
        let mut env = Env { now_us: self.now_us, rng: &mut rng, network: &self.network };
        let reply = self.cell.handle(&self.disk, &mut env, command)?;
        let bytes = serde_ipld_dagcbor::to_vec(&reply).unwrap();
        let reply: C::Reply = serde_ipld_dagcbor::from_slice(&bytes).unwrap();
        Ok(R::from_answer(reply.try_into().ok().unwrap()).unwrap())
    }
}
