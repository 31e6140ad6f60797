//! The house rules that a test can see. What breaks here is not the program but the house: the sans-IO core, the
//! size of files, the order of migrations, the reasons of dependencies.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod floors;
mod mentions;
mod migrations;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use source::{code, files, names, nothing, read, room, root, sources};
use zap::auth::Access;

/// Longest source file, generated ones aside.
const LINES_MAX: usize = 500;

/// Rooms that touch the world, or are one.
const HOST: &[&str] = &["native", "worker", "cli", "main", "config", "testing"];

/// Rooms that wait for cells and other servers, through `dyn Host`: async, but without IO of their own.
const EDGE: &[&str] = &["app", "host", "web", "xrpc"];

/// What only the host does: IO, the clock, randomness.
const WORLD: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "getrandom",
    "rand::",
    "reqwest",
    "rusqlite",
    "std::env::",
    "std::fs",
    "std::process",
    "std::thread",
    "TcpListener",
    "TcpStream",
    "tokio::",
    "UdpSocket",
];

#[test]
fn only_the_host_knows_what_it_is_compiled_for() {
    let mut found = Vec::new();
    // P-256 is checked by faster code where that runs; its own test holds both against each other.
    let is_host = |file: &PathBuf| {
        ["native", "worker", "lib"].contains(&room(file).as_str()) || file.ends_with("crypto/verifying.rs")
    };
    for file in sources("src").into_iter().filter(|file| !is_host(file)) {
        for (number, line) in code(&file) {
            if line.contains("target_arch") || line.contains("target_family") {
                found.push(format!("{}:{number}", file.display()));
            }
        }
    }
    assert!(found.is_empty(), "the same source has to run on every host: {found:#?}");
}

#[test]
fn only_the_host_touches_the_world() {
    let mut found = Vec::new();
    for file in sources("src") {
        let room = room(&file);
        if HOST.contains(&room.as_str()) {
            continue;
        }
        let waits: &[&str] =
            if EDGE.contains(&room.as_str()) { &[] } else { &["async fn", "async move", ".await"] };
        for (number, line) in code(&file) {
            for word in WORLD.iter().chain(waits).filter(|word| names(&line, word)) {
                found.push(format!("{}:{number} has {word}", file.display()));
            }
        }
    }
    for file in sources("repo-mst/src") {
        for (number, line) in code(&file) {
            for word in WORLD.iter().chain(&["async "]).filter(|word| names(&line, word)) {
                found.push(format!("{}:{number} has {word}", file.display()));
            }
        }
    }
    nothing(&found);
}

#[test]
fn hosts_look_into_no_command() {
    let mut found = Vec::new();
    for file in sources("src").into_iter().filter(|file| ["native", "worker"].contains(&room(file).as_str()))
    {
        for (number, line) in code(&file) {
            for word in ["Change::", "Query::", "Reply::"] {
                if line.contains(word) {
                    found.push(format!("{}:{number} has {word}", file.display()));
                }
            }
        }
    }
    nothing(&found);
}

/// Procedures without a token, because they are how one comes by it, or because the input holds a password; a key is
/// promised before there is an account.
const OPEN_PROCEDURES: &[&str] = &[
    "com.atproto.server.createAccount",
    "com.atproto.server.createSession",
    "com.atproto.server.deleteAccount",
    "com.atproto.server.requestPasswordReset",
    "com.atproto.server.reserveSigningKey",
    "com.atproto.server.resetPassword",
];

/// What a method does whose name begins like this; a GET must do none of it.
const CHANGING: &[&str] = &[
    "activate",
    "apply",
    "compact",
    "confirm",
    "create",
    "deactivate",
    "delete",
    "destroy",
    "disable",
    "enable",
    "forget",
    "import",
    "makePublic",
    "put",
    "refresh",
    "remember",
    "remove",
    "revoke",
    "rotate",
    "send",
    "set",
    "share",
    "sign",
    "submit",
    "unshare",
    "update",
    "upload",
];

#[test]
fn every_method_asks_for_the_right_credentials() {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for endpoint in zap::xrpc::endpoints() {
        let nsid = endpoint.nsid;
        if !seen.insert(nsid) {
            found.push(format!("{nsid} is served twice"));
        }
        let open = matches!(endpoint.access, Access::Public | Access::Optional | Access::OptionalService);
        let name = nsid.rsplit('.').next().unwrap();
        let changes = CHANGING.iter().any(|verb| name.starts_with(verb));
        if endpoint.method == "GET" && changes {
            found.push(format!("{nsid} changes something and is a GET"));
        }
        if endpoint.method == "POST" && open && !OPEN_PROCEDURES.contains(&nsid) {
            found.push(format!("{nsid} is a procedure open to anybody"));
        }
        let admin = nsid.contains(".admin.");
        if admin != (endpoint.access == Access::Admin)
            && name != "createInviteCode"
            && name != "createInviteCodes"
            && name != "revokeAccountCredentials"
        {
            found.push(format!("{nsid} needs {:?}", endpoint.access));
        }
        let private = nsid.starts_with("agent.memory.") || nsid.starts_with("agent.vault.");
        if private && !matches!(endpoint.access, Access::Vault | Access::AccountFull) {
            found.push(format!("{nsid} opens the vault to {:?}", endpoint.access));
        }
    }
    assert!(seen.len() > 20, "only {seen:?} are served");
    nothing(&found);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut found = Vec::new();
    for file in sources("") {
        let text = read(&file);
        let lines = text.lines().count();
        if lines > LINES_MAX && !is_generated(&text) {
            found.push(format!("{} has {lines} lines, more than {LINES_MAX}", file.display()));
        }
        if !text.starts_with("//!") && !text.starts_with("#![") && !file.ends_with("tests.rs") {
            found.push(format!("{} does not begin with what it is (//!)", file.display()));
        }
        if file.file_name().is_some_and(|name| name == "mod.rs") && file.starts_with("src") {
            found.push(format!("{} should be a file beside its folder", file.display()));
        }
    }
    nothing(&found);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    // Put together here, so that this file does not hold them.
    let paths =
        [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"], ["/Us", "ers/"]].map(|halves| halves.concat());
    let mut found = Vec::new();
    for file in files("") {
        let Ok(text) = fs::read_to_string(root().join(&file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for path in paths.iter().filter(|path| line.contains(path.as_str())) {
                found.push(format!("{}:{} has {path}", file.display(), number + 1));
            }
        }
    }
    nothing(&found);
}

#[test]
fn generated_code_is_current() {
    assert_eq!(codegen::stale(root()).unwrap(), <[PathBuf; 0]>::default(), "run `cargo run -p codegen`");
}

#[test]
fn every_dependency_has_a_reason() {
    let mut found = Vec::new();
    for file in files("").into_iter().filter(|file| file.ends_with("Cargo.toml")) {
        let mut in_dependencies = false;
        for (number, line) in read(&file).lines().enumerate() {
            if line.starts_with('[') {
                in_dependencies = line.trim_end_matches(']').ends_with("dependencies");
                continue;
            }
            let Some((name, value)) =
                line.split_once('=').filter(|_| in_dependencies && !line.starts_with('#'))
            else {
                continue;
            };
            // A workspace dependency has its reason at the workspace, a member is one.
            if !value.contains('#') && !name.contains(".workspace") && !value.contains("path =") {
                found.push(format!("{}:{} has no reason in a comment: {line}", file.display(), number + 1));
            }
        }
    }
    nothing(&found);
}

fn is_generated(text: &str) -> bool {
    text.lines()
        .take(5)
        .any(|line| line.contains("@generated") || line.to_lowercase().contains("generated by"))
}

#[test]
fn the_rules_name_rooms_that_are_there() {
    let there = floors::rooms();
    let ghosts: Vec<_> = HOST
        .iter()
        .chain(EDGE)
        .filter(|room| !there.contains(**room))
        .map(|room| format!("no {room}"))
        .collect();
    nothing(&ghosts);
}
