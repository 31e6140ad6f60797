//! The binary as people use it: `zap dev`, the client commands against it, a second start.
//!
//! If this fails, what the README says of the first minute is not true.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop when it fails"
)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const ZAP: &str = env!("CARGO_BIN_EXE_zap");

/// A running `zap dev`, killed when the test ends early.
struct Dev {
    process: Child,
    welcome: Value,
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Dev {
    /// Starts it and waits until it has printed what it is.
    fn start(data: &Path, ports: (u16, u16)) -> Self {
        Self::start_with(data, ports, &[])
    }

    fn start_with(data: &Path, ports: (u16, u16), more: &[&str]) -> Self {
        let mut process = zap(data)
            .args(["dev", "--json"])
            .args(["--listen", &format!("127.0.0.1:{}", ports.0)])
            .args(["--plc-listen", &format!("127.0.0.1:{}", ports.1)])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let welcome = serde_json::from_str(&line).unwrap_or_else(|_| panic!("zap dev printed {line:?}"));
        Self { process, welcome }
    }

    /// Ctrl-C; the exit code.
    fn interrupt(mut self) -> i32 {
        let killed = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.process.wait().unwrap().code().unwrap()
    }
}

/// The command with nothing of this machine's settings.
fn zap(data: &Path) -> Command {
    let mut command = Command::new(ZAP);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ZAP_")) {
        command.env_remove(name);
    }
    command.arg("--data").arg(data);
    command
}

fn run(data: &Path, args: &[&str]) -> Output {
    zap(data).args(args).output().unwrap()
}

/// Runs it with `--json` and reads what it printed.
fn json(data: &Path, args: &[&str]) -> Value {
    let output = zap(data).args(args).arg("--json").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "zap {args:?}: {told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn code(data: &Path, args: &[&str]) -> i32 {
    run(data, args).status.code().unwrap()
}

fn free_ports() -> (u16, u16) {
    let sockets = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    (sockets[0].local_addr().unwrap().port(), sockets[1].local_addr().unwrap().port())
}

#[test]
fn the_first_minute_and_the_second_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ports = free_ports();
    let dev = Dev::start(&data, ports);
    let agents = dev.welcome["agents"].clone();
    assert_eq!(agents[0]["handle"], "alice.test");
    assert_eq!(agents[1]["handle"], "bob.test");

    client_commands(&data);
    exit_codes(&data, ports.1);
    a_token_is_changed(&data);
    private_files(&data);

    let second = Command::new(ZAP)
        .args(["serve", "--listen", &format!("127.0.0.1:{}", ports.0), "--data"])
        .arg(folder.path().join("other"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another process"));

    // An address for documentation is no machine's own.
    let elsewhere = run(&folder.path().join("elsewhere"), &["serve", "--listen", "192.0.2.1:2583"]);
    assert_eq!(elsewhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("with --listen"));

    let mut follower = zap(&data)
        .args(["firehose", "--cursor", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(follower.stdout.take().unwrap()).lines();
    let first = events.next().unwrap().unwrap();
    assert!(first.contains("identity"), "{first}");

    assert_eq!(dev.interrupt(), 0);
    let told = BufReader::new(follower.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(told, "the stream broke: connecting again");
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(code(&data, &["agent", "list"]), 5, "a stopped server is unreachable");

    let again = Dev::start(&data, ports);
    assert_eq!(again.welcome["agents"], agents, "the second start finds the same agents");
    let kept = json(&data, &["memories", "carol"]);
    assert_eq!(kept["memories"].as_array().unwrap().len(), 1);
    assert_eq!(json(&data, &["repo", "verify", "carol"])["verified"], true);
    assert_eq!(again.interrupt(), 0);
}

fn client_commands(data: &Path) {
    let carol = json(data, &["agent", "create", "carol", "--display-name", "Carol", "--model", "some-model"]);
    assert_eq!(carol["handle"], "carol.test");
    let listed = json(data, &["agent", "list"]);
    assert_eq!(listed["agents"].as_array().unwrap().len(), 3);
    let shown = json(data, &["agent", "show", "carol"]);
    assert_eq!((&shown["did"], &shown["model"]), (&carol["did"], &Value::from("some-model")));

    let tea = json(data, &["remember", "carol", "tea is at four", "--tag", "habit"]);
    assert_eq!(tea["status"], "created");
    let fact = json(data, &["remember", "carol", "the kettle | holds | a litre", "--type", "fact"]);
    let tagged = json(data, &["memories", "carol", "--tag", "habit"]);
    assert_eq!(tagged["memories"][0]["memory"]["summary"], "tea is at four");
    assert_eq!(json(data, &["memories", "carol"])["memories"].as_array().unwrap().len(), 2);
    let recalled = json(data, &["recall", "carol", "kettle"]);
    assert_eq!(recalled["results"][0]["uri"], fact["uri"]);
    let alices = json(data, &["recall", "alice", "release"]);
    assert!(!alices["results"].as_array().unwrap().is_empty());
    let forgotten = json(data, &["forget", "carol", fact["uri"].as_str().unwrap()]);
    assert_eq!((&forgotten["forgotten"], &forgotten["shredded"]), (&Value::from(1), &Value::from(1)));

    let kettle = json(data, &["remember", "carol", "the kettle is red"]);
    let partly = run(data, &["forget", "carol", kettle["uri"].as_str().unwrap(), "aaaaaaaaaaaaaaaa"]);
    assert_eq!(String::from_utf8(partly.stdout).unwrap(), "forgotten: 1, keys destroyed: 1, not there: 1\n");

    let repo = json(data, &["repo", "show", "carol"]);
    assert_eq!(repo["collections"]["agent.vault.sealed"], 1);
    let published = json(data, &["lexicon", "publish", "carol"]);
    assert!(published["created"].as_i64().unwrap() > 20, "{published}");
    let dns = published["dns"].as_array().unwrap();
    assert!(dns.iter().any(|record| record["name"] == "_lexicon.memory.agent"), "{published}");
    let again = json(data, &["lexicon", "publish", "carol"]);
    assert_eq!(
        (&again["created"], &again["updated"], &again["unchanged"]),
        (&0.into(), &0.into(), &published["created"])
    );
    let verified = json(data, &["repo", "verify", "carol"]);
    assert_eq!((&verified["verified"], &verified["latest"]), (&Value::from(true), &Value::from(true)));
    let table = String::from_utf8(run(data, &["memories", "carol"]).stdout).unwrap();
    assert!(
        table.starts_with("KEY") && table.contains("tea is at four") && !table.contains('\x1b'),
        "{table}"
    );
}

fn exit_codes(data: &Path, plc_port: u16) {
    assert_eq!(code(data, &["memories"]), 2);
    assert_eq!(code(data, &["remember", "carol", "not a fact", "--type", "fact"]), 2);
    assert_eq!(code(data, &["agent", "create", "dan", "--recovery-key", "did:web:dan.test"]), 2);
    assert_eq!(code(data, &["agent", "delete", "carol"]), 2, "deleting needs --yes");
    assert_eq!(code(data, &["memories", "carol", "--limit", "0"]), 2, "not: there are none");
    assert_eq!(code(data, &["recall", "carol", ""]), 2);
    assert_eq!(code(data, &["agent", "delete", "nobody"]), 3, "whatever is said about --yes");
    assert_eq!(code(data, &["agent", "show", "nobody"]), 3);
    assert_eq!(code(data, &["repo", "verify", "nobody"]), 3);
    assert_eq!(code(data, &["forget", "carol", "aaaaaaaaaaaaaaaa"]), 3);
    assert_eq!(code(data, &["memories", "nobody"]), 4, "there is no token of nobody");
    assert_eq!(code(data, &["memories", "carol", "--token", "zap_wrong"]), 4);
    assert_eq!(code(data, &["agent", "list", "--token", "wrong"]), 4);
    let carols = std::fs::read_to_string(data.join("tokens/carol")).unwrap();
    let carols = ["--token", carols.trim()];
    assert_eq!(code(data, &[&["memories", "carol.test"], &carols[..]].concat()), 0);
    assert_eq!(code(data, &[&["remember", "alice", "not hers"], &carols[..]].concat()), 4, "carol's token");
    let nobody = ["agent", "list", "--url", "http://127.0.0.1:1", "--token", "wrong"];
    assert_eq!(code(data, &nobody), 5);
    let directory = format!("http://127.0.0.1:{plc_port}");
    let at = [&["memories", "carol", "--url", &directory], &carols[..]].concat();
    assert_eq!(code(data, &at), 1, "a PLC directory has no agents");
    tokens_go_to_their_server_only(data, carols[1]);
    let usage = run(data, &["recall", "carol", "--json"]);
    let told: Value = serde_json::from_slice(&usage.stderr).unwrap();
    assert_eq!((usage.status.code(), &told["error"]), (Some(2), &Value::from("Usage")));
    assert!(told["message"].as_str().unwrap().contains("<QUERY>"), "{told}");
    let error = run(data, &["agent", "show", "nobody", "--json"]);
    let error: Value = serde_json::from_slice(&error.stderr).unwrap();
    assert!(error["message"].is_string() && error["hint"].is_string(), "{error}");
}

/// Breaks if a token that is lost can't be replaced, or goes on to open what it opened.
fn a_token_is_changed(data: &Path) {
    let kept = data.join("tokens/carol");
    let old = std::fs::read_to_string(&kept).unwrap();
    let old = old.trim();
    let shown = json(data, &["agent", "token", "carol"]);
    assert_eq!((&shown["token"], &shown["kept"]), (&Value::Null, &Value::from(kept.to_str().unwrap())));
    let changed = json(data, &["agent", "token", "carol", "--rotate"]);
    let new = std::fs::read_to_string(&kept).unwrap();
    assert_eq!(changed["token"], new.trim());
    assert_eq!(code(data, &["memories", "carol"]), 0);
    assert_eq!(code(data, &["memories", "carol", "--token", old]), 4, "the old one ended");
    assert_eq!(
        code(data, &["agent", "token", "alice", "--rotate", "--token", new.trim()]),
        4,
        "carol's token"
    );
    let admin = std::fs::read_to_string(data.join("admin.token")).unwrap();
    assert_eq!(code(data, &["agent", "token", "alice", "--rotate", "--token", admin.trim()]), 4);
    assert_eq!(code(data, &["memories", "alice"]), 0);
}

/// Breaks if whoever is named by --url is shown the tokens that are kept here, or the way there shows any.
fn tokens_go_to_their_server_only(data: &Path, token: &str) {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let url = format!("http://{}", stranger.local_addr().unwrap());
    for command in [&["memories", "carol"][..], &["agent", "list"], &["agent", "create", "dan"]] {
        let refused = run(data, &[command, &["--url", &url, "--json"]].concat());
        let told: Value = serde_json::from_slice(&refused.stderr).unwrap();
        assert_eq!(
            (refused.status.code(), &told["error"]),
            (Some(4), &Value::from("NotAuthorized")),
            "{told}"
        );
        assert!(told["message"].as_str().unwrap().contains(&format!("is not sent to {url}")), "{told}");
    }
    // What nobody accepts was not asked: nothing came, in the clear or not.
    assert_eq!(stranger.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    // Nobody answers at an address for documentation, so that a code of 4 says that nothing was tried.
    let public = ["memories", "carol", "--url", "http://192.0.2.1", "--token", token];
    assert_eq!(code(data, &public), 4);
}

#[cfg(unix)]
fn private_files(data: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for file in ["admin.token", "master.key", "tokens/alice", "tokens/carol"] {
        let mode = std::fs::metadata(data.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// What breaks: a relay that gave up on the server while it was away never hears that it is back.
/// What breaks: it looks for its own token in a file, where nobody has put the one that was given.
#[test]
fn a_network_with_a_given_admin_token_is_set_up_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start_with(folder.path(), free_ports(), &["--admin-token", "given-0123456789"]);
    assert_eq!(dev.welcome["agents"].as_array().unwrap().len(), 2);
    assert_eq!(dev.welcome["adminTokenFile"], Value::Null);
    assert_eq!(dev.interrupt(), 0);
}

#[test]
fn a_relay_is_asked_to_crawl_after_the_start() {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let ports = free_ports();
    let relay = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", relay.local_addr().unwrap());
    let data = folder.path().join("data");
    for _ in 0..2 {
        let dev = Dev::start_with(&data, ports, &["--relay", &origin]);
        let (mut connection, _) = relay.accept().unwrap();
        let mut request = vec![0; 4096];
        let mut length = 0;
        while !request[..length].ends_with(b"}") {
            length += connection.read(&mut request[length..]).unwrap();
        }
        let request = String::from_utf8(request[..length].to_vec()).unwrap();
        assert!(request.starts_with("POST /xrpc/com.atproto.sync.requestCrawl HTTP/1.1"), "{request}");
        assert!(request.ends_with(&format!(r#"{{"hostname":"localhost:{}"}}"#, ports.0)), "{request}");
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        drop(connection);
        let counted = format!("zap_relay_requests_total{{relay=\"{origin}\",answer=\"200\"}} 1");
        let begun = std::time::Instant::now();
        while !metrics(ports.0).contains(&counted) {
            assert!(begun.elapsed().as_secs() < 20, "{}", metrics(ports.0));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(dev.interrupt(), 0);
    }
}

fn metrics(port: u16) -> String {
    use std::io::{Read, Write};
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// What breaks: who crashes the process, or finds it crashed, has its keys in a file.
#[test]
#[cfg(target_os = "linux")]
fn a_crash_leaves_no_core() {
    use std::os::unix::process::ExitStatusExt;
    let folder = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let mut follower = Command::new("sh")
        .args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh", ZAP, "firehose", "--url", &url])
        .current_dir(folder.path())
        .spawn()
        .unwrap();
    // It has begun, and waits for an answer.
    let _connection = server.accept().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", follower.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let aborted = Command::new("kill").args(["-ABRT", &follower.id().to_string()]).status().unwrap();
    assert!(aborted.success());
    let status = follower.wait().unwrap();
    assert!(status.signal().is_some() && !status.core_dumped(), "{status:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_configuration_is_explained_before_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zap.toml");
    std::fs::write(&file, "lisen = '127.0.0.1:1'\n").unwrap();
    let output = zap(folder.path()).arg("config").arg("--config").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`listen` was probably meant"));

    std::fs::write(&file, "listen = '127.0.0.1:1'\nbackfill-window = '1h'\n").unwrap();
    let output = zap(folder.path())
        .args(["config", "--json", "--backfill-window", "2h"])
        .env("ZAP_CONFIG", &file)
        .env("ZAP_LISTEN", "127.0.0.1:2")
        .env("ZAP_ADMIN_TOKEN", "not-to-be-shown")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("not-to-be-shown"));
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(shown["listen"], serde_json::json!({"value": "127.0.0.1:2", "source": "environment"}));
    assert_eq!(shown["backfill-window"], serde_json::json!({"value": "2h", "source": "flag"}));
    assert_eq!(shown["data"]["source"], "flag");
}

/// What breaks: a shell or a reader of manuals knows another command than the one there is.
#[test]
fn completions_and_manual_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(folder.path(), &["completion", shell]);
        assert_eq!(script.status.code(), Some(0));
        let script = String::from_utf8(script.stdout).unwrap();
        for word in ["password-reset", "takedown", "send-mail", "--password-file", "remember"] {
            // fish writes long flags without their hyphens.
            assert!(script.contains(word.trim_start_matches('-')), "{shell} has no {word}");
        }
    }
    let parsed = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().map(|mut bash| {
        use std::io::Write;
        let script = run(folder.path(), &["completion", "bash"]).stdout;
        bash.stdin.take().unwrap().write_all(&script).unwrap();
        bash.wait().unwrap().success()
    });
    assert!(parsed.unwrap(), "bash reads its script");
    assert_eq!(code(folder.path(), &["completion", "cmd"]), 2);

    let page = String::from_utf8(run(folder.path(), &["man"]).stdout).unwrap();
    assert!(page.contains(".TH zap 1") && page.contains("account") && page.contains("zap dev"), "{page}");
    let pages = folder.path().join("man/man1");
    let told = json(folder.path(), &["man", pages.to_str().unwrap()]);
    assert_eq!(told["folder"], pages.to_str().unwrap());
    let page = std::fs::read_to_string(pages.join("zap-account-password-reset.1")).unwrap();
    assert!(page.contains("not the administrator"), "{page}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(pages.join("zap.1")).unwrap().permissions().mode();
        assert_ne!(mode & 0o044, 0, "others read it too");
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(code(folder.path(), &["man", file.to_str().unwrap()]), 1, "no folder");
}
