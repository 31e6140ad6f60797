//! What a database file says of itself: which network it belongs to, and which part of it it is.
//!
//! Files get lost, mixed up and put back from backups by hand. A part that is missing must not begin anew, empty, and
//! another network's, or another agent's, must not be served in its place. So every database has a label, written where
//! the file is made; one of a version before labels gets it from the first writer that opens it.

use rand_core::Rng;

use super::clock::system_random;
use super::sql::Database;
use crate::store::{Sql, SqlError, Value, in_transaction, query_first};
use crate::syntax::Did;

/// Random, made with the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkId([u8; 16]);

/// Which part of its network a database is.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// The directory, whose label says which network it is.
    Directory,
    /// The event log.
    Sequencer,
    /// The PLC directory beside the network.
    Plc,
    /// An account; of the template for new ones, nobody's.
    Account(Option<&'a Did>),
}

impl Part<'_> {
    fn name(self) -> &'static str {
        match self {
            Part::Directory => "directory",
            Part::Sequencer => "sequencer",
            Part::Plc => "PLC directory",
            Part::Account(_) => "account",
        }
    }
}

/// The network of a directory's database. One without a label gets it here: from the event log beside it, if that has one,
/// since the directory is from a backup then that is older than labels.
///
/// # Errors
/// [`SqlError`]; [`SqlError::Misplaced`] for another part's database.
pub(super) fn network_of(directory: &Database, log: Option<&Database>) -> Result<NetworkId, SqlError> {
    let network = match (read(directory)?, log.map(read).transpose()?.flatten()) {
        (Some(label), _) => label.network,
        (None, Some(label)) if label.part == Part::Sequencer.name() => label.network,
        (None, _) => {
            let mut made = [0; 16];
            system_random().fill_bytes(&mut made);
            NetworkId(made)
        }
    };
    claim(directory, network, Part::Directory)?;
    Ok(network)
}

/// Sees to it, as its writer, that a database has this label.
///
/// # Errors
/// [`SqlError`]; [`SqlError::Misplaced`] when it has another one.
pub(super) fn claim(database: &Database, network: NetworkId, part: Part<'_>) -> Result<(), SqlError> {
    if has(database, network, part)? {
        return Ok(());
    }
    in_transaction(database, || {
        database.script(
            "CREATE TABLE IF NOT EXISTS label (id INTEGER PRIMARY KEY CHECK (id = 1), network BLOB NOT NULL, \
             part TEXT NOT NULL) STRICT",
        )?;
        let row = [Value::Blob(&network.0), Value::Text(part.name())];
        database.execute("INSERT INTO label (id, network, part) VALUES (1, ?, ?)", &row)
    })
}

/// Whether a database has this label; false when it has none.
///
/// # Errors
/// [`SqlError`]; [`SqlError::Misplaced`] when it has another one.
pub(super) fn has(database: &Database, network: NetworkId, part: Part<'_>) -> Result<bool, SqlError> {
    if let Part::Account(Some(did)) = part {
        match crate::account::did(database)? {
            Some(other) if other != *did => return Err(misplaced(database, &format!("the account {other}"))),
            _ => {}
        }
    }
    match read(database)? {
        Some(label) if label.part != part.name() => Err(misplaced(database, &format!("a {}", label.part))),
        Some(label) if label.network != network => {
            Err(misplaced(database, &format!("the {} of another network", label.part)))
        }
        label => Ok(label.is_some()),
    }
}

struct Label {
    network: NetworkId,
    part: String,
}

fn read(database: &Database) -> Result<Option<Label>, SqlError> {
    let table = "SELECT 1 FROM sqlite_master WHERE name = 'label'";
    if query_first(database, table, &[], |row| row.integer(0))?.is_none() {
        return Ok(None);
    }
    query_first(database, "SELECT network, part FROM label WHERE id = 1", &[], |row| {
        let network = row.blob(0)?.try_into();
        let network = network.map_err(|_| SqlError::Column { column: 0, expected: "16 bytes".into() })?;
        Ok(Label { network: NetworkId(network), part: row.text(1)?.to_owned() })
    })
}

fn misplaced(database: &Database, what: &str) -> SqlError {
    SqlError::Misplaced {
        place: database.place(),
        reason: format!("is {what}: put back the file that belongs there"),
    }
}
