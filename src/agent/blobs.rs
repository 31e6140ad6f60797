//! Which blobs the host keeps for this account, and which may go.

use super::{AddBlob, Agent, Error, ExpireBlobs};
use crate::env::Env;
use crate::store::{Sql, Value, query_all};

impl Agent {
    pub(super) fn add_blob(&mut self, sql: &dyn Sql, env: &Env<'_>, command: &AddBlob) -> Result<(), Error> {
        self.account()?;
        let bytes = i64::try_from(command.bytes).map_err(|_| Error::InvalidWrites("blob size".to_owned()))?;
        // Uploading again starts the time of an unreferenced blob anew.
        sql.execute(
            "INSERT INTO blob (cid, mime, bytes, uploaded_us) VALUES (?, ?, ?, ?) \
             ON CONFLICT (cid) DO UPDATE SET uploaded_us = excluded.uploaded_us",
            &[
                Value::Text(&command.cid),
                Value::Text(&command.mime),
                Value::Integer(bytes),
                Value::Integer(env.now_us),
            ],
        )?;
        Ok(())
    }

    pub(super) fn expire_blobs(
        &mut self,
        sql: &dyn Sql,
        command: &ExpireBlobs,
    ) -> Result<Vec<String>, Error> {
        let expired = query_all(
            sql,
            "SELECT cid FROM blob WHERE uploaded_us < ? AND NOT EXISTS \
             (SELECT 1 FROM blob_reference WHERE blob_reference.cid = blob.cid) LIMIT ?",
            &[Value::Integer(command.before_us), Value::Integer(i64::from(command.limit))],
            |row| Ok(row.text(0)?.to_owned()),
        )?;
        for cid in &expired {
            sql.execute("DELETE FROM blob WHERE cid = ?", &[Value::Text(cid)])?;
        }
        Ok(expired)
    }
}
