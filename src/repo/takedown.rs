//! Records that moderators took down: shown to nobody by name or in lists. The repo, which its owner signed, stays as it is,
//! and whoever mirrors it gets it whole; what its readers leave out is theirs to decide.

use super::{Error, GetRecordTakedown, RecordStanding, SetRecordTakedown};
use crate::data_model::Cid;
use crate::store::{Sql, SqlError, Value, query_first};

pub(super) fn set(sql: &dyn Sql, ask: &SetRecordTakedown) -> Result<(), Error> {
    let path = format!("{}/{}", ask.collection, ask.rkey);
    match &ask.reference {
        Some(reference) => sql.execute(
            "INSERT INTO record_takedown (path, reference) VALUES (?, ?)
             ON CONFLICT (path) DO UPDATE SET reference = excluded.reference",
            &[Value::Text(&path), Value::Text(reference)],
        ),
        None => sql.execute("DELETE FROM record_takedown WHERE path = ?", &[Value::Text(&path)]),
    }?;
    Ok(())
}

pub(super) fn get(sql: &dyn Sql, ask: &GetRecordTakedown) -> Result<Option<RecordStanding>, Error> {
    let path = format!("{}/{}", ask.collection, ask.rkey);
    let statement =
        "SELECT cid, (SELECT reference FROM record_takedown WHERE record_takedown.path = record.path)
                     FROM record WHERE path = ?";
    Ok(query_first(sql, statement, &[Value::Text(&path)], |row| {
        let cid = Cid::try_from(row.blob(0)?);
        let cid = cid.map_err(|_| SqlError::Column { column: 0, expected: "a CID".into() })?;
        Ok(RecordStanding { cid, takedown: row.optional_text(1)?.map(str::to_owned) })
    })?)
}
