//! How often something may be done: the generic cell rate algorithm (GCRA) over a clock that comes in.
//!
//! Whoever does something owes for it, and the debt is paid off at an even pace. What is kept of one is a time for each
//! window, when all will be paid; what would still be owed after a whole window is refused. So a window's worth can be had
//! at once, and nobody gets twice as much by waiting for the turn of an hour.
//!
//! [`Rates`] is what may be had, [`Debts`] what is kept of one, [`Allowance`] what it is told, [`table::Table`] where the
//! debts of many are kept. Nothing here knows what is counted, or for whom.

pub mod table;

use std::fmt;

use serde::{Deserialize, Serialize};

/// Windows that one thing may be counted in: a short one against a burst, a long one against patience.
pub const WINDOWS_MAX: usize = 2;

const SECOND_US: i64 = 1_000_000;

/// So many points in a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    points: u32,
    window_seconds: u32,
}

impl Rate {
    /// `None` unless there is at least a point, and a microsecond for each.
    #[must_use]
    pub const fn new(points: u32, window_seconds: u32) -> Option<Self> {
        let window_us = window_seconds as i64 * SECOND_US;
        if points == 0 || points as i64 > window_us { None } else { Some(Self { points, window_seconds }) }
    }

    fn window_us(self) -> i64 {
        i64::from(self.window_seconds) * SECOND_US
    }

    /// How long so many points take to pay. What is more than all there is counts as all, and is had alone.
    fn cost_us(self, points: u32) -> i64 {
        self.window_us() * i64::from(points.min(self.points)) / i64::from(self.points)
    }

    /// What one is told who has paid by then, at `now_us`.
    fn allowance(self, paid_us: i64, now_us: i64) -> Allowance {
        let free_us = (self.window_us() - (paid_us - now_us)).max(0);
        let remaining = free_us * i64::from(self.points) / self.window_us();
        Allowance {
            limit: self.points,
            window_seconds: self.window_seconds,
            remaining: u32::try_from(remaining).unwrap_or(self.points).min(self.points),
            reset_us: paid_us,
            retry_us: None,
        }
    }

    /// The same, so many times over.
    fn times(self, factor: u32) -> Self {
        let most = u32::try_from(self.window_us()).unwrap_or(u32::MAX);
        Self { points: self.points.saturating_mul(factor).min(most), ..self }
    }
}

/// What may be had, in each of up to [`WINDOWS_MAX`] windows; without any, all there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates([Option<Rate>; WINDOWS_MAX]);

/// When the debt of each window will be paid, in microseconds since the Unix epoch. All zero: nothing is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debts(pub [i64; WINDOWS_MAX]);

/// How one stands with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Points of a window.
    pub limit: u32,
    /// Its length.
    pub window_seconds: u32,
    /// Points that are left.
    pub remaining: u32,
    /// When all are there again, in microseconds since the Unix epoch.
    pub reset_us: i64,
    /// Of one who was refused: in how many microseconds the same is had.
    pub retry_us: Option<i64>,
}

impl Allowance {
    /// The one that leaves less.
    #[must_use]
    pub fn tighter(self, other: Self) -> Self {
        if other.remaining < self.remaining { other } else { self }
    }

    /// Whole seconds until the same is had; 0 for one who was not refused.
    #[must_use]
    pub fn retry_seconds(&self) -> u64 {
        self.retry_us.map_or(0, |us| us.unsigned_abs().div_ceil(SECOND_US.unsigned_abs()).max(1))
    }

    /// When all points are there again, in seconds since the Unix epoch.
    #[must_use]
    pub fn reset_seconds(&self) -> i64 {
        self.reset_us.div_euclid(SECOND_US) + i64::from(self.reset_us.rem_euclid(SECOND_US) > 0)
    }
}

/// As settings have it: `10/5m`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
        let whole = units.into_iter().find(|(seconds, _)| self.window_seconds.is_multiple_of(*seconds));
        let (seconds, unit) = whole.unwrap_or((1, 's'));
        write!(f, "{}/{}{unit}", self.points, self.window_seconds / seconds)
    }
}

/// As settings have it: `5000/1h,35000/1d`, or `off`.
impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rates = self.0.iter().flatten();
        match rates.next() {
            Some(rate) => write!(f, "{rate}")?,
            None => f.write_str("off")?,
        }
        rates.try_for_each(|rate| write!(f, ",{rate}"))
    }
}

impl Rates {
    /// No limit.
    pub const NONE: Self = Self([None; WINDOWS_MAX]);

    /// One window.
    #[must_use]
    pub const fn one(rate: Option<Rate>) -> Self {
        Self([rate, None])
    }

    /// Two windows.
    #[must_use]
    pub const fn two(short: Option<Rate>, long: Option<Rate>) -> Self {
        Self([short, long])
    }

    /// The same, so many times over.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self(self.0.map(|rate| rate.map(|rate| rate.times(factor))))
    }

    /// Whether there is no limit.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Owes so many points more. How one then stands in the window where least is left; `None` without a limit.
    ///
    /// # Errors
    /// In the window where it takes longest until the points are had; then nothing more is owed.
    pub fn take(&self, debts: &mut Debts, points: u32, now_us: i64) -> Result<Option<Allowance>, Allowance> {
        let mut refused: Option<Allowance> = None;
        for (rate, paid_us) in self.windows(debts) {
            let wait_us = (*paid_us).max(now_us) + rate.cost_us(points) - now_us - rate.window_us();
            if wait_us > 0 && refused.is_none_or(|other| other.retry_us < Some(wait_us)) {
                refused = Some(Allowance { retry_us: Some(wait_us), ..rate.allowance(*paid_us, now_us) });
            }
        }
        match refused {
            Some(allowance) => Err(allowance),
            None => Ok(self.owe(debts, points, now_us)),
        }
    }

    /// The same for what is never refused: nobody comes to owe more than all windows hold.
    pub fn owe(&self, debts: &mut Debts, points: u32, now_us: i64) -> Option<Allowance> {
        let mut tightest: Option<Allowance> = None;
        for (rate, paid_us) in self.windows(debts) {
            let owed_us = (*paid_us).max(now_us) + rate.cost_us(points);
            *paid_us = owed_us.min(now_us + rate.window_us());
            let allowance = rate.allowance(*paid_us, now_us);
            tightest = Some(tightest.map_or(allowance, |other| other.tighter(allowance)));
        }
        tightest
    }

    /// Takes back what was owed for so many points.
    pub fn give_back(&self, debts: &mut Debts, points: u32) {
        for (rate, paid_us) in self.windows(debts) {
            *paid_us -= rate.cost_us(points);
        }
    }

    fn windows<'a>(&self, debts: &'a mut Debts) -> impl Iterator<Item = (Rate, &'a mut i64)> + use<'a> {
        let windows = self.0.into_iter().zip(debts.0.iter_mut());
        windows.filter_map(|(rate, paid_us)| Some((rate?, paid_us)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_790_000_000_000_000;

    fn rates() -> Rates {
        Rates::two(Rate::new(30, 300), Rate::new(300, 86_400))
    }

    #[test]
    fn a_window_is_had_at_once_and_comes_back_evenly() {
        let (rates, mut debts) = (Rates::one(Rate::new(30, 300)), Debts::default());
        for left in (0..30).rev() {
            let allowance = rates.take(&mut debts, 1, NOW).unwrap().unwrap();
            assert_eq!((allowance.limit, allowance.remaining, allowance.retry_us), (30, left, None));
        }
        let refused = rates.take(&mut debts, 1, NOW).unwrap_err();
        assert_eq!((refused.remaining, refused.retry_seconds()), (0, 10), "{refused:?}");
        assert_eq!(refused.reset_seconds(), NOW / SECOND_US + 300);
        rates.take(&mut debts, 1, NOW + 9_999_999).unwrap_err();
        rates.take(&mut debts, 1, NOW + 10_000_000).unwrap();
        rates.take(&mut debts, 1, NOW + 10_000_000).unwrap_err();
    }

    #[test]
    fn the_long_window_ends_what_the_short_one_lets_through() {
        let (rates, mut debts, mut now_us, mut taken) = (rates(), Debts::default(), NOW, 0);
        let refused = loop {
            match rates.take(&mut debts, 1, now_us) {
                Ok(_) => taken += 1,
                Err(allowance) => break allowance,
            }
            now_us += 10_000_000;
        };
        assert!((300..=315).contains(&taken), "{taken}");
        assert_eq!((refused.limit, refused.window_seconds), (300, 86_400));
    }

    #[test]
    fn what_is_more_than_all_is_had_alone() {
        let (rates, mut debts) = (Rates::one(Rate::new(30, 300)), Debts::default());
        assert_eq!(rates.take(&mut debts, 600, NOW).unwrap().unwrap().remaining, 0);
        rates.take(&mut debts, 600, NOW + 299_000_000).unwrap_err();
        rates.take(&mut debts, 600, NOW + 300_000_000).unwrap();
    }

    #[test]
    fn what_is_never_refused_is_owed_for_one_window_at_most() {
        let (rates, mut debts) = (rates(), Debts::default());
        for _ in 0..10_000 {
            rates.owe(&mut debts, 1, NOW);
        }
        assert_eq!(debts, Debts([NOW + 300_000_000, NOW + 86_400_000_000]));
        let mut debts = Debts::default();
        rates.take(&mut debts, 5, NOW).unwrap();
        let before = debts;
        rates.take(&mut debts, 5, NOW).unwrap();
        rates.give_back(&mut debts, 5);
        assert_eq!(debts, before);
    }

    #[test]
    fn a_rate_is_at_least_a_point_and_at_most_one_a_microsecond() {
        assert_eq!(Rate::new(0, 10), None);
        assert_eq!(Rate::new(1, 0), None);
        assert_eq!(Rate::new(1_000_001, 1), None);
        assert_eq!(Rate::new(1_000_000, 1).unwrap().times(10), Rate::new(1_000_000, 1).unwrap());
        assert!(Rates::NONE.take(&mut Debts::default(), u32::MAX, NOW).unwrap().is_none());
    }

    proptest! {
        /// Breaks if patience, or the size of the steps, gets anybody more than a window's worth and what time has paid.
        #[test]
        fn nobody_has_more_than_a_window_and_what_was_paid(
            steps in proptest::collection::vec((1_u32..40, 0_i64..20_000_000), 1..200),
        ) {
            let (rates, mut debts) = (Rates::one(Rate::new(30, 300)), Debts::default());
            let (mut now_us, mut taken) = (NOW, 0_i64);
            for (points, pause_us) in steps {
                now_us += pause_us;
                if rates.take(&mut debts, points, now_us).is_ok() {
                    taken += i64::from(points.min(30));
                }
                let paid = (now_us - NOW) / 10_000_000;
                prop_assert!(taken <= 30 + paid + 1, "{taken} after {paid}");
            }
        }
    }
}
