//! Reading a repo: records, pages, proofs and blocks. Needs no writer; any connection serves.

use std::collections::HashSet;

use cid::Cid;
use repo_mst::{BlockStore, Tree, car};

use super::{
    Error, GetRecord, Head, ListRecords, ListedRecord, Nodes, Query, Record, Reply, RepoCounts, RepoHead,
    read_cid,
};
use crate::actor::Status;
use crate::limits::{BLOCKS_BYTES_MAX, PAGE_BYTES_MAX};
use crate::store::{Sql, SqlError, Value, query_first};
use crate::syntax::{Nsid, RecordKey};

/// Answers a reading command.
///
/// # Errors
/// [`Error`].
pub fn read(sql: &dyn Sql, query: Query) -> Result<Reply, Error> {
    Ok(match query {
        Query::GetRecord(get) => Reply::GetRecord(record(sql, &get)?),
        Query::ListRecords(list) => Reply::ListRecords(page(sql, &list)?),
        Query::DescribeRepo(_) => Reply::DescribeRepo(collections(sql)?),
        Query::GetHead(_) => Reply::GetHead(head(sql)?),
        Query::GetRecordProof(get) => {
            Reply::GetRecordProof(record_proof(sql, &format!("{}/{}", get.collection, get.rkey))?.into())
        }
        Query::GetBlocks(get) => Reply::GetBlocks(blocks(sql, &get.cids)?.into()),
        Query::Counts(_) => Reply::Counts(counts(sql)?),
    })
}

fn head(sql: &dyn Sql) -> Result<RepoHead, Error> {
    let Head { rev, commit, data } = Head::read(sql)?.ok_or(Error::NoRepo)?;
    let status = "SELECT status FROM account WHERE id = 1";
    let status =
        query_first(sql, status, &[], |row| Ok(Status::parse(row.text(0)?)))?.ok_or(Error::NoRepo)?;
    let status = status.ok_or_else(|| Error::Damaged("an unknown status".to_owned()))?;
    Ok(RepoHead { commit, rev, data, status })
}

fn counts(sql: &dyn Sql) -> Result<RepoCounts, Error> {
    let count = |statement: &str| -> Result<u64, Error> {
        Ok(query_first(sql, statement, &[], |row| row.integer(0))?.unwrap_or(0).unsigned_abs())
    };
    Ok(RepoCounts {
        records: count("SELECT count(*) FROM record")?,
        nodes: count("SELECT count(*) FROM node")?,
        memories: count("SELECT count(*) FROM keyring")?,
        blobs: count("SELECT count(*) FROM blob WHERE cid IN (SELECT cid FROM blob_reference)")?,
        last_write_us: Head::read(sql)?.map(|head| head.rev.micros()),
    })
}

fn record(sql: &dyn Sql, get: &GetRecord) -> Result<Option<Record>, Error> {
    let path = format!("{}/{}", get.collection, get.rkey);
    let found =
        query_first(sql, "SELECT cid, block FROM record WHERE path = ?", &[Value::Text(&path)], |row| {
            Ok((row.blob(0)?.to_vec(), row.blob(1)?.to_vec()))
        })?;
    let Some((cid, block)) = found else { return Ok(None) };
    let cid = read_cid(&cid)?;
    Ok((get.cid.is_none_or(|only| only == cid)).then(|| Record { cid, block: block.into() }))
}

/// One page of a collection; shorter than asked for when its records come to [`PAGE_BYTES_MAX`].
///
/// # Errors
/// [`Error::Sql`].
pub fn page(sql: &dyn Sql, wanted: &ListRecords) -> Result<Vec<ListedRecord>, Error> {
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
        let rkey = RecordKey::try_from(row.text(0)?.get(prefix.len()..).unwrap_or_default())
            .map_err(|_| SqlError::Column { column: 0, expected: "a path".into() })?;
        let block = row.blob(2)?;
        bytes += block.len();
        records.push(ListedRecord { rkey, cid, block: block.to_vec().into() });
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
/// [`Error::Sql`].
pub fn collections(sql: &dyn Sql) -> Result<Vec<Nsid>, Error> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let statement = "SELECT path FROM record WHERE path >= ? ORDER BY path LIMIT 1";
        let next = query_first(sql, statement, &[Value::Text(&after)], |row| Ok(row.text(0)?.to_owned()))?;
        let Some(path) = next else { return Ok(found) };
        let collection = path.split('/').next().unwrap_or_default();
        after = format!("{collection}0");
        let nsid = Nsid::try_from(collection);
        found.push(nsid.map_err(|error| Error::Damaged(format!("a record's path: {error}")))?);
    }
}

/// A CAR that proves a path to hold its record, or to hold none: the commit, the nodes to it, the record.
///
/// # Errors
/// [`Error`]; [`Error::Damaged`] when there is no commit.
pub fn record_proof(sql: &dyn Sql, path: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = commit_car(sql)?;
    let head = Head::read(sql)?.ok_or_else(|| Error::Damaged("no commit".to_owned()))?;
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
/// [`Error::BlockNotFound`] for the first that is not there, [`Error::TooMuch`] when they come to
/// [`BLOCKS_BYTES_MAX`].
pub fn blocks(sql: &dyn Sql, cids: &[Cid]) -> Result<Vec<u8>, Error> {
    let mut bytes = car::header(&[]);
    let mut given = HashSet::new();
    for cid in cids {
        if !given.insert(cid) {
            continue;
        }
        let block = block(sql, cid)?.ok_or(Error::BlockNotFound(*cid))?;
        car::write_block(&mut bytes, cid, &block);
        if bytes.len() > BLOCKS_BYTES_MAX {
            return Err(Error::TooMuch(BLOCKS_BYTES_MAX as u64));
        }
    }
    Ok(bytes)
}

fn block(sql: &dyn Sql, cid: &Cid) -> Result<Option<Vec<u8>>, Error> {
    if let Some(node) = Nodes(sql).read_block(cid).map_err(|error| Error::Damaged(error.to_string()))? {
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
/// [`Error::Damaged`] when there is none.
pub fn commit_car(sql: &dyn Sql) -> Result<Vec<u8>, Error> {
    let found = query_first(sql, "SELECT commit_cid, block FROM head WHERE id = 1", &[], |row| {
        Ok((row.blob(0)?.to_vec(), row.blob(1)?.to_vec()))
    })?;
    let (cid, block) = found.ok_or_else(|| Error::Damaged("no commit".to_owned()))?;
    let cid = read_cid(&cid)?;
    let mut bytes = car::header(&[cid]);
    car::write_block(&mut bytes, &cid, &block);
    Ok(bytes)
}
