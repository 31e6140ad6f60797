//! Sockets outlive the memory of the object that holds them.

use std::time::Duration;

use harness::Build;
use harness::zap::create_account;

use super::stream::{commits_until, post, subscribe};

/// The runtime puts an object to sleep that nothing has asked for ten seconds.
const ASLEEP_AFTER: Duration = Duration::from_secs(14);

/// What breaks: a relay that follows a quiet network misses the first event after the silence, or gets it twice.
#[tokio::test]
async fn a_subscriber_of_a_sleeping_sequencer_misses_nothing_and_gets_nothing_twice() {
    let Some((_folder, zap)) = super::start(Build::Deployed).await else { return };
    let mut client = zap.client();
    let account = create_account(&mut client, "sleeper.test").await.unwrap();
    let mut sockets = [subscribe(&zap, None).await, subscribe(&zap, Some(0)).await];
    let first = post(&mut client, &account, "before").await;
    for socket in &mut sockets {
        assert_eq!(commits_until(socket, &first).await.last(), Some(&first));
    }
    // One goes without a word while the object sleeps.
    let mut vanishing = subscribe(&zap, None).await;
    let quiet = post(&mut client, &account, "quiet").await;
    for socket in sockets.iter_mut().chain([&mut vanishing]) {
        assert_eq!(commits_until(socket, &quiet).await, std::slice::from_ref(&quiet));
    }
    tokio::time::sleep(ASLEEP_AFTER / 2).await;
    drop(vanishing);
    tokio::time::sleep(ASLEEP_AFTER).await;
    let second = post(&mut client, &account, "after").await;
    let third = post(&mut client, &account, "and again").await;
    for socket in &mut sockets {
        assert_eq!(commits_until(socket, &third).await, [second.clone(), third.clone()]);
    }
}
