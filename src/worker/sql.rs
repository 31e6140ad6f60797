//! [`Sql`] over the storage of a Durable Object.
//!
//! Numbers pass through JavaScript, so integers arrive at SQLite as floating point numbers; INTEGER columns of STRICT
//! tables turn them back, and comparisons do not mind. BEGIN is refused by the runtime: transactions go through
//! `transactionSync`, which nests and undoes what its callback did when that throws.

use js_sys::{Array, ArrayBuffer, Number, Uint8Array};
use wasm_bindgen::prelude::*;
use worker::worker_sys::types::{SqlStorage, SqlStorageCursor};

use crate::store::{Row, Sql, SqlError, Value, check_params};

#[wasm_bindgen]
extern "C" {
    /// The part of `DurableObjectStorage` that the crate `worker` does not bind.
    type Transactions;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &Transactions,
        body: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
}

/// What a transaction's callback throws to be undone.
const UNDO: &str = "zap: undo";

/// An object's database.
pub(super) struct ObjectSql {
    sql: SqlStorage,
    transactions: Transactions,
    /// Rows read and written so far, as they are billed.
    #[cfg(feature = "testing")]
    counted: std::cell::Cell<(f64, f64)>,
}

impl ObjectSql {
    #[cfg(feature = "testing")]
    pub(super) fn counted(&self) -> (f64, f64) {
        self.counted.get()
    }

    #[cfg(feature = "testing")]
    fn count(&self, cursor: &SqlStorageCursor) {
        let (read, written) = self.counted.get();
        self.counted.set((read + cursor.rows_read(), written + cursor.rows_written()));
    }

    #[cfg(not(feature = "testing"))]
    fn count(&self, _: &SqlStorageCursor) {}

    pub(super) fn new(storage: &worker::Storage) -> Self {
        let raw: &JsValue = storage.as_raw().as_ref();
        Self {
            sql: storage.as_raw().sql(),
            transactions: raw.clone().unchecked_into(),
            #[cfg(feature = "testing")]
            counted: std::cell::Cell::default(),
        }
    }

    fn exec(&self, statement: &str, params: &[Value<'_>]) -> Result<SqlStorageCursor, SqlError> {
        check_params(params)?;
        let bound = Array::new();
        for param in params {
            bound.push(&to_js(param));
        }
        self.sql.exec(statement, bound).map_err(|thrown| error(&thrown))
    }
}

impl Sql for ObjectSql {
    fn execute(&self, statement: &str, params: &[Value<'_>]) -> Result<(), SqlError> {
        self.count(&self.exec(statement, params)?);
        Ok(())
    }

    fn execute_counted(&self, statement: &str, params: &[Value<'_>]) -> Result<u64, SqlError> {
        self.execute(statement, params)?;
        let mut changed = 0;
        self.query("SELECT changes()", &[], &mut |row| {
            changed = row.integer(0)?.unsigned_abs();
            Ok(())
        })?;
        Ok(changed)
    }

    fn query(
        &self,
        statement: &str,
        params: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let cursor = self.exec(statement, params)?;
        let rows = cursor.raw();
        loop {
            let next = rows.next().map_err(|thrown| error(&thrown))?;
            if next.done() {
                self.count(&cursor);
                return Ok(());
            }
            let row = Array::from(&next.value());
            let columns = row.iter().map(|value| Column::read(&value)).collect();
            each(&ObjectRow { columns })?;
        }
    }

    fn script(&self, statements: &str) -> Result<(), SqlError> {
        self.exec(statements, &[]).map(|_| ())
    }

    fn transaction(&self, body: &mut dyn FnMut() -> bool) -> Result<(), SqlError> {
        let mut kept = true;
        let done = self.transactions.transaction_sync(&mut || {
            kept = body();
            if kept { Ok(JsValue::UNDEFINED) } else { Err(JsValue::from_str(UNDO)) }
        });
        match done {
            Ok(_) => Ok(()),
            Err(_) if !kept => Ok(()),
            Err(thrown) => Err(error(&thrown)),
        }
    }
}

fn to_js(value: &Value<'_>) -> JsValue {
    match *value {
        Value::Null => JsValue::NULL,
        // Below 2^53, which `check_params` saw to.
        Value::Integer(integer) => JsValue::from_f64(integer as f64),
        Value::Text(text) => JsValue::from_str(text),
        Value::Blob(bytes) => Uint8Array::from(bytes).into(),
    }
}

/// A column's value, copied out of JavaScript.
enum Column {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
    Other,
}

impl Column {
    fn read(value: &JsValue) -> Self {
        if let Some(text) = value.as_string() {
            Column::Text(text)
        } else if let Some(number) = value.as_f64() {
            if Number::is_safe_integer(value) { Column::Integer(number as i64) } else { Column::Other }
        } else if let Some(buffer) = value.dyn_ref::<ArrayBuffer>() {
            Column::Blob(Uint8Array::new(buffer).to_vec())
        } else if value.is_null() {
            Column::Null
        } else {
            Column::Other
        }
    }
}

struct ObjectRow {
    columns: Vec<Column>,
}

impl Row for ObjectRow {
    fn value(&self, column: usize) -> Result<Value<'_>, SqlError> {
        match self.columns.get(column) {
            Some(Column::Null) => Ok(Value::Null),
            Some(Column::Integer(integer)) => Ok(Value::Integer(*integer)),
            Some(Column::Text(text)) => Ok(Value::Text(text)),
            Some(Column::Blob(bytes)) => Ok(Value::Blob(bytes)),
            Some(Column::Other) => {
                Err(SqlError::Column { column, expected: "no floating point number".into() })
            }
            None => Err(SqlError::Column { column, expected: "there".into() }),
        }
    }
}

/// The runtime throws an `Error` whose message ends with SQLite's name for it.
fn error(thrown: &JsValue) -> SqlError {
    let message = thrown
        .dyn_ref::<js_sys::Error>()
        .map(|error| String::from(error.message()))
        .or_else(|| thrown.as_string())
        .unwrap_or_else(|| "an unknown error".to_owned());
    if message.contains("SQLITE_CONSTRAINT") {
        SqlError::Constraint(message)
    } else if message.contains("SQLITE_FULL") {
        SqlError::Full
    } else if message.contains("SQLITE_TOOBIG") {
        SqlError::Limit("a value is over 2 MB".into())
    } else if message.contains("SQLITE_CORRUPT") || message.contains("SQLITE_NOTADB") {
        SqlError::Corrupt(message)
    } else {
        SqlError::Other(message)
    }
}
