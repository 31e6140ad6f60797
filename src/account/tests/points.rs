//! How often an account may write.

use super::*;
use crate::rate_limit::{Rate, Rates};

/// A cell whose account has so many points an hour, and so many a day.
fn world(hour: u32, day: u32) -> World {
    let mut world = World::new();
    world.alone.network.write_rates = Rates::two(Rate::new(hour, 3_600), Rate::new(day, 86_400));
    world
}

/// How many posts are taken one after the other.
fn posts(world: &mut World, first: usize) -> usize {
    (first..)
        .take_while(|n| world.write(vec![put(WriteAction::Create, &format!("p{n}"), "text")]).is_ok())
        .count()
}

fn is_refused<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Repo(repo::Error::TooOften(allowance))) if allowance.retry_us.is_some())
}

#[test]
fn writes_take_their_points_and_what_is_left_is_told() {
    let mut world = world(100, 1_000);
    let left = |applied: WritesApplied| applied.allowance.map(|allowance| allowance.remaining);
    assert_eq!(left(world.write(vec![put(WriteAction::Create, "a", "text")]).unwrap()), Some(97));
    assert_eq!(left(world.write(vec![put(WriteAction::Update, "a", "more")]).unwrap()), Some(95));
    assert_eq!(left(world.write(vec![put(WriteAction::Put, "a", "more")]).unwrap()), None, "nothing changed");
    assert_eq!(left(world.write(vec![delete("a")]).unwrap()), Some(94));
    let three = ["b", "c", "d"].map(|rkey| put(WriteAction::Create, rkey, "text"));
    assert_eq!(left(world.write(three.to_vec()).unwrap()), Some(85));
    world.remember("tea at four");
    assert_eq!(left(world.write(vec![delete("b")]).unwrap()), Some(81), "a memory is a write");
}

/// What breaks: a restart, or an object that sleeps, gives an account all of its points again.
#[test]
fn an_account_has_its_points_whoever_restarts() {
    let mut world = world(100, 130);
    assert_eq!(posts(&mut world, 0), 33);
    world.restart();
    assert!(is_refused(&world.write(vec![put(WriteAction::Create, "b", "text")])));
    assert!(is_refused(&world.ask(Remember { memory: note("tea"), dedupe: false })));
    assert_eq!(world.count("keyring"), 0, "what is refused leaves nothing");
    world.alone.now_us += 3_600_000_000;
    // A day has 130, and an hour of it has brought five back.
    assert_eq!(posts(&mut world, 100), 12);
}

/// What breaks: who wrote too much can't take it back, or forget.
#[test]
fn deleting_and_forgetting_are_never_refused() {
    let mut world = world(100, 1_000);
    let memory = world.remember("tea at four");
    for n in 0..posts(&mut world, 0) {
        world.write(vec![delete(&format!("p{n}"))]).unwrap();
    }
    let rkeys = vec![memory.parse().unwrap()];
    assert_eq!(world.ask(Forget { rkeys, filter: None, dry_run: false }).unwrap().shredded, 1);
    // However much that was, after an hour all is there again.
    world.alone.now_us += 3_600_000_000;
    assert_eq!(posts(&mut world, 100), 33);
}

#[test]
fn without_a_limit_nothing_is_counted() {
    let mut world = World::new();
    let applied = world.write(vec![put(WriteAction::Create, "a", "text")]).unwrap();
    assert_eq!(applied.allowance, None);
}
