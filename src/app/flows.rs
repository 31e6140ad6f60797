//! Changes of several steps, which go on to their end whoever waits for them.
//!
//! A change is recorded in the directory before its first step ([`Flow`]) and struck off after its last. Every step
//! looks at what is there and may be repeated, so after a crash the change simply begins again. The caller only waits:
//! where it hangs up, the change goes on; where the outcome of a step is not known, since the PLC directory did not answer,
//! the record stays and the change goes on later.
//!
//! One account's changes run one after the other. On a host with many routers all of them run in one place, and the
//! others ask there ([`Flows::elsewhere`]).
//!
//! A signup is recorded by its reservation, and ends by giving that back. What needs a secret that only its caller has
//! (an archive's passphrase) is not recorded: it survives its caller, and after a crash the caller begins it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::channel::oneshot;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{App, Error};
use crate::directory::{BeginFlow, EndFlow, Flow, ListFlows, limits::FLOWS_MAX};
use crate::syntax::Did;

/// Begins a task that nobody waits for.
pub type Spawn = dyn Fn(BoxFuture<'static, ()>) + Send + Sync;

/// The one place where changes are carried out, from afar.
pub trait Elsewhere: Send + Sync {
    /// Runs a change to its end, as [`App::run_here`].
    fn run(&self, did: Did, flow: Option<Flow>) -> BoxFuture<'static, Result<(), Error>>;

    /// Has notices carried, as [`App::carry_here`].
    fn carry(&self) -> BoxFuture<'static, Result<Carried, Error>>;
}

/// What became of the notices that were to be carried.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Carried {
    /// Whose notices arrived.
    pub brought: Vec<Did>,
    /// Whose did not, and why: theirs stay, those of others do not wait for them.
    pub failed: Vec<(Did, Error)>,
}

/// Who carries out changes.
pub enum Flows {
    /// This process.
    Here(Here),
    /// Another.
    Elsewhere(Box<dyn Elsewhere>),
}

/// What the one who carries out changes remembers.
pub struct Here {
    spawn: Box<Spawn>,
    /// Whose turn it is, by account.
    turns: Mutex<HashMap<Did, Weak<futures::lock::Mutex<()>>>>,
    /// Held while notices are carried.
    pub(super) carrying: futures::lock::Mutex<()>,
}

impl Flows {
    /// Carries out changes in tasks of this process.
    pub fn here(spawn: Box<Spawn>) -> Self {
        Self::Here(Here { spawn, turns: Mutex::default(), carrying: futures::lock::Mutex::default() })
    }

    /// Has changes carried out by another.
    pub fn elsewhere(there: impl Elsewhere + 'static) -> Self {
        Self::Elsewhere(Box::new(there))
    }

    /// The turn of an account: whoever holds it changes it.
    fn turn(&self, did: &Did) -> Arc<futures::lock::Mutex<()>> {
        let Self::Here(here) = self else { return Arc::default() };
        let mut turns = here.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(did).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(did.clone(), Arc::downgrade(&turn));
        turn
    }
}

impl App {
    /// Runs work to its end, though its caller may hang up.
    ///
    /// # Errors
    /// [`Error::Stopping`] when it was cut short.
    pub(super) async fn detached<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        // Where changes run elsewhere there are no tasks of our own; what matters is run there.
        let Flows::Here(here) = &self.flows else { return work.await };
        let (sender, receiver) = oneshot::channel();
        // An error means that the caller has gone; the work is done all the same.
        (here.spawn)(Box::pin(async move { drop(sender.send(work.await)) }));
        receiver.await.unwrap_or(Err(Error::Stopping))
    }

    /// Records a change and runs it to its end; without one, finishes the signup of `did`.
    ///
    /// # Errors
    /// The errors of its steps. After one that is not final the change goes on later.
    pub(super) async fn run(self: &Arc<Self>, did: Did, flow: Option<Flow>) -> Result<(), Error> {
        if let Flows::Elsewhere(there) = &self.flows {
            let outcome = there.run(did.clone(), flow).await;
            self.identities.forget(&did);
            self.accounts.forget(&did, None);
            return outcome;
        }
        let app = Arc::clone(self);
        self.detached(async move { app.run_here(&did, flow).await }).await
    }

    /// As [`App::run`], for the one who carries out changes.
    ///
    /// # Errors
    /// As there.
    pub async fn run_here(&self, did: &Did, flow: Option<Flow>) -> Result<(), Error> {
        let turn = self.flows.turn(did);
        let _turn = turn.lock().await;
        let Some(flow) = flow else { return self.finish_or_release(did).await };
        // What an earlier caller began comes first: the order in which they asked.
        if let Some(earlier) = self.directory(BeginFlow { did: did.clone(), flow: flow.clone() }).await? {
            self.finish(did, &earlier, false).await?;
            self.directory(BeginFlow { did: did.clone(), flow: flow.clone() }).await?;
        }
        self.finish(did, &flow, true).await
    }

    /// Does the steps and strikes the change off, unless it may go on later.
    async fn finish(&self, did: &Did, flow: &Flow, has_just_begun: bool) -> Result<(), Error> {
        let outcome = self.steps(did, flow).await;
        let is_over = match &outcome {
            Ok(()) => true,
            Err(error) => error.is_final(has_just_begun),
        };
        if is_over {
            self.directory(EndFlow { did: did.clone() }).await?;
        }
        outcome
    }

    async fn steps(&self, did: &Did, flow: &Flow) -> Result<(), Error> {
        match flow {
            Flow::UpdateHandle { handle, verified } => self.update_handle_steps(did, handle, *verified).await,
            Flow::Activate => self.activate_steps(did).await,
            Flow::DeleteAgent => self.delete_agent_steps(did).await,
            Flow::FinishImport { commit } => self.finish_import_steps(did, commit).await,
        }
    }

    /// Goes on with changes and signups that a crash or an unknown outcome left behind. Changes that can't go on now
    /// stay.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn resume_flows(&self) -> Result<(), Error> {
        for (did, flow) in self.directory(ListFlows { limit: FLOWS_MAX }).await? {
            let turn = self.flows.turn(&did);
            let Some(_turn) = turn.try_lock() else { continue }; // Somebody is at it.
            match self.finish(&did, &flow, false).await {
                Ok(()) => tracing::info!(%did, change = flow.name(), "finished a change that was cut short"),
                Err(error) => {
                    tracing::warn!(%did, change = flow.name(), %error, "a change can't be finished yet");
                }
            }
        }
        self.resume_signups().await
    }

    /// Whether somebody is changing the account now, kept from others while the answer is held.
    pub(super) fn try_turn(&self, did: &Did) -> Option<futures::lock::OwnedMutexGuard<()>> {
        self.flows.turn(did).try_lock_owned()
    }
}
