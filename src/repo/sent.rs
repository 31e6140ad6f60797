//! What an account takes of what everybody shares: how much of the event log in a day, and how often it writes.

use super::{Error, RecordChange};
use crate::event::Action;
use crate::limits::{EVENT_BYTES_A_DAY_DELETING_MAX, EVENT_BYTES_A_DAY_MAX};
use crate::rate_limit::{Allowance, Debts, Rates};
use crate::store::{Sql, SqlError, query_first};

const DAY_US: i64 = 86_400_000_000;

/// What commits' events came to on one day, and what writes owe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Days since the Unix epoch.
    pub day: i64,
    /// Bytes of events.
    pub bytes: i64,
    /// When the points of writes will be paid.
    pub debts: Debts,
}

impl Sent {
    pub(super) fn read(sql: &dyn Sql) -> Result<Self, SqlError> {
        let statement = "SELECT sent_day, sent_bytes, paid_short_us, paid_long_us FROM head WHERE id = 1";
        let sent = query_first(sql, statement, &[], |row| {
            let debts = Debts([row.integer(2)?, row.integer(3)?]);
            Ok(Self { day: row.integer(0)?, bytes: row.integer(1)?, debts })
        })?;
        Ok(sent.unwrap_or_default())
    }

    /// With one event more.
    pub(super) fn and(self, now_us: i64, bytes: usize) -> Self {
        let day = now_us.div_euclid(DAY_US);
        let before = if day == self.day { self.bytes } else { 0 };
        Self { day, bytes: before.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX)), ..self }
    }

    /// Refuses what adds to the repo once the day's share is taken, and what only deletes once as much again is: nobody who
    /// wrote too much waits for midnight to forget it, and nobody fills the log with deletions.
    ///
    /// # Errors
    /// [`Error::DayIsFull`].
    pub(super) fn require_share(self, changes: &[RecordChange]) -> Result<Self, Error> {
        let adds = changes.iter().any(|change| change.action != Action::Delete);
        let bytes_max = if adds { EVENT_BYTES_A_DAY_MAX } else { EVENT_BYTES_A_DAY_DELETING_MAX };
        if self.bytes > bytes_max { Err(Error::DayIsFull) } else { Ok(self) }
    }

    /// With the points of these changes. What only deletes is counted and never refused: there is no more of it than was
    /// written, and nobody waits to forget.
    ///
    /// # Errors
    /// [`Error::TooOften`].
    pub(super) fn with_points(
        mut self,
        rates: &Rates,
        now_us: i64,
        changes: &[RecordChange],
    ) -> Result<(Self, Option<Allowance>), Error> {
        let points = changes.iter().fold(0, |sum: u32, change| sum.saturating_add(points(change.action)));
        let adds = changes.iter().any(|change| change.action != Action::Delete);
        let allowance = if adds {
            rates.take(&mut self.debts, points, now_us).map_err(Error::TooOften)?
        } else {
            rates.owe(&mut self.debts, points, now_us)
        };
        Ok((self, allowance))
    }
}

/// As the reference server counts.
fn points(action: Action) -> u32 {
    match action {
        Action::Create => 3,
        Action::Update => 2,
        Action::Delete => 1,
    }
}
