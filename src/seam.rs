//! The one seam between the edge and the cells: typed commands in, typed replies out.
//!
//! A cell is asked with a struct (`GetAccount { .. }`) and answers with the type that struct names. Between the two
//! lies a message: the cell's `Command` and `Reply` enums, which serialise, so that the cell may be a thread beside
//! the caller or an object on another machine. [`seam!`](crate::seam!) writes both enums and ties each struct to its
//! answer, so that a caller never sees an enum and can't mix answers up.
//!
//! Adding a command: write its struct, add a line to the cell's `seam!`, add an arm to the cell's `handle`; the
//! compiler points at what is missing.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// One question to a cell.
pub trait Request: Sized {
    /// All questions of this cell.
    type Command;
    /// All answers of this cell.
    type Answer;
    /// The answer to this question.
    type Reply;

    /// Packs the question for its way to the cell.
    fn into_command(self) -> Self::Command;

    /// Unpacks the answer; `None` when it answers another question, which is a bug of the host.
    fn from_answer(answer: Self::Answer) -> Option<Self::Reply>;
}

/// A secret on its way through the seam: wiped when dropped, never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden<T: Zeroize>(T);

impl<T: Zeroize> Hidden<T> {
    /// Hides a secret.
    pub fn new(secret: T) -> Self {
        Self(secret)
    }

    /// The secret itself.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

impl<T: Zeroize> Drop for Hidden<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Writes a cell's `Command` and `Reply` enums and implements [`Request`] for each command struct.
///
/// ```ignore
/// seam! {
///     GetAccount => Option<Account>,
///     ListAccounts => AccountPage,
/// }
/// ```
/// The reply's variants carry the names of the commands: `Reply::GetAccount(Option<Account>)`.
#[macro_export]
macro_rules! seam {
    ($($request:ident => $reply:ty),+ $(,)?) => {
        /// What this cell can be asked.
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        #[allow(clippy::large_enum_variant, reason = "a command is moved once, into a mailbox")]
        #[non_exhaustive]
        pub enum Command {
            $(#[doc = concat!("See [`", stringify!($request), "`].")] $request($request)),+
        }

        /// What this cell answers, each variant to the command of its name.
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        #[allow(clippy::large_enum_variant, reason = "a reply is moved once, out of a mailbox")]
        #[non_exhaustive]
        pub enum Reply {
            $(#[doc = concat!("To [`", stringify!($request), "`].")] $request($reply)),+
        }

        impl Command {
            /// The command's name, for logs and metrics.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$request(_) => stringify!($request)),+
                }
            }
        }

        $(impl $crate::seam::Request for $request {
            type Command = Command;
            type Answer = Reply;
            type Reply = $reply;

            fn into_command(self) -> Command {
                Command::$request(self)
            }

            fn from_answer(answer: Reply) -> Option<$reply> {
                #[allow(unreachable_patterns, reason = "a cell may have a single command")]
                match answer {
                    Reply::$request(reply) => Some(reply),
                    _ => None,
                }
            }
        })+
    };
}

#[cfg(test)]
#[allow(unreachable_pub, reason = "the macro writes the enums of a public module")]
mod tests {
    use super::Request;

    #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
    pub struct Add {
        left: u8,
        right: u8,
    }
    #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
    pub struct Name;

    crate::seam! {
        Add => u16,
        Name => Option<String>,
    }

    fn handle(command: Command) -> Reply {
        match command {
            Command::Add(add) => Reply::Add(u16::from(add.left) + u16::from(add.right)),
            Command::Name(_) => Reply::Name(None),
        }
    }

    #[test]
    fn a_question_gets_its_own_answer_through_bytes() {
        let command = Add { left: 200, right: 100 }.into_command();
        assert_eq!(command.name(), "Add");
        let bytes = serde_ipld_dagcbor::to_vec(&command).unwrap();
        let answer = handle(serde_ipld_dagcbor::from_slice(&bytes).unwrap());
        let bytes = serde_ipld_dagcbor::to_vec(&answer).unwrap();
        assert_eq!(Add::from_answer(serde_ipld_dagcbor::from_slice(&bytes).unwrap()), Some(300));
        assert_eq!(Name::from_answer(handle(command)), None);
        assert_eq!(Name::from_answer(handle(Name.into_command())), Some(None));
    }
}
