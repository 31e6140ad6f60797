//! The only way out of the cell.

use super::{Account, Effects, Error, OutboxRow};
use crate::env::Env;
use crate::event::{EventKind, Frame};
use crate::store::{Sql, SqlError, Value, query_first};

/// Whose database this is; `None` before there is an account.
///
/// # Errors
/// [`SqlError`].
pub fn did(sql: &dyn Sql) -> Result<Option<String>, SqlError> {
    query_first(sql, "SELECT did FROM account WHERE id = 1", &[], |row| Ok(row.text(0)?.to_owned()))
}

/// Removes the rows up to `id`, which the sequencer has safely: for a host that wants an empty outbox at rest.
///
/// # Errors
/// [`SqlError`].
pub fn clear_outbox(sql: &dyn Sql, id: i64) -> Result<(), SqlError> {
    sql.execute("DELETE FROM outbox WHERE id <= ?", &[Value::Integer(id)])
}

impl Account {
    /// Puts an event into the outbox, and removes what the sequencer has safely.
    pub(super) fn emit(
        &mut self,
        sql: &dyn Sql,
        env: &Env<'_>,
        kind: EventKind,
        frame: Frame,
    ) -> Result<(), Error> {
        let account = self.account()?;
        if account.outbox_synced > 0 {
            clear_outbox(sql, account.outbox_synced)?;
        }
        let id = env.now_us.max(account.outbox_last.saturating_add(1));
        sql.execute(
            "INSERT INTO outbox (id, kind, seq_at, frame) VALUES (?, ?, ?, ?)",
            &[
                Value::Integer(id),
                Value::Integer(kind.number()),
                Value::Integer(i64::from(frame.seq_at())),
                Value::Blob(frame.bytes()),
            ],
        )?;
        account.outbox_last = id;
        account.outbox_synced = 0;
        let Effects { events, .. } = &mut self.effects;
        events.push(OutboxRow { id, kind, frame });
        Ok(())
    }
}
