//! What the simulated world promises, and what zap promises in it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_bytes::ByteBuf;
use serde_json::json;

use super::*;
use crate::account::{self, Account, CreateRepo};
use crate::actor::{self, Status};
use crate::app::{self, App, NewAccount};
use crate::data_model::{decode_record, encode_record, from_json, to_json};
use crate::directory::{GetAccount, ListFlows, Who};
use crate::lexicon::catalog;
use crate::repo::{ApplyWrites, Swap, Write, WriteAction, WritesApplied};
use crate::seam::Hidden;
use crate::store::query_first;
use crate::syntax::{AtIdentifier, Did};

fn alice() -> NewAccount {
    NewAccount {
        handle: "alice.test".parse().unwrap(),
        kind: actor::Kind::Agent,
        existing_did: None,
        recovery_key: None,
        email: None,
        password: None,
        invite_code: None,
        invite_exempt: true,
        display_name: None,
        model: None,
        config: None,
    }
}

/// The same, who can be written to.
fn reachable() -> NewAccount {
    NewAccount { email: Some("alice@example.com".to_owned()), ..alice() }
}

/// The kinds of all events in the log.
fn events(world: &Simulated) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    let log = &world.sequencer.lock().unwrap().0;
    let mut note = |_, kind: crate::event::EventKind, _: &[u8]| kinds.push(kind.name());
    crate::sequencer::for_each_event(log, 0, 1_000, u64::MAX, &mut note).unwrap();
    kinds
}

fn assert_is_whole(world: &Simulated, did: &Did) {
    assert_eq!(world.document(did.as_str())["alsoKnownAs"], json!(["at://alice.test"]));
    assert_eq!(world.heard(did.as_str()).first().unwrap(), "create alice.test active=true");
    assert_eq!(events(world), ["identity", "account", "commit", "sync"]);
    let profile = profile(world, did).unwrap();
    assert_eq!(
        (&profile["displayName"], &profile["labels"]["values"]),
        (&json!("alice"), &json!([{"val": "bot"}]))
    );
}

/// The profile in an account's repo, held against its lexicon.
fn profile(world: &Simulated, did: &Did) -> Option<serde_json::Value> {
    let cells = world.cells.lock().unwrap();
    let record = "SELECT block FROM record WHERE path = 'app.bsky.actor.profile/self'";
    let block = query_first(&cells[did].disk, record, &[], |row| Ok(row.blob(0)?.to_vec())).unwrap();
    block.map(|block| {
        let profile = decode_record(&block).unwrap();
        catalog().validate_record("app.bsky.actor.profile", &profile).unwrap();
        serde_json::from_slice(&to_json(&profile).unwrap()).unwrap()
    })
}

/// What breaks: apps take an agent for a person; or an owner who has the label removed finds it there again.
#[tokio::test]
async fn a_new_agent_says_once_that_it_is_one_and_a_person_is_not_said_to_be_one() {
    let world = Simulated::new(network(), Internet::default(), Randomness::default());
    let app = world.start();
    let long = "e\u{301}".repeat(70);
    let agent = NewAccount { display_name: Some(long.clone()), ..alice() };
    let did = app.sign_up(agent).await.unwrap().did;
    assert_eq!(profile(&world, &did).unwrap()["displayName"], json!(long[..64 * 3]));
    let write = Write {
        action: WriteAction::Delete,
        collection: "app.bsky.actor.profile".parse().unwrap(),
        rkey: Some("self".parse().unwrap()),
        record: None,
        blobs: Vec::new(),
        swap_record: Swap::Any,
    };
    app.account(&did, ApplyWrites { writes: vec![write], swap_commit: None }).await.unwrap();
    let app = world.start();
    app.resume_flows().await.unwrap();
    app.deactivate(&did, None).await.unwrap();
    app.activate(&did).await.unwrap();
    assert_eq!(profile(&world, &did), None);
    let handle = "bob.test".parse().unwrap();
    let person = app.sign_up(NewAccount { kind: actor::Kind::Person, handle, ..alice() }).await.unwrap().did;
    assert_eq!(profile(&world, &person), None);
}

/// Breaks if a crash between any two steps leaves half an account, or a name that nobody has and nobody gets.
#[tokio::test]
async fn a_signup_cut_short_after_any_step_is_finished_or_leaves_nothing() {
    for steps in 0.. {
        let world = Simulated::new(network(), Internet::default(), Randomness::stream(steps));
        let app = world.start();
        world.crash_after(steps);
        let outcome = app.sign_up(alice()).await;
        let is_cut = !world.is_running();
        assert_eq!(outcome.is_err(), is_cut, "after {steps} steps");
        let app = world.start();
        app.resume_flows().await.unwrap();
        let who = Who::Handle(alice().handle);
        let account = match app.directory(GetAccount { who }).await.unwrap() {
            Some(account) => account,
            None => {
                assert!(world.cells.lock().unwrap().is_empty(), "after {steps} steps");
                app.sign_up(alice()).await.unwrap()
            }
        };
        assert_is_whole(&world, &account.did);
        if !is_cut {
            assert!(steps > 6, "only {steps} steps");
            return;
        }
    }
}

/// What each change of several steps is asked for, and whether it is done by what all can see.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Rename,
    Rest,
    Wake,
    Delete,
    Key,
}

/// Somebody's own, above the network's.
fn recovery_key() -> String {
    crate::crypto::SigningKey::from_bytes(&[5; 32]).unwrap().did_key()
}

impl Wish {
    async fn ask(self, app: &Arc<App>, did: &Did) -> Result<(), app::Error> {
        match self {
            Self::Rename => app.update_handle(did, &"alicia.test".parse().unwrap()).await,
            Self::Rest => app.deactivate(did, None).await,
            Self::Wake => app.activate(did).await,
            Self::Delete => app.delete_agent(AtIdentifier::Did(did.clone())).await.map(|_| ()),
            Self::Key => app.add_recovery_key(did, &recovery_key()).await,
        }
    }

    /// All say the same: the directory, the cell, and the did:plc directory.
    async fn is_done(self, world: &Simulated, app: &App, did: &Did) -> bool {
        let account = app.directory(GetAccount { who: Who::Did(did.clone()) }).await.unwrap();
        let status = account.as_ref().map(|account| account.status);
        let (document, heard) = (world.document(did.as_str()), world.heard(did.as_str()));
        let told = heard.iter().rev().find(|heard| heard.starts_with("status "));
        let told = told.map_or("status active", String::as_str);
        let (in_document, here, cell) = match self {
            Self::Rename => (
                document["alsoKnownAs"] == json!(["at://alicia.test"]),
                account.is_some_and(|account| account.handle.as_str() == "alicia.test"),
                heard.contains(&"identity alicia.test".to_owned()),
            ),
            Self::Rest => {
                let is_at_rest = status == Some(Status::Deactivated);
                (is_at_rest, is_at_rest, told == "status deactivated")
            }
            Self::Wake => {
                let is_awake = status == Some(Status::Active);
                (is_awake, is_awake, told == "status active")
            }
            Self::Delete => {
                let last = world.ask_plc(&format!("/{did}/log/last"));
                (last["type"] == "plc_tombstone", account.is_none(), !world.has_cell(did.as_str()))
            }
            Self::Key => {
                app.post().await.unwrap();
                let mails = world.internet.mailbox.lock().unwrap();
                let is_told = mails.iter().any(|mail| mail.subject == "A recovery key was added");
                let last = world.ask_plc(&format!("/{did}/log/last"));
                (last["rotationKeys"][0] == json!(recovery_key()), is_told, is_told)
            }
        };
        assert_eq!((in_document, cell), (here, here), "{self:?}: {status:?} {document} {heard:?}");
        here
    }
}

/// Breaks if a crash between any two steps leaves a change half done, or undoes one that was answered.
#[tokio::test]
async fn a_change_cut_short_after_any_step_is_finished_or_leaves_nothing() {
    for wish in [Wish::Rename, Wish::Rest, Wish::Wake, Wish::Delete, Wish::Key] {
        for steps in 0.. {
            let world = Simulated::new(network(), Internet::default(), Randomness::stream(steps));
            let app = world.start();
            let did = app.sign_up(reachable()).await.unwrap().did;
            if matches!(wish, Wish::Wake) {
                app.deactivate(&did, None).await.unwrap();
            }
            world.crash_after(steps);
            let is_answered = wish.ask(&app, &did).await.is_ok();
            let is_cut = !world.is_running();
            assert_ne!(is_answered, is_cut, "{wish:?} after {steps} steps");
            let app = world.start();
            app.resume_flows().await.unwrap();
            app.carry_notices().await.unwrap();
            let is_done = wish.is_done(&world, &app, &did).await;
            assert!(is_done || !is_answered, "{wish:?} after {steps} steps");
            assert!(app.directory(ListFlows { after: None }).await.unwrap().is_empty());
            if !is_cut {
                assert!(steps > 3, "{wish:?}: only {steps} steps");
                break;
            }
        }
    }
}

/// Breaks if a directory whose disk is full for one write, whichever, leaves a change half done for good.
#[tokio::test]
async fn a_change_that_meets_a_full_disk_at_any_write_is_finished_or_leaves_nothing() {
    for wish in [Wish::Rename, Wish::Rest, Wish::Wake, Wish::Delete, Wish::Key] {
        for writes in 0.. {
            let world = Simulated::new(network(), Internet::default(), Randomness::stream(writes));
            let app = world.start();
            let did = app.sign_up(reachable()).await.unwrap().did;
            if matches!(wish, Wish::Wake) {
                app.deactivate(&did, None).await.unwrap();
            }
            let before = world.directory.lock().unwrap().0.writes();
            world.directory.lock().unwrap().0.fail_after(writes, DiskFault::Full);
            let is_answered = wish.ask(&app, &did).await.is_ok();
            let is_met = world.directory.lock().unwrap().0.writes() - before > writes;
            world.directory.lock().unwrap().0.power_on();
            app.resume_flows().await.unwrap();
            app.carry_notices().await.unwrap();
            let is_done = wish.is_done(&world, &app, &did).await;
            assert!(is_done || !is_answered, "{wish:?} after {writes} writes");
            assert!(app.directory(ListFlows { after: None }).await.unwrap().is_empty());
            if !is_met {
                assert!(is_answered && writes > 2, "{wish:?}: only {writes} writes");
                break;
            }
        }
    }
}

/// Breaks if two who ask for the same, or for the contrary, at once leave something half done.
#[tokio::test]
async fn two_of_any_changes_at_once_leave_one_truth() {
    let wishes = [Wish::Rename, Wish::Rest, Wish::Wake, Wish::Delete];
    for (first, second) in wishes.iter().flat_map(|first| wishes.iter().map(move |second| (*first, *second)))
    {
        let world = Simulated::new(network(), Internet::default(), Randomness::default());
        let app = world.start();
        let did = app.sign_up(alice()).await.unwrap().did;
        let (one, other) = futures::join!(first.ask(&app, &did), second.ask(&app, &did));
        assert!(one.is_ok() || other.is_ok(), "{first:?} {second:?}: {one:?} {other:?}");
        app.resume_flows().await.unwrap();
        app.carry_notices().await.unwrap();
        assert!(app.directory(ListFlows { after: None }).await.unwrap().is_empty());
        let is_gone = app.directory(GetAccount { who: Who::Did(did.clone()) }).await.unwrap().is_none();
        for wish in wishes {
            // All say the same of each; an account that is gone has only its end left to be asked for.
            if !is_gone || matches!(wish, Wish::Delete) {
                wish.is_done(&world, &app, &did).await;
            }
        }
        assert_eq!(is_gone, matches!(first, Wish::Delete) || matches!(second, Wish::Delete));
    }
}

#[tokio::test]
async fn what_an_earlier_process_still_does_reaches_nothing() {
    let world = Simulated::new(network(), Internet::default(), Randomness::default());
    let earlier = world.start();
    let gate = Arc::clone(&world.internet.plc_gate).lock_owned().await;
    let signup = tokio::spawn(async move { earlier.sign_up(alice()).await });
    for _ in 0..100 {
        tokio::task::yield_now().await; // Then it waits at the gate, its name reserved.
    }
    let app = world.start();
    drop(gate);
    assert!(signup.await.unwrap().is_err());
    assert!(world.cells.lock().unwrap().is_empty());
    app.resume_flows().await.unwrap();
    let account = app.directory(GetAccount { who: Who::Handle(alice().handle) }).await.unwrap().unwrap();
    assert_is_whole(&world, &account.did);
}

#[tokio::test]
async fn events_wait_in_the_outbox_until_the_sequencer_takes_them() {
    let world = Simulated::new(network(), Internet::default(), Randomness::default());
    world.sequencer_is_down.store(true, Ordering::Relaxed);
    let account = world.start().sign_up(alice()).await.unwrap();
    assert_eq!(events(&world), [""; 0]);
    world.sequencer_is_down.store(false, Ordering::Relaxed);
    world.start();
    assert_is_whole(&world, &account.did);
}

#[tokio::test]
async fn the_same_seed_is_the_same_world() {
    let mut worlds = Vec::new();
    for stream in [0, 0, 1] {
        let world = Simulated::new(network(), Internet::default(), Randomness::stream(stream));
        let account = world.start().sign_up(alice()).await.unwrap();
        let cells = world.cells.lock().unwrap();
        let directory = dump(&world.directory.lock().unwrap().0).unwrap();
        worlds.push((directory, dump(&cells[&account.did].disk).unwrap()));
    }
    assert!(worlds[0] == worlds[1] && worlds[1] != worlds[2], "{}", seed());
}

fn alone() -> Alone<Account> {
    let mut alone = Alone::<Account>::default();
    let (did, handle) = ("did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().unwrap(), "alice.test".parse().unwrap());
    alone
        .ask(CreateRepo { did, handle, signing_key: Hidden::new([3; 32]), active: true, records: Vec::new() })
        .unwrap();
    alone
}

fn write(alone: &mut Alone<Account>, rkey: &str) -> Result<WritesApplied, account::Error> {
    let record = encode_record(&from_json(br#"{"$type":"test.zap.note"}"#).unwrap()).unwrap();
    let write = Write {
        action: WriteAction::Create,
        collection: "test.zap.note".parse().unwrap(),
        rkey: Some(rkey.parse().unwrap()),
        record: Some(ByteBuf::from(record)),
        blobs: Vec::new(),
        swap_record: Swap::Any,
    };
    alone.now_us += 1_000;
    alone.ask(ApplyWrites { writes: vec![write], swap_commit: None })
}

/// Breaks if a command is kept in part, or a cell can't go on after a failure of its disk.
#[test]
fn a_command_is_kept_whole_or_not_at_all_whichever_write_fails() {
    let mut well = alone();
    let start = well.disk.writes();
    write(&mut well, "a").unwrap();
    let writes = well.disk.writes() - start;
    assert!(writes > 3, "only {writes} writes");
    for fault in [DiskFault::Full, DiskFault::Io, DiskFault::CrashBefore, DiskFault::CrashAfter] {
        for nth in 0..writes {
            let mut alone = alone();
            let before = dump(&alone.disk).unwrap();
            alone.disk.fail_after(nth, fault);
            let error = write(&mut alone, "a").unwrap_err();
            assert!(error.is_storage(), "{fault:?} at {nth}: {error}");
            alone.restart().unwrap();
            let is_committed = fault == DiskFault::CrashAfter && nth == writes - 1;
            assert_eq!(dump(&alone.disk).unwrap() != before, is_committed, "{fault:?} at {nth}");
            write(&mut alone, if is_committed { "b" } else { "a" }).unwrap();
        }
    }
}
