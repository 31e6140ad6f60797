//! A method as its lexicon has it, without HTTP: what goes in, what comes out, which errors have names.
//!
//! `codegen` writes a type for each query and procedure of ours (`struct Remember;`) that implements [`Method`]. What
//! serves or calls one takes all of it from there, so nothing is said twice.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where a method's input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodKind {
    /// In the query string; nothing is changed.
    Query,
    /// In the JSON body.
    Procedure,
    /// In the query string; the body is bytes.
    Upload {
        /// The body's media type; `*/*` is any.
        encoding: &'static str,
    },
}

/// A query or a procedure.
pub trait Method: Send + 'static {
    /// The name it is called by.
    const NSID: &'static str;
    /// Where its input is.
    const KIND: MethodKind;
    /// The parameters or the JSON body. The type has shapes only: a value is validated first and then read into it.
    type Input: DeserializeOwned + Send + 'static;
    /// The JSON body of the answer.
    type Output: Serialize + Send + 'static;
    /// The errors that its lexicon names.
    type Error: NamedError;
}

/// An error that a lexicon names.
pub trait NamedError: Copy + Send + 'static {
    /// The `error` member of the error body.
    fn as_str(self) -> &'static str;
}

/// The errors of a method that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoErrors {}

impl NamedError for NoErrors {
    fn as_str(self) -> &'static str {
        match self {}
    }
}
