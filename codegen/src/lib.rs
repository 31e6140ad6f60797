//! Lexicons to Rust types and a reference page.
//!
//! Reads `lexicons/`, writes `src/lexicon/generated*` and `docs/lexicons.md`. The output is checked in; a test calls
//! [`stale`] to keep it current. What is generated are shapes and words only: constraints are interpreted at runtime
//! from the same documents, which the generated code embeds, so they exist once.
//!
//! Invariants: the output depends on nothing but the documents and `rustfmt`; a name is the same in the lexicon, the
//! type and the page.

mod names;
mod page;
mod rust;
#[path = "../../src/lexicon/schema.rs"]
#[allow(dead_code, unreachable_pub, reason = "the model is shared; this side does not use all of it")]
mod schema;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use schema::Document;

/// Where generated Rust goes: this file and the folder beside it.
const GENERATED: &str = "src/lexicon/generated";
/// The reference page.
const PAGE: &str = "docs/lexicons.md";

/// Everything that is generated, by its path relative to the root of the workspace.
pub fn generate(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let documents = read_documents(&root.join("lexicons"))?;
    let mut files = BTreeMap::new();
    for (path, code) in rust::files(&documents)? {
        let path = PathBuf::from(path);
        let code = rustfmt(root, &code).with_context(|| format!("format {}", path.display()))?;
        files.insert(path, code);
    }
    files.insert(PathBuf::from(PAGE), page::page(&documents)?);
    Ok(files)
}

/// The files that are not as they would be generated now, those that should not be there included.
pub fn stale(root: &Path) -> Result<Vec<PathBuf>> {
    let files = generate(root)?;
    let mut stale: Vec<PathBuf> = files
        .iter()
        .filter(|(path, text)| fs::read_to_string(root.join(path)).ok().as_ref() != Some(*text))
        .map(|(path, _)| path.clone())
        .collect();
    stale.extend(leftovers(root, &files)?);
    Ok(stale)
}

/// Writes what is generated and removes what no longer is.
pub fn write(root: &Path) -> Result<()> {
    let files = generate(root)?;
    for (path, text) in &files {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    for path in leftovers(root, &files)? {
        fs::remove_file(root.join(path))?;
    }
    Ok(())
}

/// Files in the generated folder that nothing generates.
fn leftovers(root: &Path, files: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>> {
    let folder = root.join(GENERATED);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for path in files_below(&folder)? {
        let path = path.strip_prefix(root)?.to_owned();
        if !files.contains_key(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The documents with their paths below `lexicons/`, by NSID. A path must be what the NSID says.
fn read_documents(folder: &Path) -> Result<BTreeMap<String, Document>> {
    let mut documents = BTreeMap::new();
    for path in files_below(folder)? {
        let json = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let document: Document =
            serde_json::from_str(&json).with_context(|| format!("parse {}", path.display()))?;
        let expected = folder.join(document.id.replace('.', "/")).with_extension("json");
        ensure!(path == expected, "{} holds {}", path.display(), document.id);
        documents.insert(document.id.clone(), document);
    }
    ensure!(!documents.is_empty(), "no lexicons in {}", folder.display());
    Ok(documents)
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn rustfmt(root: &Path, code: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start rustfmt")?;
    child.stdin.take().context("reach rustfmt")?.write_all(code.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt refused:\n{code}");
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_current_and_within_the_file_limit() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(stale(root).unwrap(), Vec::<PathBuf>::new(), "run `cargo run -p codegen`");
        for (path, text) in generate(root).unwrap() {
            if path.extension().is_some_and(|e| e == "rs") {
                assert!(text.lines().count() <= 500, "{} is too long", path.display());
            }
        }
    }
}
