//! What an account holds, by all that its owner was told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What may be found under each key: one state, or several after an answer that was lost. `Null` is nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(BTreeMap<String, Vec<Value>>);

impl Kept {
    /// It was answered: this and nothing else is there.
    pub(super) fn settle(&mut self, key: &str, state: Value) {
        if state.is_null() {
            self.0.remove(key);
        } else {
            self.0.insert(key.to_owned(), vec![state]);
        }
    }

    /// The answer was lost: this may be there, or what was before.
    pub(super) fn doubt(&mut self, key: &str, state: Value) {
        let states = self.0.entry(key.to_owned()).or_insert_with(|| vec![Value::Null]);
        if !states.contains(&state) {
            states.push(state);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What is there without a doubt.
    pub(super) fn certain(&self) -> Vec<(&String, &Value)> {
        let certain = self.0.iter().filter_map(|(key, states)| match states.as_slice() {
            [state] => Some((key, state)),
            _ => None,
        });
        certain.collect()
    }

    /// Holds what was found, all of it, against what may be there; from now on it is certain.
    pub(super) fn see(&mut self, whose: &str, found: &BTreeMap<String, Value>) {
        for (key, states) in &mut self.0 {
            let now = found.get(key).unwrap_or(&Value::Null);
            assert!(states.contains(now), "{whose}: {key} is {now}, and has to be one of {states:?}");
            *states = vec![now.clone()];
        }
        self.0.retain(|_, states| !states[0].is_null());
        self.see_keys(whose, &found.keys().map(String::as_str).collect());
    }

    /// As [`Kept::see`], where only the keys are known.
    pub(super) fn see_keys(&self, whose: &str, found: &BTreeSet<&str>) {
        for (key, states) in &self.0 {
            let is_there = found.contains(key.as_str());
            let holds = states.iter().any(|state| state.is_null() != is_there);
            assert!(holds, "{whose}: {key} is there: {is_there}, and has to be one of {states:?}");
        }
        let strange: Vec<_> = found.iter().filter(|key| !self.0.contains_key(**key)).collect();
        assert!(strange.is_empty(), "{whose}: nobody wrote {strange:?}, or they were deleted");
    }
}

#[test]
fn what_is_lost_changed_or_back_again_is_noticed() {
    let mut kept = Kept::default();
    kept.settle("a", 1.into());
    kept.settle("b", 2.into());
    kept.doubt("b", 3.into());
    kept.doubt("c", 4.into());
    let found = |pairs: &[(&str, i32)]| {
        pairs.iter().map(|(key, state)| ((*key).to_owned(), Value::from(*state))).collect::<BTreeMap<_, _>>()
    };
    for wrong in [
        &[("b", 2)][..],
        &[("a", 1)],
        &[("a", 2), ("b", 2)],
        &[("a", 1), ("b", 4)],
        &[("a", 1), ("b", 3), ("d", 1)],
    ] {
        let mut kept = kept.clone();
        let seen = std::panic::catch_unwind(move || kept.see("test", &found(wrong)));
        assert!(seen.is_err(), "{wrong:?}");
    }
    kept.see("test", &found(&[("a", 1), ("b", 3)]));
    assert_eq!(kept.len(), 2, "c was never made");
    kept.settle("a", Value::Null);
    kept.see_keys("test", &BTreeSet::from(["b"]));
    assert_eq!(kept.certain().len(), 1);
}
