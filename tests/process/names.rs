//! Handles on domains of their owners, where name servers and web servers lie or stall: who they belong to is said by the clear
//! answers alone, and nobody else waits for the others.

mod world;

use std::path::Path;
use std::time::{Duration, Instant};

use harness::zap::{ADMIN_TOKEN, create_account};
use harness::{Account, Answer, Client, Settings, Zap};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use zap::limits::{DNS_TIMEOUT_SECONDS, FETCH_TIMEOUT_SECONDS};

use self::world::{Dns, Web, World};

/// What one look at a handle may take: the DNS by both ways, a server, and the DNS once more.
const LOOK_MAX: Duration = Duration::from_secs(FETCH_TIMEOUT_SECONDS + 4 * DNS_TIMEOUT_SECONDS);
/// What else it may take, on a busy machine.
const GRACE: Duration = Duration::from_secs(10);
/// What others wait for an answer at most meanwhile.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(5);
/// A server looks once a minute whether handles are due.
const DUE_WITHIN: Duration = Duration::from_secs(75);
/// What all lies together may leave in memory; one flood that is held would be gigabytes.
const GROWTH_MAX: u64 = 64 << 20;
const OTHER: &str = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const PAGE: &str = "<!doctype html><title>This domain is parked</title>";

fn names(did: &str) -> Dns {
    Dns::Says(vec!["v=spf1 -all".to_owned(), format!("did={did}")])
}

fn nobody() -> Dns {
    Dns::Says(Vec::new())
}

fn page(status: u16, text: &str) -> Web {
    Web::Says(status, text.to_owned())
}

/// What becomes of a name whose owner is `did`, and whether it is the owner's still.
fn lies(did: &str) -> Vec<(&'static str, Dns, Web, bool)> {
    let two = Dns::Says(vec![format!("did={did}"), format!("did={OTHER}")]);
    let turns = |first: &str, second: &str| Dns::Alternates([first, second].map(|did| format!("did={did}")));
    let both = format!("{did}\n");
    vec![
        // They stall. These come first, so that the others have to wait for them if anybody does.
        ("silent", Dns::Silent, page(404, ""), true),
        ("garbage", Dns::Garbage, page(404, ""), true),
        ("truncated", Dns::Truncated, page(404, ""), true),
        ("mute", nobody(), Web::Mute, true),
        ("stalls", nobody(), Web::Silent, true),
        ("drips", nobody(), Web::Dripping(OTHER.to_owned()), true),
        ("drips-own", nobody(), Web::Dripping(did.to_owned()), true),
        ("hangs-up", nobody(), Web::HangsUp(OTHER.to_owned()), true),
        // They have troubles of their own, or say too much.
        ("servfail", Dns::ServFail, page(404, ""), true),
        ("refused", Dns::Refused, page(200, OTHER), true),
        ("busy", nobody(), page(503, PAGE), true),
        ("floods", nobody(), Web::Flooding, true),
        // They say one thing, and then the other.
        ("other-first", turns(OTHER, did), page(404, ""), true),
        ("own-first", turns(did, OTHER), page(404, ""), true),
        // They say who it is.
        ("honest", names(did), page(200, OTHER), true),
        ("by-file", nobody(), page(200, &both), true),
        // They say clearly that it is not.
        ("another", names(OTHER), page(200, did), false),
        ("two", two, page(404, ""), false),
        ("file-of-other", nobody(), page(200, OTHER), false),
        ("parked", nobody(), page(200, PAGE), false),
        (
            "moved",
            nobody(),
            Web::Moved("https://honest.example.com/.well-known/atproto-did".to_owned()),
            false,
        ),
        ("gone", nobody(), page(404, PAGE), false),
    ]
}

struct Owner {
    account: Account,
    name: String,
    is_kept: bool,
}

async fn call(client: &mut Client, account: &Account, nsid: &str, input: &serde_json::Value) -> Answer {
    client.post(nsid, Some(&account.authorization), input).await.unwrap()
}

/// The handle that an account is shown with.
async fn shown(client: &mut Client, did: &str) -> String {
    let path = format!("/xrpc/com.atproto.admin.getAccountInfo?did={did}");
    let info = client.get(&path, Some(&format!("Bearer {ADMIN_TOKEN}"))).await.unwrap().ok().unwrap();
    info["handle"].as_str().unwrap().to_owned()
}

/// A server in a world of its own, with an owner for each lie, whose name was proven where `is_given`.
async fn start(is_given: bool) -> Option<(TempDir, World, Zap, Vec<Owner>)> {
    if super::on_worker() {
        return None; // It asks another's DNS.
    }
    let folder = tempfile::tempdir().unwrap();
    let world = World::begin(Path::new(env!("CARGO_BIN_EXE_zap")), folder.path())?;
    let zap = Zap::start_set(&world.binary, folder.path(), "info", Settings::new()).await;
    let zap = zap.unwrap_or_else(|error| {
        panic!("{error:#}\n{}", std::fs::read_to_string(folder.path().join("server.log")).unwrap_or_default())
    });
    let (mut client, mut owners) = (zap.client(), Vec::new());
    for (number, (name, .., is_kept)) in lies("").into_iter().enumerate() {
        let account = create_account(&mut client, &format!("owner{number}.test")).await.unwrap();
        let name = format!("{name}.example.com");
        if is_given {
            world.set(&name, names(&account.did), page(404, ""));
            ask_for(&mut client, &account, &name).await.success().unwrap();
        }
        owners.push(Owner { account, name, is_kept });
    }
    tell_lies(&world, &owners);
    Some((folder, world, zap, owners))
}

async fn ask_for(client: &mut Client, account: &Account, name: &str) -> Answer {
    call(client, account, "com.atproto.identity.updateHandle", &json!({ "handle": name })).await
}

fn tell_lies(world: &World, owners: &[Owner]) {
    for owner in owners {
        let lies = lies(&owner.account.did);
        let found = lies.into_iter().find(|(name, ..)| owner.name.starts_with(&format!("{name}.")));
        let (_, dns, web, _) = found.unwrap();
        world.set(&owner.name, dns, web);
    }
}

/// Makes all names due, in the order of their owners, and waits until the last was looked at: how long that is after the first.
async fn all_are_looked_at(zap: &Zap, owners: &[Owner]) -> Duration {
    let directory = Connection::open(zap.data.join("directory.sqlite")).unwrap();
    directory.busy_timeout(Duration::from_secs(10)).unwrap();
    for (number, owner) in owners.iter().enumerate() {
        let due = "UPDATE account SET handle_check_us = ? WHERE did = ?";
        assert_eq!(directory.execute(due, (number as i64, &owner.account.did)), Ok(1));
    }
    let left = || {
        let left = "SELECT count(*) FROM account WHERE handle_check_us < 1000";
        directory.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let (asked, mut begun) = (Instant::now(), None);
    let rounds = u32::try_from(owners.len().div_ceil(4)).unwrap();
    let all = i64::try_from(owners.len()).unwrap();
    loop {
        match left() {
            0 => return begun.unwrap_or(asked).elapsed(),
            left if left < all => begun = begun.or(Some(Instant::now())),
            _ => assert!(asked.elapsed() < DUE_WITHIN + LOOK_MAX + GRACE, "nobody looks"),
        }
        let looked = begun.map(|begun: Instant| begun.elapsed()).unwrap_or_default();
        assert!(looked < LOOK_MAX * rounds, "{} are not looked at yet", left());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What breaks: an hour of trouble at somebody's provider, or one wrong answer, costs them their name; or who sold a domain is
/// known by it for ever; or one domain's server keeps the whole network waiting, or fills its memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handle_is_lost_to_a_clear_answer_and_to_no_stall_and_nobody_waits_for_the_others() {
    let Some((_folder, world, mut zap, owners)) = start(true).await else { return };
    let mut client = zap.client();
    let writer = create_account(&mut client, "writer.test").await.unwrap();
    let before = zap.usage().unwrap().resident_bytes;
    let others = tokio::spawn(write_on(zap.client(), writer));
    let took = all_are_looked_at(&zap, &owners).await;
    eprintln!("{} names; {took:?} after the first four", owners.len());
    stop(others).await;
    for owner in &owners {
        let handle = shown(&mut client, &owner.account.did).await;
        let expected = if owner.is_kept { owner.name.as_str() } else { "handle.invalid" };
        assert_eq!(handle, expected, "{}: {} questions", owner.name, world.questions(&owner.name));
        assert!(world.questions(&owner.name) > 0, "{} was not looked at", owner.name);
    }
    assert_eq!(world.requests("moved.example.com"), 1);
    assert_eq!(world.requests("honest.example.com"), 0, "whoever is sent there has followed");
    none_is_held(&world).await;
    let grown = zap.usage().unwrap().resident_bytes.saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{grown} bytes");
    zap.stop().await.unwrap();
}

/// Writes without end, each within a moment.
async fn write_on(mut client: Client, account: Account) {
    loop {
        let input = json!({ "repo": account.did, "collection": "com.example.note", "record":
            { "$type": "com.example.note", "text": "still here" } });
        let written = call(&mut client, &account, "com.atproto.repo.createRecord", &input);
        let written = tokio::time::timeout(OTHERS_WAIT_MAX, written).await.expect("others are answered");
        written.success().unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What breaks: a name is given to who does not have it; or one who asks for such a name, or resolves it, waits for ever and
/// all others with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_given_on_a_clear_answer_alone_and_within_a_bounded_time() {
    let Some((_folder, world, mut zap, owners)) = start(false).await else { return };
    let mut client = zap.client();
    let writer = create_account(&mut client, "writer.test").await.unwrap();
    let before = zap.usage().unwrap().resident_bytes;
    let others = tokio::spawn(write_on(zap.client(), writer));
    let asked = owners.iter().enumerate().map(|(number, owner)| {
        // Each from an address of its own, of which each may ask a few times at once.
        let client = || zap.client().coming_from(&format!("192.0.2.{number}"));
        let (mut asks, mut resolves) = (client(), client());
        async move {
            let start = Instant::now();
            let path = format!("/xrpc/com.atproto.identity.resolveHandle?handle={}", owner.name);
            let given = ask_for(&mut asks, &owner.account, &owner.name).await;
            let resolved = resolves.get(&path, None).await.unwrap();
            (owner, given, resolved, start.elapsed())
        }
    });
    for (owner, given, resolved, took) in futures::future::join_all(asked).await {
        let what = format!("{}: {given:?} {resolved:?} after {took:?}", owner.name);
        assert!(took < 2 * LOOK_MAX + GRACE, "{what}");
        let is_given = ["own-first.", "honest.", "by-file."].iter().any(|name| owner.name.starts_with(name));
        assert_eq!(given.status, if is_given { 200 } else { 400 }, "{what}");
        assert!([200, 400, 502].contains(&resolved.status), "{what}");
        let expected = if is_given { &owner.name } else { &owner.account.handle };
        assert_eq!(shown(&mut client, &owner.account.did).await, *expected, "{what}");
    }
    stop(others).await;
    none_is_held(&world).await;
    let grown = zap.usage().unwrap().resident_bytes.saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{grown} bytes");
    zap.stop().await.unwrap();
}

/// Ends the others, who have been answered all the time.
async fn stop(others: JoinHandle<()>) {
    others.abort();
    let ended = others.await.unwrap_err();
    assert!(ended.is_cancelled(), "{ended}");
}

async fn none_is_held(world: &World) {
    let start = Instant::now();
    while world.open() > 0 {
        assert!(start.elapsed() < GRACE, "{} connections are held", world.open());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
