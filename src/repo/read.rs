//! Reading a repo: records, pages, proofs and blocks. Needs no writer; any connection serves.

use std::collections::HashSet;

use cid::Cid;
use repo_mst::{BlockStore, Tree, car};

use super::{Head, Nodes, RepoError, read_cid};
use crate::account::{ListRecords, ListedRecord, Record};
use crate::limits::{BLOCKS_BYTES_MAX, PAGE_BYTES_MAX};
use crate::store::{Sql, SqlError, Value, query_first};

/// One record by path, any version or this one.
///
/// # Errors
/// [`RepoError::Sql`].
pub fn record(sql: &dyn Sql, path: &str, only: Option<&str>) -> Result<Option<Record>, RepoError> {
    let found =
        query_first(sql, "SELECT cid, block FROM record WHERE path = ?", &[Value::Text(path)], |row| {
            Ok((row.blob(0)?.to_vec(), row.blob(1)?.to_vec()))
        })?;
    let Some((cid, block)) = found else { return Ok(None) };
    let cid = read_cid(&cid)?.to_string();
    Ok((only.is_none_or(|only| only == cid)).then(|| Record { cid, block: block.into() }))
}

/// One page of a collection; shorter than asked for when its records come to [`PAGE_BYTES_MAX`].
///
/// # Errors
/// [`RepoError::Sql`].
pub fn page(sql: &dyn Sql, wanted: &ListRecords) -> Result<Vec<ListedRecord>, RepoError> {
    let prefix = format!("{}/", wanted.collection);
    // '0' follows '/', so this is past every key of the collection.
    let end = format!("{}0", wanted.collection);
    let (statement, low, high) = match (&wanted.cursor, wanted.reverse) {
        (cursor, true) => (
            "SELECT path, cid, block FROM record WHERE path > ? AND path < ? ORDER BY path ASC LIMIT ?",
            cursor.as_ref().map_or_else(|| prefix.clone(), |cursor| format!("{prefix}{cursor}")),
            end,
        ),
        (cursor, false) => (
            "SELECT path, cid, block FROM record WHERE path > ? AND path < ? ORDER BY path DESC LIMIT ?",
            prefix.clone(),
            cursor.as_ref().map_or(end, |cursor| format!("{prefix}{cursor}")),
        ),
    };
    let params = [Value::Text(&low), Value::Text(&high), Value::Integer(i64::from(wanted.limit))];
    let (mut records, mut bytes) = (Vec::new(), 0);
    let read = sql.query(statement, &params, &mut |row| {
        if bytes >= PAGE_BYTES_MAX {
            return Err(SqlError::Other("the page is full".to_owned()));
        }
        let cid = Cid::read_bytes(row.blob(1)?)
            .map_err(|_| SqlError::Column { column: 1, expected: "a CID".into() })?;
        let block = row.blob(2)?;
        bytes += block.len();
        records.push(ListedRecord {
            rkey: row.text(0)?.get(prefix.len()..).unwrap_or_default().to_owned(),
            cid: cid.to_string(),
            block: block.to_vec().into(),
        });
        Ok(())
    });
    if bytes < PAGE_BYTES_MAX {
        read?;
    }
    Ok(records)
}

/// The collections that hold records, in order. One index probe a collection.
///
/// # Errors
/// [`RepoError::Sql`].
pub fn collections(sql: &dyn Sql) -> Result<Vec<String>, RepoError> {
    let mut found: Vec<String> = Vec::new();
    let mut after = String::new();
    loop {
        let statement = "SELECT path FROM record WHERE path >= ? ORDER BY path LIMIT 1";
        let next = query_first(sql, statement, &[Value::Text(&after)], |row| Ok(row.text(0)?.to_owned()))?;
        let Some(path) = next else { return Ok(found) };
        let collection = path.split('/').next().unwrap_or_default();
        after = format!("{collection}0");
        found.push(collection.to_owned());
    }
}

/// A CAR that proves a path to hold its record, or to hold none: the commit, the nodes to it, the record.
///
/// # Errors
/// [`RepoError`]; [`RepoError::Damaged`] when there is no commit.
pub fn record_proof(sql: &dyn Sql, path: &str) -> Result<Vec<u8>, RepoError> {
    let mut bytes = commit_car(sql)?;
    let head = Head::read(sql)?.ok_or_else(|| RepoError::Damaged("no commit".to_owned()))?;
    let tree = Tree::open(&head.data)?;
    for (cid, block) in tree.proof(&Nodes(sql), [path])? {
        car::write_block(&mut bytes, &cid, &block);
    }
    let statement = "SELECT cid, block FROM record WHERE path = ?";
    sql.query(statement, &[Value::Text(path)], &mut |row| {
        let cid = Cid::read_bytes(row.blob(0)?)
            .map_err(|_| SqlError::Column { column: 0, expected: "a CID".into() })?;
        car::write_block(&mut bytes, &cid, row.blob(1)?);
        Ok(())
    })?;
    Ok(bytes)
}

/// A CAR of these blocks, each once, rooted nowhere.
///
/// # Errors
/// [`RepoError::BlockNotFound`] for the first that is not there, [`RepoError::TooMuch`] when they come to
/// [`BLOCKS_BYTES_MAX`].
pub fn blocks(sql: &dyn Sql, cids: &[String]) -> Result<Vec<u8>, RepoError> {
    let mut bytes = car::header(&[]);
    let mut given = HashSet::new();
    for text in cids {
        let cid = Cid::try_from(text.as_str()).map_err(|_| RepoError::BlockNotFound(text.clone()))?;
        if !given.insert(cid) {
            continue;
        }
        let block = block(sql, &cid)?.ok_or_else(|| RepoError::BlockNotFound(text.clone()))?;
        car::write_block(&mut bytes, &cid, &block);
        if bytes.len() > BLOCKS_BYTES_MAX {
            return Err(RepoError::TooMuch(BLOCKS_BYTES_MAX));
        }
    }
    Ok(bytes)
}

fn block(sql: &dyn Sql, cid: &Cid) -> Result<Option<Vec<u8>>, RepoError> {
    if let Some(node) = Nodes(sql).read_block(cid).map_err(|error| RepoError::Damaged(error.to_string()))? {
        return Ok(Some(node.to_vec()));
    }
    let key = cid.to_bytes();
    let read = |row: &dyn crate::store::Row| Ok(row.blob(0)?.to_vec());
    for statement in
        ["SELECT block FROM record WHERE cid = ? LIMIT 1", "SELECT block FROM head WHERE commit_cid = ?"]
    {
        if let Some(block) = query_first(sql, statement, &[Value::Blob(&key)], read)? {
            return Ok(Some(block));
        }
    }
    Ok(None)
}

/// The newest commit as the only block of a CAR.
///
/// # Errors
/// [`RepoError::Damaged`] when there is none.
pub fn commit_car(sql: &dyn Sql) -> Result<Vec<u8>, RepoError> {
    let found = query_first(sql, "SELECT commit_cid, block FROM head WHERE id = 1", &[], |row| {
        Ok((row.blob(0)?.to_vec(), row.blob(1)?.to_vec()))
    })?;
    let (cid, block) = found.ok_or_else(|| RepoError::Damaged("no commit".to_owned()))?;
    let cid = read_cid(&cid)?;
    let mut bytes = car::header(&[cid]);
    car::write_block(&mut bytes, &cid, &block);
    Ok(bytes)
}
