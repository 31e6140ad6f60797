//! The house rules that a test can see. What breaks here is not the program but the house: the sans-IO core, the
//! size of files, the order of migrations, the reasons of dependencies.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use zap::auth::Access;

/// Longest source file, generated ones aside.
const LINES_MAX: usize = 500;

/// Folders that are nobody's source.
const IGNORED: &[&str] = &["target", "node_modules", "corpus", "artifacts", ".git", "data"];

/// Modules that touch the world.
const HOST: &[&str] = &["native", "worker", "cli", "main", "config"];

/// Modules that wait for cells and other servers, through `dyn Host`: async, but without IO of their own.
const EDGE: &[&str] = &["host", "xrpc"];

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
    for file in sources("src")
        .into_iter()
        .filter(|file| !["native", "worker", "lib"].contains(&module(file).as_str()))
    {
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
        let module = module(&file);
        if HOST.contains(&module.as_str()) {
            continue;
        }
        let waits: &[&str] =
            if EDGE.contains(&module.as_str()) { &[] } else { &["async fn", "async move", ".await"] };
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

/// Procedures without a token, because they are how one comes by it, or because the input holds a password.
const OPEN_PROCEDURES: &[&str] = &[
    "com.atproto.server.createAccount",
    "com.atproto.server.createSession",
    "com.atproto.server.deleteAccount",
    "com.atproto.server.requestPasswordReset",
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
        let open = matches!(endpoint.access, Access::Public | Access::Optional);
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
fn migrations_are_numbered_without_gaps() {
    let mut found = Vec::new();
    for folder in fs::read_dir(root().join("migrations")).unwrap() {
        let folder = folder.unwrap().path();
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        for (index, name) in names.iter().enumerate() {
            if !name.starts_with(&format!("{:04}_", index + 1)) || !name.ends_with(".sql") {
                found.push(format!("{}: {name} is not number {:04}", folder.display(), index + 1));
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

fn nothing(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// All files under `folder`, their paths relative to the root.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_symlink() || IGNORED.contains(&name) || name.starts_with("target-") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root()).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    found
}

/// All Rust files under `folder`.
fn sources(folder: &str) -> Vec<PathBuf> {
    files(folder)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The module at the top of the crate that a file belongs to: `vault` of `src/vault/seal.rs` and of `src/vault.rs`.
fn module(file: &Path) -> String {
    let name = file.components().nth(1).unwrap().as_os_str().to_str().unwrap();
    name.trim_end_matches(".rs").to_owned()
}

/// The numbered lines of a file that are code and no test.
fn code(file: &Path) -> Vec<(usize, String)> {
    if file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests") {
        return Vec::new();
    }
    let text = read(file);
    let until_tests = text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    until_tests
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default().to_owned()))
        .filter(|(_, line)| !line.trim().is_empty())
        .collect()
}

/// Whether the line holds the word, and not as the tail of a longer one.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        word.starts_with('.') || !before.is_some_and(|char| char.is_alphanumeric() || char == '_')
    })
}

fn is_generated(text: &str) -> bool {
    text.lines()
        .take(5)
        .any(|line| line.contains("@generated") || line.to_lowercase().contains("generated by"))
}

#[test]
fn words_are_found_as_words() {
    assert!(names("let now = Instant::now();", "Instant::now"));
    assert!(names("use rand::Rng;", "rand::"));
    assert!(!names("use operand::Rng;", "rand::"));
    assert!(names("call().await", ".await"));
    assert_eq!(module(Path::new("src/vault/seal.rs")), "vault");
    assert_eq!(module(Path::new("src/vault.rs")), "vault");
}
