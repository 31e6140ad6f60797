//! The debts of many, in so much memory and no more.
//!
//! A key is hashed under a secret and has its place in one group of a few slots. Where all of a group are taken, the one who
//! owes least makes room: a flood of strangers who each do one thing pushes out one another, and never the one who tried a
//! thousand times. Nothing is allocated after the first use, and nothing has to be swept.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Allowance, Debts, Rates};

/// Slots that a key may be in.
const GROUP: usize = 8;

/// Debts by key.
#[derive(Debug)]
pub struct Table {
    /// So that nobody chooses keys that share a group.
    secret: [u8; 16],
    groups: usize,
    slots: Vec<[Slot; GROUP]>,
    /// For a place that there is not, which no key has.
    nobody: Debts,
}

/// Whose debts; zero for nobody's.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u64,
    debts: Debts,
}

impl Slot {
    fn owes_until_us(&self) -> i64 {
        self.debts.0.into_iter().fold(0, i64::max)
    }
}

impl Table {
    /// Room for about so many keys, of 24 bytes each.
    #[must_use]
    pub fn new(keys_max: usize, secret: [u8; 16]) -> Self {
        Self { secret, groups: keys_max.div_ceil(GROUP).max(1), slots: Vec::new(), nobody: Debts::default() }
    }

    /// As [`Rates::take`], for a key.
    ///
    /// # Errors
    /// As there.
    pub fn take(
        &mut self,
        rates: &Rates,
        key: &impl Hash,
        points: u32,
        now_us: i64,
    ) -> Result<Option<Allowance>, Allowance> {
        if rates.is_none() { Ok(None) } else { rates.take(self.debts(key), points, now_us) }
    }

    /// What a key owes; nothing where it was not there, or was pushed out.
    pub fn debts(&mut self, key: &impl Hash) -> &mut Debts {
        if self.slots.is_empty() {
            self.slots = vec![[Slot::default(); GROUP]; self.groups];
        }
        let mut hasher = DefaultHasher::new();
        self.secret.hash(&mut hasher);
        key.hash(&mut hasher);
        let key = hasher.finish() | 1;
        let number = usize::try_from((key >> 1) % self.groups as u64).unwrap_or(usize::MAX);
        let Some([first, rest @ ..]) = self.slots.get_mut(number) else { return &mut self.nobody };
        let mut poorest = first;
        for slot in rest {
            if poorest.key == key {
                break;
            }
            if slot.key == key || slot.owes_until_us() < poorest.owes_until_us() {
                poorest = slot;
            }
        }
        if poorest.key != key {
            *poorest = Slot { key, debts: Debts::default() };
        }
        &mut poorest.debts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate_limit::Rate;

    const NOW: i64 = 1_790_000_000_000_000;

    #[test]
    fn each_key_has_its_own_debts() {
        let (mut table, rates) = (Table::new(1_000, [1; 16]), Rates::one(Rate::new(2, 60)));
        for key in 0..100_u32 {
            table.take(&rates, &key, 1, NOW).unwrap();
            table.take(&rates, &key, 1, NOW).unwrap();
            table.take(&rates, &key, 1, NOW).unwrap_err();
        }
        table.take(&rates, &7_u32, 1, NOW).unwrap_err();
        table.take(&rates, &7_u32, 1, NOW + 30_000_000).unwrap();
        assert_eq!(table.take(&Rates::NONE, &7_u32, 1, NOW), Ok(None));
    }

    /// What breaks: whoever guesses from many addresses has its own count forgotten.
    #[test]
    fn a_flood_of_strangers_takes_no_memory_and_frees_nobody() {
        let (mut table, rates) = (Table::new(1_024, [1; 16]), Rates::one(Rate::new(10, 300)));
        for _ in 0..10 {
            table.take(&rates, &"guesser", 1, NOW).unwrap();
        }
        for stranger in 0..1_000_000_u32 {
            let _ = table.take(&rates, &stranger, 1, NOW + i64::from(stranger));
        }
        table.take(&rates, &"guesser", 1, NOW + 1_000_000).unwrap_err();
        assert_eq!(table.slots.len() * GROUP, 1_024);
    }
}
