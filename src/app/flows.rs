//! Changes of several steps, which go on to their end whoever waits for them.
//!
//! A change is recorded in the directory before its first step ([`Flow`]) and struck off in the transaction that makes it
//! true there, after its last step elsewhere ([`CompleteFlow`]). Every step looks at what is there and may be repeated, so
//! after a crash the change simply begins again. The caller only waits: where it hangs up, the change goes on; where the
//! outcome of a step is not known, since the PLC directory did not answer, the record stays and the change goes on later.
//!
//! One account's changes run one after the other, each under its turn, and what is recorded is read under the turn. A
//! later wish takes an earlier one's place. On a host with many routers all changes run in one place, and the others ask
//! there ([`Flows::elsewhere`]).
//!
//! A signup is recorded by its reservation, and ends by giving that back. What needs a secret that only its caller has
//! (an archive's passphrase) is not recorded: it survives its caller, and after a crash the caller begins it again.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::stream;
use serde::{Deserialize, Serialize};

use super::{App, Error};
use crate::directory::{BeginFlow, CompleteFlow, DropFlow, Flow, GetFlow, ListFlows};
use crate::syntax::Did;

/// Changes gone on with at a time: each may wait for a directory that does not answer.
const RESUMED_AT_ONCE: usize = 16;

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
pub struct Flows {
    pub(super) spawn: Box<Spawn>,
    place: Place,
}

/// Where.
enum Place {
    /// In this process.
    Here(Here),
    /// In another.
    Elsewhere(Box<dyn Elsewhere>),
}

/// Held by whoever is at it; who asked first has it first.
type Turn = async_lock::Mutex<()>;

/// What the one who carries out changes remembers.
#[derive(Default)]
pub(super) struct Here {
    /// Whose turn it is, by account.
    turns: Mutex<HashMap<Did, Weak<Turn>>>,
    /// Held while notices are carried.
    pub(super) carrying: Turn,
    /// Held while handles are looked at.
    pub(super) checking: Turn,
    /// Held while mail is sent.
    pub(super) posting: Turn,
    /// Whether somebody waits to send what came meanwhile.
    pub(super) posts_soon: AtomicBool,
}

impl Flows {
    /// Carries out changes in tasks of this process.
    pub fn here(spawn: Box<Spawn>) -> Self {
        Self { spawn, place: Place::Here(Here::default()) }
    }

    /// Has changes carried out by another.
    pub fn elsewhere(spawn: Box<Spawn>, there: impl Elsewhere + 'static) -> Self {
        Self { spawn, place: Place::Elsewhere(Box::new(there)) }
    }

    /// Who carries them out, if it is another.
    pub(super) fn there(&self) -> Option<&dyn Elsewhere> {
        match &self.place {
            Place::Here(_) => None,
            Place::Elsewhere(there) => Some(&**there),
        }
    }

    /// What is remembered here.
    ///
    /// # Errors
    /// Where changes are carried out by another: a bug.
    pub(super) fn own(&self) -> Result<&Here, Error> {
        match &self.place {
            Place::Here(here) => Ok(here),
            Place::Elsewhere(_) => Err(Error::Internal("changes are carried out elsewhere".to_owned())),
        }
    }
}

impl Here {
    /// The turn of an account: whoever holds it changes it.
    pub(super) fn turn(&self, did: &Did) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(did).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
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
        let (sender, receiver) = oneshot::channel();
        // An error means that the caller has gone; the work is done all the same.
        (self.flows.spawn)(Box::pin(async move { drop(sender.send(work.await)) }));
        receiver.await.unwrap_or(Err(Error::Stopping))
    }

    /// Records a change and runs it to its end; without one, finishes the signup of `did`.
    ///
    /// # Errors
    /// [`Error::Full`], before anything is done: the directory would have room for its part, and the account none. The
    /// errors of its steps. After one that is not final the change goes on later.
    pub(super) async fn run(self: &Arc<Self>, did: Did, flow: Option<Flow>) -> Result<(), Error> {
        if flow.is_some() {
            self.require_room()?;
        }
        let app = Arc::clone(self);
        self.detached(async move {
            let Some(there) = app.flows.there() else { return app.run_here(&did, flow).await };
            let outcome = there.run(did.clone(), flow).await;
            app.identities.forget(&did);
            app.accounts.forget(&did, None);
            outcome
        })
        .await
    }

    /// As [`App::run`], for the one who carries out changes.
    ///
    /// # Errors
    /// As there.
    pub async fn run_here(&self, did: &Did, flow: Option<Flow>) -> Result<(), Error> {
        let turn = self.flows.own()?.turn(did);
        let _turn = turn.lock().await;
        let Some(flow) = flow else { return self.finish_or_release(did).await };
        let begin = BeginFlow { did: did.clone(), flow: flow.clone() };
        let has_just_begun = !self.directory(begin).await?;
        self.finish(did, &flow, has_just_begun).await
    }

    /// Does the steps; strikes the change off when it can't be, and leaves it when it may go on later.
    async fn finish(&self, did: &Did, flow: &Flow, has_just_begun: bool) -> Result<(), Error> {
        let Err(error) = self.steps(did, flow).await else { return Ok(()) };
        if !error.is_final(has_just_begun) {
            return Err(error.into_unsettled());
        }
        self.directory(DropFlow { did: did.clone(), flow: flow.clone() }).await?;
        Err(error)
    }

    async fn steps(&self, did: &Did, flow: &Flow) -> Result<(), Error> {
        match flow {
            Flow::UpdateHandle { handle, .. } => self.update_handle_steps(did, flow, handle).await,
            Flow::Activate => self.activate_steps(did).await,
            Flow::Deactivate { .. } => self.deactivate_steps(did, flow).await,
            Flow::RecoveryKey { key, is_there } => self.recovery_key_steps(did, flow, key, *is_there).await,
            Flow::DeleteAgent => self.delete_agent_steps(did).await,
            Flow::FinishImport { commit } => self.finish_import_steps(did, flow, commit).await,
        }
    }

    /// The last step of every change.
    pub(super) async fn complete(&self, did: &Did, flow: &Flow) -> Result<(), Error> {
        self.directory(CompleteFlow { did: did.clone(), flow: flow.clone() }).await
    }

    /// Goes on with changes and signups that a crash or an unknown outcome left behind. Changes that can't go on now
    /// stay.
    ///
    /// # Errors
    /// Of the directory.
    pub async fn resume_flows(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self.directory(ListFlows { after }).await?;
            after = page.last().cloned();
            if after.is_none() {
                return self.resume_signups().await;
            }
            stream::iter(page).for_each_concurrent(RESUMED_AT_ONCE, |did| self.resume(did)).await;
        }
    }

    async fn resume(&self, did: Did) {
        let Ok(here) = self.flows.own() else { return };
        let turn = here.turn(&did);
        let Some(_turn) = turn.try_lock() else { return }; // Somebody is at it.
        let flow = match self.directory(GetFlow { did: did.clone() }).await {
            Ok(Some(flow)) => flow,
            Ok(None) => return, // It was finished meanwhile.
            Err(error) => return tracing::warn!(%did, %error, "a change can't be read"),
        };
        match self.finish(&did, &flow, false).await {
            Ok(()) => tracing::info!(%did, change = flow.name(), "finished a change that was cut short"),
            Err(error) => {
                tracing::warn!(%did, change = flow.name(), %error, "a change can't be finished yet")
            }
        }
    }
}
