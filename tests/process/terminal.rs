//! The command as people and supervisors use it: pipes, signals, systemd.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::administration::{done, done_with, run};

/// What a supervisor is told within, and what a stop takes at the most.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// What breaks: a dash is remembered in place of what was piped in; what is longer than a line can't be read again.
#[tokio::test]
async fn words_come_from_a_pipe_and_are_read_whole() {
    let (_folder, zap) = super::start("info").await;
    done(&zap, &["agent", "create", "alice"]);
    let line = "The kettle is in the second cupboard from the left, behind the old tea tins.";
    let words: Vec<_> = (1..=20).map(|number| format!("{number:02}. {line}")).collect();
    let kept = done_with(&zap, &["remember", "alice", "-", "--tag", "kitchen"], &(words.join("\n") + "\n"));
    let key = kept["uri"].as_str().unwrap().rsplit('/').next().unwrap();

    let view = done(&zap, &["memory", "show", "alice", key]);
    assert_eq!((&view["uri"], &view["memory"]["text"]), (&kept["uri"], &json!(words.join("\n"))));
    let shown = zap.command().args(["memory", "show", "alice", key]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let (about, said) = shown.split_once("\n\n").expect("the words stand apart");
    assert_eq!(said, words.join("\n") + "\n");
    assert!(about.contains("agent.memory.note") && about.contains("kitchen"), "{about}");
    assert!(!about.contains("summary"), "it is the beginning of the text: {about}");

    let fact = done(&zap, &["remember", "alice", "tea | is | green", "--type", "fact"]);
    let shown =
        zap.command().args(["memory", "show", "alice", fact["uri"].as_str().unwrap()]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("predicate") && shown.contains("green"), "{shown}");

    let nothing = run(&zap, &["remember", "alice", "-"], " \n");
    assert_eq!(nothing.status.code(), Some(2), "{}", String::from_utf8_lossy(&nothing.stderr));
    let large = run(&zap, &["remember", "alice", "-"], &"x".repeat((1 << 20) + 1));
    assert_eq!(large.status.code(), Some(2), "{}", String::from_utf8_lossy(&large.stderr));
    let missing = run(&zap, &["memory", "show", "alice", "0123456789abcdef"], "");
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(missing.status.code() == Some(3) && said.contains("zap memories alice"), "{said}");
}

/// What breaks: systemd takes a server that is not up yet for one that is, and a terminal that closes kills one that has
/// something to finish.
#[test]
fn a_supervisor_is_told_and_a_hang_up_stops_in_order() {
    if super::on_worker() {
        return; // workerd is nobody's service.
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let told = UnixDatagram::bind(&path).unwrap();
    told.set_read_timeout(Some(TOLD_WITHIN)).unwrap();
    let next = || {
        let mut message = [0; 256];
        let bytes = told.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..bytes]).into_owned()
    };
    for (signal, number) in [("HUP", rustix::process::Signal::HUP), ("TERM", rustix::process::Signal::TERM)] {
        let mut serve = Command::new(env!("CARGO_BIN_EXE_zap"));
        serve.args(["serve", "--listen=127.0.0.1:0", "--public-url=http://localhost:2583"]);
        serve.args([
            "--plc-url=http://127.0.0.1:1",
            "--allow-loopback=true",
            "--admin-token=none-of-yours-0",
        ]);
        serve.arg("--data").arg(folder.path().join("data")).env("NOTIFY_SOCKET", &path);
        let mut server = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(next().trim(), "READY=1", "{signal}");
        let id = rustix::process::Pid::from_child(&server);
        rustix::process::kill_process(id, number).unwrap();
        assert_eq!(next().trim(), "STOPPING=1", "{signal}");
        let start = Instant::now();
        let status = loop {
            match server.try_wait().unwrap() {
                Some(status) => break status,
                None if start.elapsed() < TOLD_WITHIN => std::thread::sleep(Duration::from_millis(20)),
                None => panic!("{signal}: it does not stop"),
            }
        };
        assert!(status.success(), "{signal}: {status}");
    }
}
