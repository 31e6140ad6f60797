//! Reading a repo: records, pages, proofs and blocks. Needs no writer; any connection serves.

use std::collections::HashSet;

use cid::Cid;
use repo_mst::{BlockStore, Tree, car};

use super::{
    Error, GetRecord, Head, ListRecords, Nodes, Query, Record, Reply, RepoCounts, RepoHead, recent, takedown,
    verified,
};
use crate::actor::Status;
use crate::data_model::{append_cid_text, cbor_to_json};
use crate::limits::{BLOCKS_BYTES_MAX, PAGE_BYTES_MAX};
use crate::store::{Sql, SqlError, Value, query_first};
use crate::syntax::{Did, Nsid, validate_record_key};

/// About what a record of a page takes as text, so that the page seldom moves while it grows.
const RECORD_TEXT_BYTES: usize = 512;

/// Answers a reading command.
///
/// # Errors
/// [`Error`].
pub fn read(sql: &dyn Sql, query: Query) -> Result<Reply, Error> {
    Ok(match query {
        Query::GetRecord(get) => Reply::GetRecord(record(sql, &get)?),
        Query::ListRecords(list) => Reply::ListRecords(page(sql, &list)?.into()),
        Query::DescribeRepo(_) => Reply::DescribeRepo(collections(sql)?),
        Query::GetHead(_) => Reply::GetHead(head(sql)?),
        Query::GetRecordProof(get) => {
            Reply::GetRecordProof(record_proof(sql, &format!("{}/{}", get.collection, get.rkey))?.into())
        }
        Query::GetBlocks(get) => Reply::GetBlocks(blocks(sql, &get.cids)?.into()),
        Query::GetRecordTakedown(get) => Reply::GetRecordTakedown(takedown::get(sql, &get)?),
        Query::Counts(_) => Reply::Counts(counts(sql)?),
        Query::RecordsSince(since) => Reply::RecordsSince(recent::since(sql, &since.rev)?),
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
        preferences: count("SELECT coalesce(sum(count), 0) FROM preferences")?,
        last_write_us: Head::read(sql)?.map(|head| head.rev.micros()),
    })
}

/// For `concat!`: whether moderators left a record where it is. Those who mirror the repo get it all the same. Where nothing
/// was taken down, which is asked once, no record is looked up.
macro_rules! shown {
    () => {
        "NOT (EXISTS (SELECT 1 FROM record_takedown) \
         AND EXISTS (SELECT 1 FROM record_takedown WHERE record_takedown.path = record.path))"
    };
}

const SHOWN_RECORD: &str = concat!("SELECT cid, block FROM record WHERE path = ? AND ", shown!());
const SHOWN_PAGE_UP: &str = concat!(
    "SELECT path, cid, block FROM record WHERE path > ? AND path < ? AND ",
    shown!(),
    " ORDER BY path ASC LIMIT ?"
);
const SHOWN_PAGE_DOWN: &str = concat!(
    "SELECT path, cid, block FROM record WHERE path > ? AND path < ? AND ",
    shown!(),
    " ORDER BY path DESC LIMIT ?"
);

fn record(sql: &dyn Sql, get: &GetRecord) -> Result<Option<Record>, Error> {
    let path = format!("{}/{}", get.collection, get.rkey);
    let found = query_first(sql, SHOWN_RECORD, &[Value::Text(&path)], |row| {
        let block = row.blob(1)?;
        Ok((verified(sql, row.blob(0)?, block)?, block.to_vec()))
    })?;
    let Some((cid, block)) = found else { return Ok(None) };
    Ok((get.cid.is_none_or(|only| only == cid)).then(|| Record { cid, block: block.into() }))
}

/// One page of a collection as `com.atproto.repo.listRecords` answers it: text around each block's own JSON, straight from
/// the row. The cursor is the last record's key. A page is shorter than asked for when it comes to [`PAGE_BYTES_MAX`].
///
/// # Errors
/// [`Error::Sql`], [`Error::Damaged`].
pub fn page(sql: &dyn Sql, wanted: &ListRecords) -> Result<Vec<u8>, Error> {
    let prefix = format!("{}/", wanted.collection);
    // '0' follows '/', so this is past every key of the collection.
    let end = format!("{}0", wanted.collection);
    let (statement, low, high) = match (&wanted.cursor, wanted.reverse) {
        (cursor, true) => (
            SHOWN_PAGE_UP,
            cursor.as_ref().map_or_else(|| prefix.clone(), |cursor| format!("{prefix}{cursor}")),
            end,
        ),
        (cursor, false) => (
            SHOWN_PAGE_DOWN,
            prefix.clone(),
            cursor.as_ref().map_or(end, |cursor| format!("{prefix}{cursor}")),
        ),
    };
    let params = [Value::Text(&low), Value::Text(&high), Value::Integer(i64::from(wanted.limit))];
    let mut text = Vec::with_capacity(RECORD_TEXT_BYTES * (wanted.limit as usize + 1));
    append(&mut text, &[r#"{"records":["#]);
    let (mut count, mut last, mut damage) = (0, String::new(), None);
    let is_full = |text: &[u8]| text.len() >= PAGE_BYTES_MAX;
    let read = sql.query(statement, &params, &mut |row| {
        if is_full(&text) || damage.is_some() {
            return Err(SqlError::Other("no more is wanted".to_owned()));
        }
        let path = row.text(0)?;
        let rkey = path.get(prefix.len()..).filter(|rkey| validate_record_key(rkey).is_ok());
        let rkey = rkey.ok_or_else(|| SqlError::Column { column: 0, expected: "a path".into() })?;
        let block = row.blob(2)?;
        let cid = verified(sql, row.blob(1)?, block)?;
        if count > 0 {
            text.push(b',');
        }
        damage = append_record(&mut text, &wanted.did, path, &cid, block).err();
        last.replace_range(.., rkey);
        count += 1;
        Ok(())
    });
    if let Some(damage) = damage {
        return Err(damage);
    }
    if !is_full(&text) {
        read?;
    }
    text.push(b']');
    if count > 0 && (count == wanted.limit || is_full(&text)) {
        append(&mut text, &[r#","cursor":""#, &last, "\""]);
    }
    text.push(b'}');
    Ok(text)
}

/// Appends `{"uri": …, "cid": …, "value": …}`. DIDs, paths of records and CIDs have no characters that JSON would escape.
///
/// # Errors
/// [`Error::Damaged`] when the block is none.
pub fn append_record(
    text: &mut Vec<u8>,
    did: &Did,
    path: &str,
    cid: &Cid,
    block: &[u8],
) -> Result<(), Error> {
    append(text, &[r#"{"uri":"at://"#, did.as_str(), "/", path, r#"","cid":""#]);
    append_cid_text(text, cid);
    append(text, &[r#"","value":"#]);
    cbor_to_json(block, text).map_err(|error| Error::Damaged(format!("the block of {path}: {error}")))?;
    text.push(b'}');
    Ok(())
}

fn append(text: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        text.extend_from_slice(part.as_bytes());
    }
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
        verified(sql, &cid.to_bytes(), &block)?;
        car::write_block(&mut bytes, &cid, &block);
    }
    let statement = "SELECT cid, block FROM record WHERE path = ?";
    sql.query(statement, &[Value::Text(path)], &mut |row| {
        let cid = verified(sql, row.blob(0)?, row.blob(1)?)?;
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
        verified(sql, &cid.to_bytes(), &block)?;
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
        let block = row.blob(1)?;
        Ok((verified(sql, row.blob(0)?, block)?, block.to_vec()))
    })?;
    let (cid, block) = found.ok_or_else(|| Error::Damaged("no commit".to_owned()))?;
    let mut bytes = car::header(&[cid]);
    car::write_block(&mut bytes, &cid, &block);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_model::encode_record;

    #[test]
    fn records_are_written_as_json_around_their_blocks() {
        let record = ipld_core::ipld!({"$type": "com.example.note", "text": "a \"quote\""});
        let did = Did::try_from("did:plc:abc").unwrap();
        let mut text = Vec::new();
        let block = encode_record(&record).unwrap();
        let cid = repo_mst::cid_for_cbor(&block);
        append_record(&mut text, &did, "com.example.note/self", &cid, &block).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let expected = serde_json::json!({
            "uri": "at://did:plc:abc/com.example.note/self",
            "cid": cid.to_string(),
            "value": {"$type": "com.example.note", "text": "a \"quote\""},
        });
        assert_eq!(read, expected);
    }
}
