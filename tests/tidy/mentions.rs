//! What the documents name is there: files, folders, rooms.

use std::path::{Path, PathBuf};

use crate::floors::rooms;
use crate::source::{files, is_word, nothing, read, root};

#[test]
fn files_and_folders_that_documents_name_are_there() {
    let mut found = Vec::new();
    for document in documents() {
        let text = read(&document);
        for (number, line) in text.lines().enumerate() {
            for path in line.split('`').skip(1).step_by(2).filter(|quoted| is_path(quoted)) {
                // The map of the code names what is in src/ without it.
                let places = [root().join(path), root().join("src").join(path)];
                let places = if document.ends_with("lib.rs") { &places[..] } else { &places[..1] };
                if !places.iter().any(|place| place.exists()) {
                    found.push(format!("{}:{}: there is no {path}", document.display(), number + 1));
                }
            }
        }
    }
    nothing(&found);
}

#[test]
fn rooms_that_documents_link_to_are_there_and_the_map_has_all() {
    let there = rooms();
    let mut found = Vec::new();
    let mut map = Vec::new();
    for document in documents() {
        for (number, line) in read(&document).lines().enumerate() {
            for name in links(line) {
                if !there.contains(name) {
                    found.push(format!("{}:{}: there is no room {name}", document.display(), number + 1));
                }
            }
            if document.ends_with("lib.rs") && line.starts_with("//! | ") {
                map.extend(links(line).iter().map(|name| (*name).to_owned()));
                let quoted = line.split('`').skip(1).step_by(2);
                map.extend(quoted.map(|name| name.trim_end_matches('/').trim_end_matches(".rs").to_owned()));
            }
        }
    }
    found.extend(
        there
            .iter()
            .filter(|room| !map.contains(room))
            .map(|room| format!("src/lib.rs has no {room} in its map")),
    );
    nothing(&found);
}

/// What breaks: a token that follows the documents is read by all users of the machine in the list of processes.
#[test]
fn no_example_gives_curl_a_token_as_an_argument() {
    let printed = files("src/cli").into_iter().chain(["src/cli.rs".into()]);
    let mut found = Vec::new();
    for file in documents().into_iter().chain(printed) {
        for (number, line) in read(&file).lines().enumerate() {
            let arguments = line.split_once("curl ").map_or("", |(_, arguments)| arguments);
            if arguments.contains("Bearer") || arguments.contains("admin:") {
                found.push(format!("{}:{}: curl reads headers by -H @-", file.display(), number + 1));
            }
        }
    }
    nothing(&found);
}

/// Documents that describe the code.
fn documents() -> Vec<PathBuf> {
    let in_docs = files("docs").into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "md"));
    ["README.md", "CONTRIBUTING.md", "src/lib.rs"].map(PathBuf::from).into_iter().chain(in_docs).collect()
}

/// Whether what stands between backticks is a path of the repository: a folder, a Rust file, or anything in `src/`.
fn is_path(quoted: &str) -> bool {
    let is_file = |char: char| is_word(char) || matches!(char, '/' | '.' | '-');
    !quoted.starts_with('/')
        && quoted.chars().all(is_file)
        && (quoted.starts_with("src/")
            || quoted.ends_with('/')
            || Path::new(quoted).extension().is_some_and(|kind| kind == "rs"))
}

/// The modules that a line links to, as rustdoc has it: [`vault`], [`mod@seam`].
fn links(line: &str) -> Vec<&str> {
    let parts = line.split("[`").skip(1).filter_map(|rest| rest.split_once("`]"));
    let names = parts.map(|(name, _)| name.trim_start_matches("mod@"));
    names.filter(|name| name.chars().all(|char| char.is_lowercase() || char == '_')).collect()
}

#[test]
fn paths_and_links_are_told_from_other_words() {
    for (quoted, expected) in [
        ("src/vault.rs", true),
        ("native/", true),
        ("main.rs", true),
        ("/xrpc/", false),
        ("zap serve", false),
    ] {
        assert_eq!(is_path(quoted), expected, "{quoted}");
    }
    assert_eq!(links("at [`xrpc`] and ([`mod@seam`]), not [`Sql`] or [text](there)"), ["xrpc", "seam"]);
}
