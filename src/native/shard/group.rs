//! The commands of one agent that wait together.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::open::{Cut, Open};
use super::{Answer, Group, Shard};
use crate::account::{Change, Error, may_end_keys};
use crate::env::Env;
use crate::host::Failed;
use crate::native::clock::{now_us, system_random};
use crate::native::sequencer::Place;
use crate::seam::{Access, Named as _};
use crate::store::Sql as _;
use crate::syntax::Did;
use crate::vault;

impl Shard {
    pub(super) fn answer(&mut self, did: &Did, group: Group) {
        match self.shared.sequencer.reserve() {
            Some(place) => self.answer_together(did, group, Some(place)),
            // Each by itself, so that those that make no events are answered.
            None => group.into_iter().for_each(|one| self.answer_together(did, vec![one], None)),
        }
    }

    fn answer_together(&mut self, did: &Did, group: Group, place: Option<Place>) {
        let (changes, waiting): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let answers = self.run_group(did, changes, place).unwrap_or_else(|failed| {
            self.open.remove(did);
            if let Failed::Cell(error) = &failed
                && error.is_storage()
            {
                tracing::error!(%did, %error, "commands failed");
            }
            std::iter::repeat_with(|| Err(failed.clone())).take(waiting.len()).collect()
        });
        for (answer, waiting) in answers.into_iter().zip(waiting) {
            // An error means that the caller has gone; its command stands all the same.
            let _ = waiting.send(answer);
        }
    }

    /// Runs commands of one agent, those that are refused at their beginning aside, in one transaction. An error undoes all
    /// of them; without a place in the sequencer's queue, events are one.
    fn run_group(
        &mut self,
        did: &Did,
        changes: Vec<Change>,
        mut place: Option<Place>,
    ) -> Result<Vec<Answer>, Failed<Error>> {
        let creating = changes.iter().any(|change| change.access() == Access::Create);
        let mut answers = Vec::with_capacity(changes.len());
        let mut changes = changes.into_iter();
        while changes.len() > 0 {
            self.run_transaction(did, &mut changes, creating, &mut place, &mut answers)?;
        }
        Ok(answers)
    }

    /// Answers the first of `changes` alone if it is refused, and all of them if not.
    fn run_transaction(
        &mut self,
        did: &Did,
        changes: &mut std::vec::IntoIter<Change>,
        creating: bool,
        place: &mut Option<Place>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Failed<Error>> {
        let shared = Arc::clone(&self.shared);
        let open = self.opened(did, creating)?;
        open.cell.outbox_synced(open.synced.load(Ordering::Acquire));
        let mut failed = None;
        let Open { database, cell, cut, .. } = open;
        database.overwrite(changes.as_slice().iter().any(may_end_keys)).map_err(Error::from)?;
        let mut is_kept = false;
        let transaction = database.transaction(&mut || {
            // Before what may owe the next.
            let noted = if *cut == Cut::Paid { vault::cut_paid(&*database) } else { Ok(()) };
            if let Err(error) =
                noted.map_err(Error::from).and_then(|()| cell.clear_outbox(&*database, now_us()))
            {
                failed = Some(Failed::Cell(error));
                return false;
            }
            let (changes_before, mut is_first) = (database.changes(), true);
            is_kept = true;
            while is_kept && let Some(change) = changes.next() {
                let mut rng = system_random();
                let mut env = Env { now_us: now_us(), rng: &mut rng, network: &shared.network };
                let answer = if is_first {
                    cell.change_first(&*database, &mut env, change)
                } else {
                    cell.change(&*database, &mut env, change)
                };
                if let Err(error) = &answer
                    && error.is_storage()
                {
                    failed = Some(Failed::Cell(error.clone()));
                    return false;
                }
                is_kept = !is_first || answer.is_ok();
                is_first = false;
                answers.push(answer.map_err(Failed::Cell));
            }
            if place.is_none() && cell.has_events() {
                failed = Some(Failed::Busy);
                return false;
            }
            // With what is written anyway: who changes nothing needs no room on the disk.
            is_kept &= database.changes() > changes_before;
            is_kept
        });
        transaction.map_err(Error::from)?;
        if let Some(error) = failed {
            return Err(error);
        }
        if !is_kept {
            open.cell.undone();
        }
        // What is committed is answered so, whatever comes after.
        let effects = open.cell.take_effects();
        open.drain.hold(effects.events);
        let drained = open.drain(did, &shared.sequencer, place.take_if(|_| is_kept));
        if is_kept {
            open.cut = match vault::owes_cut(&open.database) {
                Ok(false) => Cut::Never,
                Ok(true) | Err(_) => Cut::Owed,
            };
        }
        self.settle(did);
        self.note_drained(did, drained);
        Ok(())
    }
}
