//! Ranking, filtering, and that nothing stays behind.

use super::*;
use crate::data_model::encode;
use ipld_core::ipld;
use proptest::prelude::*;

fn note(day: u8, text: &str) -> Entry {
    let time = format!("2026-01-{day:02}T00:00:00Z");
    let tag = text.split(' ').next().unwrap_or_default();
    let note = ipld!({"$type": "agent.memory.note", "summary": text, "tags": [tag], "createdAt": time});
    Entry::read(&encode(&note).unwrap()).unwrap()
}

fn index(texts: &[&str]) -> Index {
    let mut index = Index::new();
    for (number, text) in (1..).zip(texts) {
        index.insert(&format!("r{number}"), &note(number, text));
    }
    index
}

fn found(index: &Index, query: &str, filter: &Filter) -> Vec<String> {
    index.search(query, filter, 10, 0).into_iter().map(|hit| hit.rkey).collect()
}

#[test]
fn best_match_comes_first() {
    let index =
        index(&["the cat sat on the mat", "the dog sat", "the green bird sings", "cat and dog and mat"]);
    let all = Filter::default();
    assert_eq!(found(&index, "bird", &all), ["r3"]);
    assert_eq!(found(&index, "has the cat sat", &all)[0], "r1");
    assert_eq!(found(&index, "where is the dog", &all), ["r2", "r4"], "not all that has a `the`");
    assert_eq!(found(&index, "dogs & cats", &all)[0], "r4");
    assert_eq!(found(&index, "unicorn", &all), [""; 0]);
    assert_eq!(found(&index, "", &all), [""; 0]);
}

#[test]
fn scores_stay_in_range_and_missing_words_cost() {
    let index = index(&["red lamp", "blue lamp", "green chair"]);
    let score = |query: &str| index.search(query, &Filter::default(), 1, 0)[0].score;
    let (one, with_missing) = (score("red"), score("red unicorn"));
    assert!(one > 400 && one <= 1000, "{one}");
    assert!(with_missing < one, "{with_missing}");
    let hit = &index.search("red unicorn lamps", &Filter::default(), 1, 0)[0];
    assert_eq!(hit.why, ["red", "lamp"]);
    assert!(index.search("red", &Filter::default(), 10, one + 1).is_empty());
    assert!(score(&"red ".repeat(50)) <= 1000);
}

#[test]
fn filters_restrict() {
    let index = index(&["lamp one", "lamp two", "lamp three"]);
    let day = |day: i64| Some(1_767_225_600_000_000 + (day - 1) * 86_400_000_000);
    let is = |filter: Filter, expected: &[&str]| {
        let mut hits = found(&index, "lamp", &filter);
        hits.sort_unstable();
        assert_eq!(hits, expected);
        let listed: Vec<&str> = index.newest(&filter, None).map(|(_, rkey)| rkey).collect();
        assert_eq!(listed.into_iter().rev().collect::<Vec<_>>(), expected);
    };
    is(Filter::default(), &["r1", "r2", "r3"]);
    is(Filter { since_us: day(2), ..Filter::default() }, &["r2", "r3"]);
    is(Filter { until_us: day(2), ..Filter::default() }, &["r1"]);
    is(Filter { as_of_us: day(2), ..Filter::default() }, &["r1", "r2"]);
    is(Filter { tags: Hidden::new(vec!["lamp".to_owned()]), ..Filter::default() }, &["r1", "r2", "r3"]);
    is(Filter { tags: Hidden::new(vec!["lamp".to_owned(), "x".to_owned()]), ..Filter::default() }, &[]);
    is(Filter { types: vec!["agent.memory.fact".parse().unwrap()], ..Filter::default() }, &[]);
    is(
        Filter { types: vec!["agent.memory.note".parse().unwrap()], ..Filter::default() },
        &["r1", "r2", "r3"],
    );
}

#[test]
fn facts_hold_for_their_time() {
    let fact = ipld!({
        "$type": "agent.memory.fact", "subject": "alice", "predicate": "lives in", "object": "Rome",
        "createdAt": "2026-01-01T00:00:00Z", "validFrom": "2026-01-01T00:00:00Z", "validTo": "2026-02-01T00:00:00Z",
    });
    let mut index = Index::new();
    index.insert("r", &Entry::read(&encode(&fact).unwrap()).unwrap());
    let at = |time: &str| {
        let as_of_us = Some(crate::syntax::parse_datetime_us(time).unwrap());
        found(&index, "alice", &Filter { as_of_us, ..Filter::default() }).len()
    };
    assert_eq!(at("2025-12-31T00:00:00Z"), 0);
    assert_eq!(at("2026-01-15T00:00:00Z"), 1);
    assert_eq!(at("2026-02-01T00:00:00Z"), 0);
}

#[test]
fn pages_follow_each_other() {
    let index = index(&["a", "b", "c"]);
    let filter = Filter::default();
    let first: Vec<_> = index.newest(&filter, None).take(2).collect();
    assert_eq!(first[1].1, "r2");
    let rest: Vec<_> = index.newest(&filter, Some(first[1])).map(|(_, rkey)| rkey).collect();
    assert_eq!(rest, ["r1"]);
}

#[test]
fn removing_leaves_nothing() {
    let mut index = index(&["red lamp", "red lamp"]);
    assert!(index.remove("r1") && !index.remove("r1"));
    assert_eq!(found(&index, "red", &Filter::default()), ["r2"]);
    assert!(index.remove("r2"));
    assert!(index.is_empty() && index.words.is_empty() && index.by_time.is_empty() && index.length == 0);
    assert_eq!(format!("{index:?}"), "Index { memories: 0, words: 0 }");
}

proptest! {
    /// Breaks if what was inserted and removed before changed what is found now.
    #[test]
    fn history_leaves_no_trace(steps in prop::collection::vec((0_u8..6, "[a-d]( [a-d]){0,5}", any::<bool>()), 0..40)) {
        let mut index = Index::new();
        let mut standing = std::collections::BTreeMap::new();
        for (record, text, insert) in steps {
            let rkey = format!("r{record}");
            if insert {
                index.insert(&rkey, &note(record + 1, &text));
                standing.insert(rkey, (record, text));
            } else {
                prop_assert_eq!(index.remove(&rkey), standing.remove(&rkey).is_some());
            }
        }
        let mut fresh = Index::new();
        for (rkey, (record, text)) in &standing {
            fresh.insert(rkey, &note(record + 1, text));
        }
        prop_assert_eq!(index.len(), standing.len());
        prop_assert_eq!(index.words.len(), fresh.words.len());
        for query in ["a", "b c", "a b c d", "e"] {
            prop_assert_eq!(
                index.search(query, &Filter::default(), 10, 0),
                fresh.search(query, &Filter::default(), 10, 0)
            );
        }
    }
}
