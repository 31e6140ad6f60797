//! Which room of the house may import which. A room is a module at the top of the crate; rooms stand on floors, and a
//! room imports from the floors below it. Rooms on one floor are strangers, but for those named beside a room.
//!
//! Read are all paths that begin with `crate::`, with `zap::` in the binary, or with enough `super::` to reach the
//! crate, in code that is no test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::source::{balanced, bare, is_word, nothing, read, room, sources, without_tests};

/// A room, and the rooms on its own floor that it may import.
type Room = (&'static str, &'static [&'static str]);

/// From the ground up.
const FLOORS: &[&[Room]] = &[
    // The ground: bounds, how often something may be done, and the form of typed messages.
    &[("limits", &[]), ("rate_limit", &[]), ("seam", &[])],
    // The protocol, without a server; the port to a database.
    &[
        ("syntax", &[]),
        ("data_model", &[]),
        ("crypto", &[]),
        ("store", &[]),
        ("actor", &["syntax"]),
        ("lexicon", &["data_model", "syntax"]),
        ("identity", &["crypto", "data_model", "syntax"]),
        ("event", &["crypto", "data_model", "syntax"]),
        ("mail", &["syntax"]),
        ("oauth", &["crypto", "syntax"]),
    ],
    // What a cell's command comes with, and how its effects leave.
    &[("vault", &[]), ("env", &["vault"]), ("archive", &["vault"]), ("outbox", &[])],
    &[("work", &[]), ("blobs", &[])],
    // The domains of an account: pure, each over its own tables, each with its commands.
    &[("repo", &[])],
    &[("memory", &[]), ("moving", &["preferences"]), ("preferences", &[])],
    // The cells. What one has to do with another goes through the host.
    &[("account", &[]), ("directory", &[]), ("sequencer", &[]), ("plc", &[])],
    // The port to the host, and where calls to strangers may go.
    &[("host", &[]), ("outbound", &["host"])],
    // Who calls and what for; what is set.
    &[("auth", &[]), ("config", &[])],
    // What the network does over several cells.
    &[("app", &[])],
    // The doors. What is at which path, of both, is said in one place.
    &[("web", &[]), ("xrpc", &["web"])],
    // The hosts.
    &[("native", &[]), ("worker", &[])],
    // The command, which belongs to the binary alone; cells driven by tests.
    &[("cli", &[]), ("main", &["cli"]), ("testing", &[])],
];

/// Imports that climb today: from, to, why. To be emptied, not to be filled.
#[rustfmt::skip]
const KEPT: &[(&str, &str, &str)] = &[
];

/// One room names another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Import {
    from: String,
    to: String,
    file: PathBuf,
    line: usize,
}

impl fmt::Display for Import {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, file, line } = self;
        write!(out, "{}:{line}: {from} imports {to}", file.display())
    }
}

#[test]
fn no_room_imports_from_a_floor_above() {
    nothing(&climbing(FLOORS, &unkept()));
}

#[test]
fn no_rooms_import_each_other_in_a_circle() {
    nothing(&circles(&unkept()));
}

#[test]
fn the_table_of_floors_names_the_rooms_there_are() {
    let mut found = Vec::new();
    let there = rooms();
    let mut named = BTreeSet::new();
    for (name, beside) in FLOORS.iter().copied().flatten() {
        if !named.insert((*name).to_owned()) {
            found.push(format!("FLOORS names {name} twice"));
        }
        for neighbour in *beside {
            if floor(FLOORS, neighbour) != floor(FLOORS, name) {
                found.push(format!("FLOORS: {neighbour} is not on the floor of {name}"));
            }
        }
    }
    found.extend(there.difference(&named).map(|name| format!("FLOORS has no room {name}: give it a floor")));
    found
        .extend(named.difference(&there).map(|name| format!("FLOORS names {name}, which is not under src/")));
    let imports = imports_of_all();
    for (from, to, _) in KEPT {
        if !imports.iter().any(|import| import.from == *from && import.to == *to) {
            found.push(format!("KEPT names {from} -> {to}, which nothing imports any more: take it out"));
        }
    }
    nothing(&found);
}

/// The modules at the top of the library and of the binary.
pub(crate) fn rooms() -> BTreeSet<String> {
    sources("src").iter().map(|file| room(file)).filter(|room| room != "lib").collect()
}

fn unkept() -> Vec<Import> {
    let is_kept = |import: &Import| KEPT.iter().any(|(from, to, _)| import.from == *from && import.to == *to);
    imports_of_all().into_iter().filter(|import| !is_kept(import)).collect()
}

fn imports_of_all() -> Vec<Import> {
    let mut found = Vec::new();
    let mut macros = BTreeMap::new();
    for file in sources("src").into_iter().filter(|file| !is_for_tests(file) && room(file) != "lib") {
        let code = without_tests(&bare(&read(&file)));
        for (at, _) in code.match_indices("macro_rules! ") {
            macros.insert(word(&code[at + "macro_rules! ".len()..]).to_owned(), room(&file));
        }
        found.extend(imports(&file, &code));
    }
    // An exported macro stands at the top of the crate, whatever room it was made in.
    for import in &mut found {
        if let Some(home) = import.to.strip_suffix('!').and_then(|name| macros.get(name)) {
            import.to.clone_from(home);
        }
    }
    found.retain(|import| import.from != import.to);
    found
}

fn is_for_tests(file: &Path) -> bool {
    let is_tests = file.components().any(|part| part.as_os_str() == "tests");
    is_tests || file.ends_with("tests.rs") || file.ends_with("testing.rs")
}

/// What the code of a file names at the top of the crate; macros with their `!`.
fn imports(file: &Path, code: &str) -> Vec<Import> {
    let from = room(file);
    let mut tops = vec!["crate".to_owned(), vec!["super"; file.components().count() - 1].join("::")];
    if ["cli", "main"].contains(&from.as_str()) {
        tops.push("zap".to_owned());
    }
    let mut found = Vec::new();
    for top in &tops {
        for (at, _) in code.match_indices(top.as_str()) {
            let before = code[..at].chars().next_back();
            let rest = code[at + top.len()..].trim_start();
            let Some(rest) = rest.strip_prefix("::").map(str::trim_start) else { continue };
            if before.is_some_and(|char| is_word(char) || char == ':') {
                continue;
            }
            for name in first_names(rest) {
                let line = 1 + code[..code.len() - name.len()].matches('\n').count();
                let to =
                    word(name).to_owned() + if name[word(name).len()..].starts_with('!') { "!" } else { "" };
                if to != "self" {
                    found.push(Import { from: from.clone(), to, file: file.to_owned(), line });
                }
            }
        }
    }
    found.sort_by_key(|import| import.line);
    found
}

/// The code from each first name of a path on: one name, or those of a group in braces.
fn first_names(path: &str) -> Vec<&str> {
    if !path.starts_with('{') {
        return vec![path];
    }
    let end = balanced(path) - 1;
    let mut found = Vec::new();
    let mut depth = 0;
    let mut awaited = false;
    for (at, char) in path[..end].char_indices() {
        match char {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 1 && matches!(char, '{' | ',') {
            awaited = true;
        } else if awaited && !char.is_whitespace() {
            found.push(&path[at..]);
            awaited = false;
        }
    }
    found
}

fn word(code: &str) -> &str {
    &code[..code.find(|char| !is_word(char)).unwrap_or(code.len())]
}

fn floor(floors: &[&[Room]], name: &str) -> Option<usize> {
    floors.iter().position(|floor| floor.iter().any(|(room, _)| *room == name))
}

/// The imports that lead up, or to a stranger next door, or nowhere.
fn climbing(floors: &[&[Room]], imports: &[Import]) -> Vec<String> {
    let mut found = Vec::new();
    for import in imports {
        // A room without a floor is the finding of another test.
        let Some(from) = floor(floors, &import.from) else { continue };
        let rooms = floors[from].iter();
        let is_beside = |(_, beside): &Room| beside.contains(&import.to.as_str());
        let may = rooms.filter(|(name, _)| *name == import.from).any(is_beside);
        match floor(floors, &import.to) {
            None => found.push(format!("{import}, which is no room")),
            Some(to) if to > from => found.push(format!("{import}, from floor {from} up to floor {to}")),
            Some(to) if to == from && !may => {
                found.push(format!("{import}, a stranger on its own floor {from}"));
            }
            Some(_) => {}
        }
    }
    found
}

/// Every pair of rooms one of which imports the other and is reached from there again, with the way.
fn circles(imports: &[Import]) -> Vec<String> {
    let mut edges: BTreeMap<(&str, &str), &Import> = BTreeMap::new();
    for import in imports {
        edges.entry((&import.from, &import.to)).or_insert(import);
    }
    let mut found = Vec::new();
    for import in edges.values() {
        if let Some(way) = way(&edges, &import.to, &import.from) {
            let steps: Vec<_> = way.iter().map(|step| format!("    {step}")).collect();
            found.push(format!("{import}, and that leads back:\n{}", steps.join("\n")));
        }
    }
    found
}

/// The shortest way from one room to another, by imports.
fn way<'a>(
    edges: &BTreeMap<(&'a str, &'a str), &'a Import>,
    start: &'a str,
    end: &str,
) -> Option<Vec<&'a Import>> {
    let mut reached = BTreeSet::from([start]);
    let mut ways = vec![(start, Vec::new())];
    while !ways.is_empty() {
        let mut next = Vec::new();
        for (at, way) in ways {
            if at == end {
                return Some(way);
            }
            for ((_, to), import) in edges.iter().filter(|((from, _), _)| *from == at) {
                if reached.insert(to) {
                    next.push((*to, [way.as_slice(), &[*import]].concat()));
                }
            }
        }
        ways = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<(String, usize)> {
        let imports = imports(Path::new(file), &without_tests(&bare(text)));
        imports.into_iter().map(|import| (import.to, import.line)).collect()
    }

    fn import(from: &str, to: &str) -> Import {
        Import { from: from.to_owned(), to: to.to_owned(), file: PathBuf::from("src").join(from), line: 1 }
    }

    #[test]
    fn paths_and_groups_are_read() {
        let text = "use crate::vault;\nuse crate::{\n    account::{self, Write, read::{a, b}},\n    env,\n};\n\
            pub(in crate::xrpc) fn f(x: crate::syntax::Did) {}\n$crate::seam!();\n";
        let names: Vec<_> = found("src/repo/plan.rs", text);
        let expected = [("vault", 1), ("account", 3), ("env", 4), ("xrpc", 6), ("syntax", 6), ("seam!", 7)];
        assert_eq!(names, expected.map(|(name, line)| (name.to_owned(), line)));
    }

    #[test]
    fn what_is_no_import_is_not_read() {
        let text = "//! [`crate::account`]\nlet a = \"crate::account\";\nuse my_crate::x;\nuse harness::zap::y;\n\
            #[cfg(test)]\nmod tests { use crate::account; }\nuse super::Row;\n";
        assert_eq!(found("src/repo/plan.rs", text), []);
    }

    #[test]
    fn the_way_over_super_and_over_the_library_is_read() {
        assert_eq!(found("src/repo.rs", "use super::account;"), [("account".to_owned(), 1)]);
        assert_eq!(found("src/repo/plan.rs", "super::super::account::x();"), [("account".to_owned(), 1)]);
        assert_eq!(found("src/cli/out.rs", "use zap::{xrpc, host};").len(), 2);
        assert_eq!(found("src/repo/plan.rs", "use zap::xrpc;"), []);
    }

    #[test]
    fn climbing_imports_are_found() {
        let floors: &[&[Room]] =
            &[&[("limits", &[])], &[("repo", &[]), ("memory", &["repo"])], &[("account", &[])]];
        let file = Path::new("src/repo/plan.rs");
        let text = "use crate::limits::A;\nuse crate::{memory, account::{Write}, gone};";
        let found = climbing(floors, &imports(file, text));
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "src/repo/plan.rs:2: repo imports memory, a stranger on its own floor 1");
        assert_eq!(found[1], "src/repo/plan.rs:2: repo imports account, from floor 1 up to floor 2");
        assert_eq!(found[2], "src/repo/plan.rs:2: repo imports gone, which is no room");
        assert_eq!(climbing(floors, &[import("memory", "repo"), import("account", "memory")]), [""; 0]);
    }

    #[test]
    fn circles_are_found_with_the_way_back() {
        let found = circles(&[import("a", "b"), import("b", "c"), import("c", "a"), import("a", "d")]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("src/b:1: b imports c\n    src/c:1: c imports a"), "{}", found[0]);
        assert_eq!(circles(&[import("a", "b"), import("a", "c"), import("b", "c")]), [""; 0]);
    }
}
