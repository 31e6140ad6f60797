//! What zap promises where the did:plc directory lies about a log while an owner's key is put into it or taken out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::actor;
use crate::app::{self, App, NewAccount};
use crate::crypto::SigningKey;
use crate::directory::ListFlows;
use crate::identity::{Operation, PlcOperation, PlcTombstone};
use crate::plc;
use crate::syntax::Did;

/// What is said to one look, or to all from one on.
type Lie = (&'static str, u16, String);

fn own_key() -> String {
    SigningKey::from_bytes(&[5; 32]).unwrap().did_key()
}

/// Somebody who would like to have the account.
fn mallory() -> SigningKey {
    SigningKey::from_bytes(&[9; 32]).unwrap()
}

/// An account whose log has three operations, the last of which put a key above the network's, or took it out.
struct Told {
    world: Arc<Simulated>,
    app: Arc<App>,
    did: Did,
    is_put_in: bool,
    posted: Arc<Mutex<Vec<Operation>>>,
}

impl Told {
    async fn before(is_put_in: bool) -> Self {
        let world = Simulated::new(network(), Internet::default(), Randomness::stream(0));
        let app = world.start();
        let did = app.sign_up(alice("alice.test")).await.unwrap().did;
        app.update_handle(&did, &"alicia.test".parse().unwrap()).await.unwrap();
        app.add_recovery_key(&did, &own_key()).await.unwrap();
        if is_put_in {
            app.remove_recovery_key(&did, &own_key()).await.unwrap();
        }
        let told = Self { world, app, did, is_put_in, posted: Arc::default() };
        told.subjects().await;
        told
    }

    async fn ask(&self) -> Result<(), app::Error> {
        match self.is_put_in {
            true => self.app.add_recovery_key(&self.did, &own_key()).await,
            false => self.app.remove_recovery_key(&self.did, &own_key()).await,
        }
    }

    fn log(&self) -> Vec<Operation> {
        serde_json::from_value(self.world.ask_plc(&format!("/{}/log", self.did))).unwrap()
    }

    /// Has the directory lie to the looks `is_told` of, which are counted, and notes what is posted.
    fn lie(&self, (_, status, body): &Lie, is_told: impl Fn(usize) -> bool + Send + 'static) {
        let (posted, status, body, mut looks) = (Arc::clone(&self.posted), *status, body.clone(), 0);
        *self.world.internet.plc_lies.lock().unwrap() = Some(Box::new(move |request| {
            if request.method() == http::Method::POST {
                posted.lock().unwrap().push(Operation::from_json(request.body()).unwrap());
                return None;
            }
            looks += 1;
            is_told(looks - 1).then(|| (status, body.clone()))
        }));
    }

    /// What was mailed since, by its subjects.
    async fn subjects(&self) -> Vec<String> {
        self.app.post().await.unwrap();
        let mails = std::mem::take(&mut *self.world.internet.mailbox.lock().unwrap());
        mails.into_iter().map(|mail| mail.subject).collect()
    }

    /// Whether it was done, of which the owner is told then and not else. All that was signed follows the truth, and gives
    /// power to nobody.
    async fn is_done(&self, before: &[Operation], what: &str) -> bool {
        let posted = self.posted.lock().unwrap().clone();
        for operation in &posted {
            let head = before.last().unwrap().cid().unwrap().to_string();
            assert_eq!(operation.prev(), Some(head.as_str()), "{what}: signed over something else");
            let keys = operation.state().unwrap().rotation_keys;
            assert!(!keys.contains(&mallory().did_key()), "{what}: signed for a stranger");
            assert_eq!((keys.len(), keys[0] == own_key()), (1 + usize::from(self.is_put_in), self.is_put_in));
        }
        let (log, subjects) = (self.log(), self.subjects().await);
        assert_eq!(log[..before.len()], *before, "{what}");
        let has_key = log.last().unwrap().state().unwrap().rotation_keys.contains(&own_key());
        let is_done = has_key == self.is_put_in;
        let subject = match self.is_put_in {
            true => "A recovery key was added",
            false => "A recovery key was removed",
        };
        let told: Vec<&str> = if is_done { vec![subject] } else { Vec::new() };
        assert_eq!(subjects, told, "{what}: is it done? {is_done}");
        is_done
    }
}

fn alice(handle: &str) -> NewAccount {
    NewAccount {
        handle: handle.parse().unwrap(),
        kind: actor::Kind::Person,
        existing_did: None,
        recovery_key: None,
        email: Some(handle.replace(".test", "@example.com")),
        password: None,
        invite_code: None,
        invite_exempt: true,
        display_name: None,
        model: None,
        config: None,
    }
}

fn text(log: &[Operation]) -> String {
    serde_json::to_string(log).unwrap()
}

/// Signed by somebody with no power over what it follows.
fn strangers(last: &Operation) -> [Operation; 2] {
    let next = last.successor().unwrap();
    let keys = vec![mallory().did_key(), own_key()];
    let taken = PlcOperation { rotation_keys: keys, ..next.clone() }.sign(&mallory()).unwrap();
    let prev = next.prev.unwrap();
    let ended = Operation::Tombstone(PlcTombstone { prev, sig: String::new() }).sign(&mallory()).unwrap();
    [taken, ended]
}

/// Logs that are none of the DID's, and answers that are no logs.
fn forgeries(log: &[Operation], other: &Value) -> Vec<Lie> {
    let [taken, ended] = strangers(log.last().unwrap());
    let mut first = log[0].state().unwrap();
    first.rotation_keys = vec![mallory().did_key(), own_key()];
    let (edited, begun) = (Operation::Plc(first.clone()), first.sign(&mallory()).unwrap());
    let with = |more: Operation| text(&[log, &[more]].concat());
    let mut swapped = log.to_vec();
    swapped.swap(1, 2);
    let mut last = log.last().unwrap().state().unwrap();
    last.rotation_keys = vec![mallory().did_key()];
    let changed = [&log[..log.len() - 1], &[Operation::Plc(last)]].concat();
    vec![
        ("another's beginning", 200, text(&[begun])),
        ("other keys in the first", 200, text(&[edited])),
        ("other keys in the last", 200, text(&changed)),
        ("a stranger's operation", 200, with(taken)),
        ("a stranger's end", 200, with(ended)),
        ("one left out", 200, text(&[&log[..1], &log[2..]].concat())),
        ("two in the wrong order", 200, text(&swapped)),
        ("another DID's", 200, other.to_string()),
        ("none", 200, "[]".to_owned()),
        ("no log", 200, "{}".to_owned()),
        ("a page", 200, "<!doctype html><title>Welcome</title>".to_owned()),
        ("half a log", 200, text(log)[..200].to_owned()),
        ("an empty answer", 200, String::new()),
        ("moved", 301, text(log)),
        ("trouble", 503, "busy".to_owned()),
        ("unknown, says somebody else", 404, "<html>".to_owned()),
    ]
}

/// What breaks: whoever speaks for the did:plc directory has a key of theirs signed into somebody's DID, or an owner is told
/// that a key is in there which is not.
#[tokio::test]
async fn over_a_log_that_is_made_up_no_key_is_put_in_and_the_owner_is_told_or_it_is_done_later() {
    lied_to(true).await;
}

/// What breaks: the same, and a key that was stolen is said to be out of it.
#[tokio::test]
async fn over_a_log_that_is_made_up_no_key_is_taken_out_and_the_owner_is_told_or_it_is_done_later() {
    lied_to(false).await;
}

/// Tells each lie to each look in turn, and to all after it.
async fn lied_to(is_put_in: bool) {
    let told = Told::before(is_put_in).await;
    let (before, looks) = (told.log(), Arc::new(AtomicUsize::default()));
    let count = Arc::clone(&looks);
    told.lie(&("none", 0, String::new()), move |look| {
        count.store(look + 1, Ordering::Relaxed);
        false
    });
    told.ask().await.unwrap();
    assert!(told.is_done(&before, "no lie").await);
    let looks = looks.load(Ordering::Relaxed);
    assert!(looks >= 3, "it looks {looks} times");

    // The same in every world: all is drawn from one seed.
    let told = Told::before(is_put_in).await;
    let before = told.log();
    let other = told.app.sign_up(alice("bob.test")).await.unwrap().did;
    let other = told.world.ask_plc(&format!("/{other}/log"));
    for lie in &forgeries(&before, &other) {
        for (look, is_lasting) in (0..looks).flat_map(|look| [(look, false), (look, true)]) {
            let told = Told::before(is_put_in).await;
            assert_eq!(told.log(), before);
            let what = format!("{} at look {look}, lasting: {is_lasting}", lie.0);
            told.lie(lie, move |now| now == look || (is_lasting && now > look));
            let outcome = told.ask().await;
            told.app.resume_flows().await.unwrap();
            *told.world.internet.plc_lies.lock().unwrap() = None;
            told.app.resume_flows().await.unwrap();
            let is_done = told.is_done(&before, &what).await;
            let is_open = !told.app.directory(ListFlows { after: None }).await.unwrap().is_empty();
            assert!(!is_open, "{what}: it waits for ever");
            match outcome {
                Ok(()) => assert!(is_done, "{what}: said to be done"),
                Err(app::Error::Unsettled(_)) => assert!(is_done, "{what}: said to go on"),
                Err(app::Error::Upstream(_)) => assert!(!is_done, "{what}: said not to be done"),
                Err(other) => panic!("{what}: {other}"),
            }
            assert!(look > 0 || !is_done, "{what}: nobody lied");
        }
    }
}

/// What breaks: a directory, or a copy of it that lags behind, gives a log from before: an owner's key is said to be out of it
/// or in it, and another operation is signed beside those that others have seen.
#[tokio::test]
async fn a_log_that_goes_back_behind_what_was_seen_is_not_believed() {
    for is_put_in in [true, false] {
        for length in 1..=2 + usize::from(is_put_in) {
            let told = Told::before(is_put_in).await;
            let before = told.log();
            let what = format!("the first {length}, put in: {is_put_in}");
            told.lie(&("older", 200, text(&before[..length])), |_| true);
            let outcome = told.ask().await;
            assert!(matches!(outcome, Err(app::Error::Upstream(_))), "{what}: {outcome:?}");
            assert!(
                matches!(told.app.rotation_keys(&told.did).await, Err(app::Error::Upstream(_))),
                "{what}"
            );
            assert!(told.posted.lock().unwrap().is_empty(), "{what}: signed");
            assert!(!told.is_done(&before, &what).await);
            *told.world.internet.plc_lies.lock().unwrap() = None;
            told.ask().await.unwrap();
            assert!(told.is_done(&before, &what).await);
        }
    }
}

/// What breaks: an owner who takes the account back with a key above this network's is not heard here for a day.
#[tokio::test]
async fn what_a_more_powerful_key_undoes_is_no_older_log() {
    let told = Told::before(true).await;
    told.ask().await.unwrap();
    let seen = told.log();
    told.app.update_handle(&told.did, &"mallory.test".parse().unwrap()).await.unwrap();
    let own = SigningKey::from_bytes(&[5; 32]).unwrap();
    let mut next = seen.last().unwrap().successor().unwrap();
    next.rotation_keys = vec![own_key()];
    let body = next.sign(&own).unwrap().to_json().unwrap();
    let path = format!("/{}", told.did);
    let request = plc::Request { method: "POST", path: &path, query: "", body: body.as_bytes() };
    let now_us = told.world.now_us.load(Ordering::Relaxed);
    let answer = told.world.internet.ask_plc(now_us + 1_000_000, &request);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(told.log().len(), seen.len() + 1, "the other is undone");
    let keys = told.app.rotation_keys(&told.did).await.unwrap();
    assert_eq!(keys.iter().map(|key| key.key.clone()).collect::<Vec<_>>(), [own_key()]);
    // What was undone does not come back.
    let undone = told.app.update_handle(&told.did, &"alice.test".parse().unwrap()).await;
    assert!(undone.is_err(), "{undone:?}");
    assert_eq!(told.world.document(told.did.as_str())["alsoKnownAs"], json!(["at://alicia.test"]));
}
