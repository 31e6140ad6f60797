//! Alarms outlive the memory of the object that set them.

use std::time::Duration;

use harness::zap::create_account;
use harness::{Build, Settings};
use zap::event::Event;

use super::stream::{post, subscribe};

/// The runtime puts an object to sleep that nothing has asked for ten seconds.
const ASLEEP_AFTER: Duration = Duration::from_secs(14);
/// How long events are kept: longer than it takes to fall asleep.
const WINDOW: &str = "20s";

/// What breaks: on a quiet network nothing ever expires, since each write puts off the alarm of the one before.
#[tokio::test]
async fn events_expire_though_the_log_sleeps_between_any_two_writes() {
    let settings = Settings::from([("backfill-window", WINDOW.to_owned())]);
    let Some((_folder, zap)) = super::start_set(Build::Deployed, settings).await else { return };
    let mut client = zap.client();
    let account = create_account(&mut client, "quiet.test").await.unwrap();
    post(&mut client, &account, "the first").await;
    for number in 0..4 {
        tokio::time::sleep(ASLEEP_AFTER).await;
        post(&mut client, &account, &format!("post {number}")).await;
    }
    let heard = subscribe(&zap, Some(1)).await.next().await.unwrap();
    let first = Event::decode(&heard[0]).unwrap();
    assert!(matches!(first, Event::Info { name: "OutdatedCursor", .. }), "nothing has expired: {first:?}");
}
