//! What comes when: all there is in an order that the seed says, and again in another.

use super::strangers::{STRANGERS, Stranger};
use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many of these.
    Come(Stranger, u64),
    Kill,
    Stop,
    /// The disk is full, then the server ends so, and then there is room.
    FillDisk(End),
    /// No file can be opened for so many milliseconds.
    TakeDescriptors(u64),
    /// Another program locks the event log, then the server ends so, and then it is free.
    LockLog(End),
    /// A page of the tree of an agent that nobody uses is lost while the server is down.
    LoseTree,
    /// A bit of one of its records is.
    LoseRecord,
    /// The data is copied while the server is stopped.
    Copy,
    /// The copy is put back after the server ended so.
    PutBack(End),
}

/// How the server ends in the middle of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Not,
    Kill,
    Stop,
}

/// Rounds, each with everything in it once.
pub(super) struct Schedule {
    random: Random,
    is_worker: bool,
    has_disk: bool,
    round: Vec<Step>,
    rounds: usize,
}

impl Schedule {
    /// `has_disk` where the disk is one that may be filled.
    pub(super) fn new(random: Random, is_worker: bool, has_disk: bool) -> Self {
        Self { random, is_worker, has_disk, round: Vec::new(), rounds: 0 }
    }

    /// The next step; `None` at the end of a round when `is_over`.
    pub(super) fn next(&mut self, is_over: bool) -> Option<Step> {
        if self.round.is_empty() {
            if is_over && self.rounds > 0 {
                return None;
            }
            self.round = self.draw();
            self.rounds += 1;
        }
        self.round.pop()
    }

    fn draw(&mut self) -> Vec<Step> {
        // Its runtime runs each part on one thread.
        let share = if self.is_worker { 2 } else { 1 };
        let mut steps: Vec<Step> =
            STRANGERS.iter().map(|(kind, many)| Step::Come(*kind, many.div_ceil(share))).collect();
        steps.extend([Step::Kill, Step::Kill]);
        if !self.is_worker {
            let moment = self.random.between(500, 3_000);
            steps.extend([
                Step::Stop,
                Step::TakeDescriptors(moment),
                Step::LockLog(self.end()),
                Step::LoseTree,
                Step::LoseRecord,
                Step::Copy,
                Step::PutBack(if self.random.between(0, 2) == 0 { End::Kill } else { End::Stop }),
            ]);
            if self.has_disk {
                steps.push(Step::FillDisk(self.end()));
            }
        }
        for last in (1..steps.len()).rev() {
            steps.swap(last, self.random.between(0, last as u64 + 1) as usize);
        }
        // Taken from the end: the copy is made first.
        let place = |wanted: fn(&Step) -> bool| steps.iter().position(wanted);
        let copied = place(|step| *step == Step::Copy);
        let put_back = place(|step| matches!(step, Step::PutBack(_)));
        if let (Some(copied), Some(put_back)) = (copied, put_back)
            && copied < put_back
        {
            steps.swap(copied, put_back);
        }
        steps
    }

    fn end(&mut self) -> End {
        [End::Not, End::Kill, End::Stop][self.random.between(0, 3) as usize]
    }
}

#[test]
fn a_round_has_everything_and_a_seed_repeats_it() {
    let round = |seed| {
        let mut schedule = Schedule::new(Random::new(seed), false, true);
        std::iter::from_fn(move || schedule.next(true)).collect::<Vec<_>>()
    };
    assert_eq!(round(7), round(7));
    assert_ne!(round(7), round(8));
    for seed in 0..50 {
        let steps = round(seed);
        let at = |wanted: fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
        assert!(at(|step| *step == Step::Copy) < at(|step| matches!(step, Step::PutBack(_))));
        assert_eq!(steps.len(), STRANGERS.len() + 10);
    }
    let mut on_worker = Schedule::new(Random::new(7), true, false);
    let steps: Vec<_> = std::iter::from_fn(|| on_worker.next(true)).collect();
    assert!(steps.iter().all(|step| matches!(step, Step::Come(..) | Step::Kill)));
}
