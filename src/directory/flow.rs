//! Changes of several steps that are under way, so that they can be gone on with after a crash. One an account.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Error;
use super::account::read_did;
use crate::directory::limits::FLOWS_MAX;
use crate::env::Env;
use crate::store::{Sql, SqlError, Value, query_all, query_first};
use crate::syntax::{Did, Handle};

/// A change of several steps to an account, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flow {
    /// Another name, in the DID document and here.
    UpdateHandle {
        /// The name, in lower case.
        handle: Handle,
        /// Whether it was seen to resolve to the DID.
        verified: bool,
    },
    /// Waking an account, which ends a move that was begun.
    Activate,
    /// Ending an agent and its DID.
    DeleteAgent,
    /// Taking over an agent whose repo was rebuilt here.
    FinishImport {
        /// The commit's block.
        commit: ByteBuf,
    },
}

impl Flow {
    /// What it is, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UpdateHandle { .. } => "update handle",
            Self::Activate => "activate",
            Self::DeleteAgent => "delete agent",
            Self::FinishImport { .. } => "finish import",
        }
    }
}

/// Records a change before its first step; answers the one that is recorded already, if it is another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BeginFlow {
    /// Whose.
    pub did: Did,
    /// What.
    pub flow: Flow,
}

/// Strikes an account's change off, after its last step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndFlow {
    /// Whose.
    pub did: Did,
}

/// Asks for the changes under way, the oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListFlows {
    /// At most this many.
    pub limit: usize,
}

pub(super) fn begin(sql: &dyn Sql, env: &Env<'_>, ask: &BeginFlow) -> Result<Option<Flow>, Error> {
    let recorded = "SELECT flow FROM flow WHERE did = ?";
    let recorded = query_first(sql, recorded, &[ask.did.as_str().into()], |row| read(row.blob(0)?))?;
    if let Some(recorded) = recorded {
        return Ok((recorded != ask.flow).then_some(recorded));
    }
    let bytes = serde_ipld_dagcbor::to_vec(&ask.flow).map_err(|_| Error::OverLimit("the change".into()))?;
    sql.execute(
        "INSERT INTO flow (did, flow, begun_us) VALUES (?, ?, ?)",
        &[ask.did.as_str().into(), Value::Blob(&bytes), env.now_us.into()],
    )?;
    Ok(None)
}

pub(super) fn end(sql: &dyn Sql, did: &Did) -> Result<(), Error> {
    Ok(sql.execute("DELETE FROM flow WHERE did = ?", &[did.as_str().into()])?)
}

pub(super) fn list(sql: &dyn Sql, limit: usize) -> Result<Vec<(Did, Flow)>, Error> {
    let limit = i64::try_from(limit.min(FLOWS_MAX)).unwrap_or(i64::MAX);
    let statement = "SELECT did, flow FROM flow ORDER BY begun_us, did LIMIT ?";
    Ok(query_all(sql, statement, &[limit.into()], |row| Ok((read_did(row, 0)?, read(row.blob(1)?)?)))?)
}

fn read(bytes: &[u8]) -> Result<Flow, SqlError> {
    serde_ipld_dagcbor::from_slice(bytes)
        .map_err(|_| SqlError::Column { column: 1, expected: "a change".into() })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Cell;
    use super::*;

    #[test]
    fn an_account_has_one_change_at_a_time_and_it_outlives_a_restart() {
        let mut cell = Cell::new();
        let did = cell.agent("alice.test");
        let begin = |flow: &Flow| BeginFlow { did: did.clone(), flow: flow.clone() };
        assert_eq!(cell.ask(begin(&Flow::Activate)), Ok(None));
        assert_eq!(cell.ask(begin(&Flow::Activate)), Ok(None), "the same again is the same");
        cell.restart().unwrap();
        assert_eq!(cell.ask(begin(&Flow::DeleteAgent)), Ok(Some(Flow::Activate)));
        assert_eq!(cell.ask(ListFlows { limit: 10 }), Ok(vec![(did.clone(), Flow::Activate)]));
        cell.ask(EndFlow { did: did.clone() }).unwrap();
        assert_eq!(cell.ask(begin(&Flow::DeleteAgent)), Ok(None));
    }
}
