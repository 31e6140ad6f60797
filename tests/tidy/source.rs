//! Files, and what of them is code: without comments, without the contents of literals, without tests.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are nobody's source.
const IGNORED: &[&str] = &[
    "target",
    "node_modules",
    "corpus",
    "artifacts",
    ".git",
    "data",
    "build-dev",
    "build-testing",
    ".wrangler",
];

/// What is built of the Worker, perhaps just now.
const BUILT: &str = "worker/build";

pub(crate) fn nothing(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// All files under `folder`, their paths relative to the root.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_built = path == root().join(BUILT);
            if path.is_symlink() || is_built || IGNORED.contains(&name) || name.starts_with("target-") {
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
pub(crate) fn sources(folder: &str) -> Vec<PathBuf> {
    files(folder)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The module at the top of the crate that a file belongs to: `vault` of `src/vault/seal.rs` and of `src/vault.rs`.
pub(crate) fn room(file: &Path) -> String {
    let name = file.components().nth(1).unwrap().as_os_str().to_str().unwrap();
    name.trim_end_matches(".rs").to_owned()
}

/// The numbered lines of a file that are code and no test.
pub(crate) fn code(file: &Path) -> Vec<(usize, String)> {
    if file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests") {
        return Vec::new();
    }
    let text = without_tests(&bare(&read(file)));
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| (index + 1, line.to_owned())).collect()
}

/// The text with spaces for comments and literals; lines stay where they are.
pub(crate) fn bare(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        match blank_end(&chars, at) {
            Some(end) => {
                out.extend(chars[at..end].iter().map(|char| if *char == '\n' { '\n' } else { ' ' }));
                at = end;
            }
            None => {
                out.push(chars[at]);
                at += 1;
            }
        }
    }
    out
}

/// Where the comment or the literal ends that begins at `at`, when one does.
fn blank_end(chars: &[char], at: usize) -> Option<usize> {
    let rest = &chars[at..];
    let length = match rest {
        ['/', '/', ..] => rest.iter().position(|char| *char == '\n')?,
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, '"'),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
        ['r', '"' | '#', ..] if !goes_on_word(chars, at) => raw_string(rest)?,
        _ => return None,
    };
    Some((at + length).min(chars.len()))
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_string(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|char| **char == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let start = hashes + 2;
    let ends = |window: &[char]| window[0] == '"' && window[1..].iter().all(|char| *char == '#');
    Some(start + rest[start..].windows(1 + hashes).position(ends)? + 1 + hashes)
}

/// Whether the letter at `at` is inside a word; `b` and `c` before a raw string are no word.
fn goes_on_word(chars: &[char], at: usize) -> bool {
    match chars[..at] {
        [.., before, 'b' | 'c'] => is_word(before),
        [.., before] => is_word(before),
        [] => false,
    }
}

pub(crate) fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// [`bare`] code with spaces for every item under `#[cfg(test)]` or `#[cfg(any(test, ...))]`.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(start) = out[from..].find("#[cfg(").map(|at| from + at) {
        let attribute = start + balanced(&out[start + 1..]) + 1;
        let condition = &out[start..attribute];
        if names(condition, "test") && !condition.contains("not(") {
            let end = item_end(&out, attribute);
            let blank: String =
                out[start..end].chars().map(|char| if char == '\n' { '\n' } else { ' ' }).collect();
            out.replace_range(start..end, &blank);
        }
        from = attribute.min(out.len());
        while !out.is_char_boundary(from) {
            from += 1;
        }
    }
    out
}

/// Where the item ends that begins at `from`, with further attributes of its own before it.
fn item_end(code: &str, mut from: usize) -> usize {
    loop {
        from += code[from..].len() - code[from..].trim_start().len();
        if !code[from..].starts_with("#[") {
            break;
        }
        from += 1 + balanced(&code[from + 1..]);
    }
    while let Some(char) = code[from..].chars().next() {
        match char {
            ';' => return from + 1,
            '{' => return from + balanced(&code[from..]),
            '(' | '[' => from += balanced(&code[from..]),
            _ => from += char.len_utf8(),
        }
    }
    from
}

/// The length of the text from its opening bracket to the one that closes it.
pub(crate) fn balanced(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, char) in text.char_indices() {
        match char {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + char.len_utf8();
        }
    }
    text.len()
}

/// Whether the line holds the word, and not as the tail of a longer one.
pub(crate) fn names(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| word.starts_with('.') || !line[..at].chars().next_back().is_some_and(is_word))
}

#[test]
fn words_are_found_as_words() {
    assert!(names("let now = Instant::now();", "Instant::now"));
    assert!(names("use rand::Rng;", "rand::"));
    assert!(!names("use operand::Rng;", "rand::"));
    assert!(names("call().await", ".await"));
    assert_eq!(room(Path::new("src/vault/seal.rs")), "vault");
    assert_eq!(room(Path::new("src/vault.rs")), "vault");
}

#[test]
fn comments_and_literals_are_no_code() {
    let text =
        "a // crate::x\nb /* /* \n */ crate::x */ c \"\\\"crate::x\" d '\"' e 'f' &'g h br#\"\"x\"\"# i";
    let kept: Vec<_> = bare(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(kept, ["a", "b", "c", "d", "e", "&'g", "h", "b", "i"]);
    assert_eq!(bare(text).lines().count(), text.lines().count());
}

#[test]
fn what_follows_a_test_module_is_code_again() {
    let text = "#[cfg(test)]\nmod tests;\none();\n#[cfg(any(test, feature = \"x\"))]\n#[allow(y)]\n\
        fn two(a: [u8; 2]) { { } }\n#[cfg(not(test))]\nthree();\n#[cfg(unix)] four();";
    let kept = without_tests(&bare(text));
    for (word, stays) in [("tests", false), ("one", true), ("two", false), ("three", true), ("four", true)] {
        assert_eq!(kept.contains(word), stays, "{word}: {kept}");
    }
    assert_eq!(kept.lines().count(), text.lines().count());
}
