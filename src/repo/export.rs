//! The whole repo as a CAR: the commit, then every node, then every record in the tree's order.
//!
//! [`Export`] hands it out in chunks, so that a repo of any size passes in bounded memory. A host with snapshots holds
//! one for the length of it. A host without them may write in between: it then tells the export what each commit
//! replaces ([`Export::keep`]), rows newer than the export are passed over, and what comes out is still the repo as it
//! was at the beginning.

use bytes::Bytes;
use cid::Cid;
use repo_mst::car;

use super::plan::CommitPlan;
use super::read::commit_car;
use super::{Error, Head, read_cid, verified};
use crate::limits::{EXPORT_CHUNK_BYTES, EXPORT_KEPT_BYTES_MAX};
use crate::store::{Row, Sql, SqlError, Value, query_first};

/// A repo on its way out.
#[derive(Debug)]
pub struct Export {
    chunk: Vec<u8>,
    since: String,
    until: String,
    place: Place,
    kept: Vec<Replaced>,
    kept_bytes: usize,
}

/// Where an export stands: everything up to here is out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Node(i64),
    Record(String),
    End,
}

/// A row that a commit took away or wrote over.
#[derive(Clone, Debug)]
pub struct Replaced {
    place: Place,
    rev: String,
    cid: Cid,
    block: Bytes,
}

impl Export {
    /// Begins at the newest commit. With `since`, only what came after that rev.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Damaged`] when there is no commit.
    pub fn begin(sql: &dyn Sql, since: Option<&str>) -> Result<Self, Error> {
        let head = Head::read(sql)?.ok_or_else(|| Error::Damaged("no commit".to_owned()))?;
        Ok(Self {
            chunk: commit_car(sql)?,
            since: since.unwrap_or_default().to_owned(),
            until: head.rev.as_str().to_owned(),
            place: Place::Node(0),
            kept: Vec::new(),
            kept_bytes: 0,
        })
    }

    /// The next part of the CAR; `None` after the last.
    ///
    /// # Errors
    /// [`Error`].
    pub fn next_chunk(&mut self, sql: &dyn Sql) -> Result<Option<Vec<u8>>, Error> {
        while self.chunk.len() < EXPORT_CHUNK_BYTES {
            match self.place.clone() {
                Place::Node(after) => {
                    let statement = "SELECT id, cid, block FROM node \
                                     WHERE id > ? AND rev > ? AND rev <= ? ORDER BY id";
                    let place = |row: &dyn Row| Ok(Place::Node(row.integer(0)?));
                    if self.fill(sql, statement, Value::Integer(after), &place)? {
                        self.place = Place::Record(String::new());
                    }
                }
                Place::Record(after) => {
                    let statement = "SELECT path, cid, block FROM record \
                                     WHERE path > ? AND rev > ? AND rev <= ? ORDER BY path";
                    let place = |row: &dyn Row| Ok(Place::Record(row.text(0)?.to_owned()));
                    if self.fill(sql, statement, Value::Text(&after), &place)? {
                        self.place = Place::End;
                    }
                }
                Place::End => match self.kept.pop() {
                    Some(kept) => car::write_block(&mut self.chunk, &kept.cid, &kept.block),
                    None => break,
                },
            }
        }
        let next = Vec::with_capacity(EXPORT_CHUNK_BYTES * 5 / 4);
        let chunk = std::mem::replace(&mut self.chunk, next);
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    /// Takes what a commit replaced while this export is on its way.
    ///
    /// # Errors
    /// [`Error::InvalidWrites`] when that is too much to hold: the export can't be finished.
    pub fn keep(&mut self, replaced: &[Replaced]) -> Result<(), Error> {
        for row in replaced {
            if row.place > self.place && row.rev > self.since && row.rev <= self.until {
                self.kept_bytes += row.block.len();
                self.kept.push(row.clone());
            }
        }
        if self.kept_bytes <= EXPORT_KEPT_BYTES_MAX {
            return Ok(());
        }
        Err(Error::InvalidWrites("the repo changed too much while it was exported: try again".to_owned()))
    }

    /// Adds rows to the chunk until it is full; whether that were all.
    fn fill(
        &mut self,
        sql: &dyn Sql,
        statement: &'static str,
        after: Value<'_>,
        place: &dyn Fn(&dyn Row) -> Result<Place, SqlError>,
    ) -> Result<bool, Error> {
        let (chunk, current) = (&mut self.chunk, &mut self.place);
        let mut full = false;
        let params = [after, Value::Text(&self.since), Value::Text(&self.until)];
        let outcome = sql.query(statement, &params, &mut |row| {
            if chunk.len() >= EXPORT_CHUNK_BYTES {
                full = true;
                return Err(SqlError::Limit("the chunk is full".into())); // The way to end a query early.
            }
            let cid = verified(sql, row.blob(1)?, row.blob(2)?)?;
            car::write_block(chunk, &cid, row.blob(2)?);
            *current = place(row)?;
            Ok(())
        });
        if full {
            return Ok(false);
        }
        outcome?;
        Ok(true)
    }
}

/// The rows that a plan will replace, for exports on their way. Asked before the plan is applied.
///
/// # Errors
/// [`Error`].
pub fn replaced(sql: &dyn Sql, plan: &CommitPlan) -> Result<Vec<Replaced>, Error> {
    let mut rows = Vec::new();
    for cid in &plan.nodes_removed {
        for settled in [0, 1] {
            let statement = match settled {
                0 => "SELECT id, rev, block FROM node WHERE cid = ? AND settled = 0",
                _ => "SELECT id, rev, block FROM node WHERE cid = ? AND settled = 1",
            };
            rows.extend(query_first(sql, statement, &[Value::Blob(&cid.to_bytes())], |row| {
                let block = Bytes::copy_from_slice(row.blob(2)?);
                let place = Place::Node(row.integer(0)?);
                Ok(Replaced { place, rev: row.text(1)?.to_owned(), cid: *cid, block })
            })?);
        }
    }
    for change in &plan.changes {
        let statement = "SELECT cid, rev, block FROM record WHERE path = ?";
        let row = query_first(sql, statement, &[Value::Text(&change.path)], |row| {
            Ok((row.blob(0)?.to_vec(), row.text(1)?.to_owned(), Bytes::copy_from_slice(row.blob(2)?)))
        })?;
        if let Some((cid, rev, block)) = row {
            rows.push(Replaced {
                place: Place::Record(change.path.clone()),
                rev,
                cid: read_cid(&cid)?,
                block,
            });
        }
    }
    Ok(rows)
}
