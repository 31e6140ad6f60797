//! Arriving: a repo rebuilt record by record, then held against the commit it came with.
//!
//! Until the tree's root is the commit's there is no account in the cell, so nothing can be read, written or emitted.
//! The tree rests in the database between batches; no batch depends on what is in memory.

use bytes::Bytes;
use cid::Cid;
use repo_mst::commit::Commit;
use repo_mst::{Tree, cid_for_cbor};

use super::leave::{keep_move_key, signing_key};
use super::{BeginImport, Error, FinishImport, Home, ImportFinished, ImportRecords, ImportedRecord};
use crate::archive::Manifest;
use crate::data_model::{blob_refs, decode_record};
use crate::env::Env;
use crate::limits::{IMPORT_RECORDS_MAX, RECORD_BYTES_MAX};
use crate::preferences;
use crate::repo::{self, Nodes, read_cid};
use crate::store::{Sql, SqlError, Value, query_first};
use crate::syntax::{Did, validate_nsid, validate_record_key};
use crate::vault::Keyring;
use crate::work::{unwrap_signing_key, wrap_signing_key};

/// A repo that is being rebuilt.
struct Import {
    did: Did,
    signing_key: Vec<u8>,
    rev: String,
    commit: Cid,
    data: Cid,
}

/// Takes the archive's keys and notes what commit the repo must come to.
pub(super) fn begin(
    sql: &dyn Sql,
    env: &mut Env<'_>,
    home: Option<&Home<'_>>,
    command: &BeginImport,
) -> Result<(), Error> {
    if home.is_some() || read_import(sql)?.is_some() {
        return Err(Error::RepoExists);
    }
    let manifest = Manifest::decode(&command.manifest)?;
    let secrets = manifest.open(&command.key)?;
    let did = &manifest.did;
    let wrapped = wrap_signing_key(env, did, &signing_key(secrets.signing_key.expose())?)?;
    let master = &env.network.master_key;
    Keyring::restore(sql, did.as_str(), master, &secrets.keyring(), env.now_us, env.rng)?;
    if let Some(list) = &secrets.preferences {
        preferences::restore(sql, env, did, list)?;
    }
    if let Some(key) = &secrets.move_key {
        keep_move_key(sql, env, did, &signing_key(key.expose())?)?;
    }
    let rev = manifest.rev.as_str();
    let data = write_tree(sql, rev, &mut Tree::empty())?;
    sql.execute(
        "INSERT INTO import (id, did, signing_key, rev, commit_cid, data_cid) VALUES (1, ?, ?, ?, ?, ?)",
        &[
            Value::Text(did.as_str()),
            Value::Blob(&wrapped),
            Value::Text(rev),
            Value::Blob(&manifest.root.0.to_bytes()),
            Value::Blob(&data.to_bytes()),
        ],
    )?;
    Ok(())
}

/// Puts records into the repo that is being rebuilt.
pub(super) fn import_records(sql: &dyn Sql, command: &ImportRecords) -> Result<u64, Error> {
    let import = read_import(sql)?.ok_or_else(not_importing)?;
    if command.records.len() > IMPORT_RECORDS_MAX {
        return Err(Error::TooMany(IMPORT_RECORDS_MAX as u64));
    }
    let mut tree = Tree::open(&import.data).map_err(repo::Error::from)?;
    for ImportedRecord(path, block) in &command.records {
        let cid = import_record(sql, &import.rev, path, block)?;
        tree.insert(&Nodes(sql), path, &cid).map_err(repo::Error::from)?;
    }
    let data = write_tree(sql, &import.rev, &mut tree)?;
    sql.execute("UPDATE import SET data_cid = ? WHERE id = 1", &[Value::Blob(&data.to_bytes())])?;
    Ok(command.records.len() as u64)
}

/// Holds the rebuilt repo against its commit and makes it the account's.
pub(super) fn finish(
    sql: &dyn Sql,
    env: &Env<'_>,
    home: Option<&Home<'_>>,
    command: &FinishImport,
) -> Result<ImportFinished, Error> {
    let cid = cid_for_cbor(&command.commit);
    if let Some(home) = home {
        let finished = ImportFinished { signing_key: home.owner.key.did_key() };
        return if home.head.commit == cid { Ok(finished) } else { Err(Error::RepoExists) };
    }
    let import = read_import(sql)?.ok_or_else(not_importing)?;
    let commit = Commit::decode(&command.commit).map_err(|error| invalid(error.to_string()))?;
    let key = unwrap_signing_key(env, &import.did, &import.signing_key)?;
    if cid != import.commit || commit.rev != import.rev {
        return Err(invalid(format!("the commit is not the one of the manifest, {}", import.commit)));
    }
    if import.did != *commit.did.as_str() {
        return Err(invalid("the commit is somebody else's".to_owned()));
    }
    if commit.data != import.data {
        let (expected, found) = (commit.data, import.data);
        return Err(invalid(format!("the records make the tree {found}, not the commit's {expected}")));
    }
    key.verifying_key()
        .verify(&commit.unsigned().encode(), &commit.sig)
        .map_err(|_| invalid("the commit's signature is not by the archive's signing key".to_owned()))?;
    sql.execute(
        "INSERT INTO account (id, did, status, signing_key, created_us) VALUES (1, ?, 'deactivated', ?, ?)",
        &[Value::Text(import.did.as_str()), Value::Blob(&import.signing_key), Value::Integer(env.now_us)],
    )?;
    sql.execute(
        "INSERT INTO head (id, rev, commit_cid, data_cid, block) VALUES (1, ?, ?, ?, ?)",
        &[
            Value::Text(&import.rev),
            Value::Blob(&cid.to_bytes()),
            Value::Blob(&commit.data.to_bytes()),
            Value::Blob(&command.commit),
        ],
    )?;
    sql.execute("DELETE FROM import", &[])?;
    Ok(ImportFinished { signing_key: key.did_key() })
}

fn read_import(sql: &dyn Sql) -> Result<Option<Import>, Error> {
    let statement = "SELECT did, signing_key, rev, commit_cid, data_cid FROM import WHERE id = 1";
    let row = query_first(sql, statement, &[], |row| {
        let did = Did::try_from(row.text(0)?);
        let did = did.map_err(|_| SqlError::Column { column: 0, expected: "a DID".into() })?;
        let rev = row.text(2)?.to_owned();
        Ok((did, row.blob(1)?.to_vec(), rev, row.blob(3)?.to_vec(), row.blob(4)?.to_vec()))
    })?;
    let Some((did, signing_key, rev, commit, data)) = row else { return Ok(None) };
    Ok(Some(Import { did, signing_key, rev, commit: read_cid(&commit)?, data: read_cid(&data)? }))
}

/// Checks and writes one record; gives its CID.
fn import_record(sql: &dyn Sql, rev: &str, path: &str, block: &[u8]) -> Result<Cid, Error> {
    let parts = path.split_once('/');
    if !parts.is_some_and(|(collection, rkey)| {
        validate_nsid(collection).is_ok() && validate_record_key(rkey).is_ok()
    }) {
        return Err(invalid(format!("`{path}` is not a collection and a record key")));
    }
    if block.len() > RECORD_BYTES_MAX {
        return Err(invalid(format!("the record {path} is over {RECORD_BYTES_MAX} bytes")));
    }
    let record = decode_record(block).map_err(|error| invalid(format!("the record {path}: {error}")))?;
    let cid = cid_for_cbor(block);
    let at = Value::Text(path);
    sql.execute(
        "INSERT INTO record (path, cid, rev, block) VALUES (?, ?, ?, ?) \
         ON CONFLICT (path) DO UPDATE SET cid = excluded.cid, block = excluded.block",
        &[at, Value::Blob(&cid.to_bytes()), Value::Text(rev), Value::Blob(block)],
    )?;
    sql.execute("DELETE FROM blob_reference WHERE path = ?", &[at])?;
    for blob in blob_refs(&record) {
        sql.execute(
            "INSERT OR IGNORE INTO blob_reference (path, cid, rev) VALUES (?, ?, ?)",
            &[at, Value::Text(&blob.cid.to_string()), Value::Text(rev)],
        )?;
    }
    Ok(cid)
}

/// Writes what changed in the tree; gives its root. The nodes are settled at once: most of them last.
fn write_tree(sql: &dyn Sql, rev: &str, tree: &mut Tree) -> Result<Cid, Error> {
    let written = tree.finish().map_err(repo::Error::from)?;
    for cid in &written.removed {
        sql.execute("DELETE FROM node WHERE cid = ? AND settled = 1", &[Value::Blob(&cid.to_bytes())])?;
    }
    for (cid, block) in &written.added {
        let block: &Bytes = block;
        sql.execute(
            "INSERT INTO node (cid, rev, block, settled) VALUES (?, ?, ?, 1)",
            &[Value::Blob(&cid.to_bytes()), Value::Text(rev), Value::Blob(block)],
        )?;
    }
    Ok(written.root)
}

fn invalid(what: String) -> Error {
    Error::Invalid(what)
}

fn not_importing() -> Error {
    invalid("no import is under way here: begin with agent.admin.importAgent".to_owned())
}
