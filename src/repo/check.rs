//! Whether a repo in a database is whole: every block has the hash of its CID, the tree names the records that are there
//! and no others, and the commit is over that tree.
//!
//! Reads all there is and goes on past what it can't read, so that one sees everything at once.

use std::collections::BTreeMap;

use cid::Cid;
use repo_mst::commit::Commit;
use repo_mst::{Walk, verify_tree};

use super::{Head, Nodes, verified};
use crate::store::{Sql, query_first};
use crate::syntax::Did;

/// Findings kept of one repo: a database in pieces has one for each record, and the first say it all.
const FINDINGS_MAX: usize = 100;

/// What a check came to.
#[derive(Debug, Default)]
pub struct Checked {
    /// The newest commit, where it can be read.
    pub head: Option<Head>,
    /// Nodes that were read.
    pub nodes: u64,
    /// Records that were read.
    pub records: u64,
    /// Blobs that were read; none here, where only their host can.
    pub blobs: u64,
    /// What is wrong, for people; the first [`FINDINGS_MAX`].
    pub findings: Vec<String>,
}

impl Checked {
    /// Notes what is wrong.
    pub fn found(&mut self, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what);
        }
    }
}

/// Checks the repo of `did`.
pub fn check(sql: &dyn Sql, did: &Did) -> Checked {
    let mut checked = Checked::default();
    let data = check_commit(sql, did, &mut checked);
    let nodes =
        check_blocks(sql, "SELECT cid, block, 'a node' FROM node ORDER BY id", &mut checked, &mut |_, _| {});
    checked.nodes = nodes;
    let mut records = BTreeMap::new();
    let statement = "SELECT cid, block, path FROM record ORDER BY path";
    checked.records = check_blocks(sql, statement, &mut checked, &mut |path, cid| {
        records.insert(path.to_owned(), cid);
    });
    if let Some(data) = data {
        check_tree(sql, &data, records, &mut checked);
    }
    checked
}

/// The root of the tree that the commit is over, where that can be read.
fn check_commit(sql: &dyn Sql, did: &Did, checked: &mut Checked) -> Option<Cid> {
    let head = match Head::read(sql) {
        Ok(Some(head)) => head,
        Ok(None) => {
            checked.found("there is no commit".to_owned());
            return None;
        }
        Err(error) => {
            checked.found(format!("the commit can't be read: {error}"));
            return None;
        }
    };
    let block = query_first(sql, "SELECT block FROM head WHERE id = 1", &[], |row| Ok(row.blob(0)?.to_vec()));
    match block {
        Ok(block) => {
            let block = block.unwrap_or_default();
            if let Err(error) = verified(sql, &head.commit.to_bytes(), &block) {
                checked.found(format!("the commit: {error}"));
            }
            match Commit::decode(&block) {
                Ok(commit) if commit.did != did.as_str() => {
                    checked.found(format!("the commit is of {}", commit.did));
                }
                Ok(commit) if commit.data != head.data || commit.rev != head.rev.as_str() => {
                    checked.found("the commit is over another tree or rev than the head".to_owned());
                }
                Ok(_) => {}
                Err(error) => checked.found(format!("the commit: {error}")),
            }
        }
        Err(error) => checked.found(format!("the commit can't be read: {error}")),
    }
    let data = head.data;
    checked.head = Some(head);
    Some(data)
}

/// Holds blocks against their CIDs; hands `each` those that are whole, with the third column; answers how many were read.
fn check_blocks(
    sql: &dyn Sql,
    statement: &str,
    checked: &mut Checked,
    each: &mut dyn FnMut(&str, Cid),
) -> u64 {
    let mut count = 0;
    let outcome = sql.query(statement, &[], &mut |row| {
        count += 1;
        let name = row.text(2)?;
        match verified(sql, row.blob(0)?, row.blob(1)?) {
            Ok(cid) => each(name, cid),
            Err(error) => checked.found(format!("{name}: {error}")),
        }
        Ok(())
    });
    if let Err(error) = outcome {
        checked.found(format!("after {count} rows, the rest can't be read: {error}"));
    }
    count
}

fn check_tree(sql: &dyn Sql, data: &Cid, mut records: BTreeMap<String, Cid>, checked: &mut Checked) {
    let nodes = Nodes(sql);
    let walked = verify_tree(&nodes, data).and_then(|stats| Ok((stats, Walk::new(&nodes, data)?)));
    let (stats, walk) = match walked {
        Ok(walked) => walked,
        Err(error) => return checked.found(format!("the tree: {error}")),
    };
    if stats.nodes != checked.nodes {
        checked.found(format!("the tree has {} nodes, and {} are there", stats.nodes, checked.nodes));
    }
    for item in walk.records() {
        match item {
            Ok((path, cid)) => match records.remove(&*path) {
                Some(found) if found == cid => {}
                Some(found) => checked.found(format!("{path}: the tree has {cid}, the record is {found}")),
                None => checked.found(format!("{path}: the tree has it, and no whole record is there")),
            },
            Err(error) => return checked.found(format!("the tree: {error}")),
        }
    }
    for path in records.into_keys() {
        checked.found(format!("{path}: a record that the tree does not have"));
    }
}
