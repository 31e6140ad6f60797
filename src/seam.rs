//! The one seam between the edge and the cells: typed commands in, typed replies out.
//!
//! A cell is asked with a struct (`GetAccount { .. }`) and answers with the type that struct names. Between the two
//! lies a message, which serialises, so that the cell may be a thread beside the caller or an object on another
//! machine. [`seam!`](crate::seam!) writes the messages of one domain: it declares each command as one that reads,
//! writes or creates, and ties it to its answer, so that a caller never sees an enum and can't mix answers up. A cell of
//! several domains wraps their messages, one line a domain ([`cell!`](crate::cell!)).
//!
//! Adding a command: write its struct, add a line to the domain's `seam!`; the compiler then asks for its arm in the
//! domain's `read` or `change`. No match over commands has an arm for the rest, so a forgotten one does not compile.
//!
//! Messages have no `Debug`: some carry keys, memories and questions. [`Command::name`](Named::name) is for logs.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// One question to a cell.
pub trait Request: Sized {
    /// All questions of this domain.
    type Command;
    /// All answers of this domain.
    type Answer;
    /// The answer to this question.
    type Reply;

    /// Packs the question for its way to the cell.
    fn into_command(self) -> Self::Command;

    /// Unpacks the answer; `None` when it answers another question, which is a bug of the host.
    fn from_answer(answer: Self::Answer) -> Option<Self::Reply>;
}

/// What a command does to its cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads the database and nothing of the cell in memory: any connection beside the writer's may answer.
    Read,
    /// Needs the writer.
    Write,
    /// Makes the cell, where others find none.
    Create,
}

/// What can be said of any command without looking into it.
pub trait Named {
    /// The command's name, for logs and metrics.
    fn name(&self) -> &'static str;

    /// What it does to its cell.
    fn access(&self) -> Access;
}

/// A secret on its way through the seam: wiped when dropped. Without `Debug`, so that nothing that holds one has it.
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

impl<T: Zeroize + Default> Default for Hidden<T> {
    fn default() -> Self {
        Self(T::default())
    }
}

impl<T: Zeroize> Drop for Hidden<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Secret bytes of any length, a memory above all: one byte string in a message, wiped when dropped, without `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct HiddenBytes(Zeroizing<Vec<u8>>);

impl HiddenBytes {
    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for HiddenBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<Zeroizing<Vec<u8>>> for HiddenBytes {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl Serialize for HiddenBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for HiddenBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::ByteBuf::deserialize(deserializer).map(|bytes| bytes.into_vec().into())
    }
}

/// Writes the messages of a domain and implements [`Request`] for each command struct.
///
/// ```ignore
/// seam! {
///     read { GetRecord => Option<Record>, }
///     write { ApplyWrites => WritesApplied, }
///     create { }
/// }
/// ```
/// `Query` has the commands that read, `Change` those that write or create, `Command` is either; the variants of `Reply`
/// carry the names of the commands.
#[macro_export]
macro_rules! seam {
    (
        read { $($query:ident => $answer:ty),* $(,)? }
        write { $($change:ident => $outcome:ty),* $(,)? }
        create { $($maker:ident => $made:ty),* $(,)? }
    ) => {
        /// What this domain can be asked.
        #[derive(serde::Serialize, serde::Deserialize)]
        #[allow(clippy::large_enum_variant, reason = "a command is moved once, into a mailbox")]
        pub enum Command {
            /// Answered from any connection.
            Query(Query),
            /// Answered by the writer.
            Change(Change),
        }

        /// The commands that only read.
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum Query {
            $(#[doc = concat!("See [`", stringify!($query), "`].")] $query($query)),*
        }

        /// The commands that need the writer.
        #[derive(serde::Serialize, serde::Deserialize)]
        #[allow(clippy::large_enum_variant, reason = "a command is moved once, into a mailbox")]
        pub enum Change {
            $(#[doc = concat!("See [`", stringify!($change), "`].")] $change($change),)*
            $(#[doc = concat!("See [`", stringify!($maker), "`].")] $maker($maker),)*
        }

        /// What this domain answers, each variant to the command of its name.
        #[derive(serde::Serialize, serde::Deserialize)]
        #[allow(clippy::large_enum_variant, reason = "a reply is moved once, out of a mailbox")]
        pub enum Reply {
            $(#[doc = concat!("To [`", stringify!($query), "`].")] $query($answer),)*
            $(#[doc = concat!("To [`", stringify!($change), "`].")] $change($outcome),)*
            $(#[doc = concat!("To [`", stringify!($maker), "`].")] $maker($made),)*
        }

        impl $crate::seam::Named for Command {
            fn name(&self) -> &'static str {
                match self {
                    Self::Query(query) => $crate::seam::Named::name(query),
                    Self::Change(change) => $crate::seam::Named::name(change),
                }
            }

            fn access(&self) -> $crate::seam::Access {
                match self {
                    Self::Query(query) => $crate::seam::Named::access(query),
                    Self::Change(change) => $crate::seam::Named::access(change),
                }
            }
        }

        impl $crate::seam::Named for Query {
            fn name(&self) -> &'static str {
                match *self {
                    $(Self::$query(_) => stringify!($query)),*
                }
            }

            fn access(&self) -> $crate::seam::Access {
                $crate::seam::Access::Read
            }
        }

        impl $crate::seam::Named for Change {
            fn name(&self) -> &'static str {
                match *self {
                    $(Self::$change(_) => stringify!($change),)*
                    $(Self::$maker(_) => stringify!($maker),)*
                }
            }

            fn access(&self) -> $crate::seam::Access {
                match *self {
                    $(Self::$change(_) => $crate::seam::Access::Write,)*
                    $(Self::$maker(_) => $crate::seam::Access::Create,)*
                }
            }
        }

        $($crate::seam!(@request $query, Query, $answer);)*
        $($crate::seam!(@request $change, Change, $outcome);)*
        $($crate::seam!(@request $maker, Change, $made);)*
    };
    (@request $request:ident, $side:ident, $reply:ty) => {
        impl $crate::seam::Request for $request {
            type Command = Command;
            type Answer = Reply;
            type Reply = $reply;

            fn into_command(self) -> Command {
                Command::$side($side::$request(self))
            }

            fn from_answer(answer: Reply) -> Option<$reply> {
                #[allow(unreachable_patterns, reason = "a domain may have a single command")]
                match answer {
                    Reply::$request(reply) => Some(reply),
                    _ => None,
                }
            }
        }
    };
}

/// Writes the messages of a cell out of those of its domains.
///
/// ```ignore
/// cell! { Repo: repo, Memory: memory }
/// ```
#[macro_export]
macro_rules! cell {
    ($($domain:ident: $module:ident),+ $(,)?) => {
        /// What this cell can be asked.
        #[derive(serde::Serialize, serde::Deserialize)]
        #[allow(clippy::large_enum_variant, reason = "a command is moved once, into a mailbox")]
        pub enum Command {
            /// Answered from any connection.
            Query(Query),
            /// Answered by the writer.
            Change(Change),
        }

        /// The commands that only read, by domain.
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum Query {
            $(#[doc = concat!("See `", stringify!($module), "::Query`.")] $domain($module::Query)),+
        }

        /// The commands that need the writer, by domain.
        #[derive(serde::Serialize, serde::Deserialize)]
        #[allow(clippy::large_enum_variant, reason = "a command is moved once, into a mailbox")]
        pub enum Change {
            $(#[doc = concat!("See `", stringify!($module), "::Change`.")] $domain($module::Change)),+
        }

        /// What this cell answers, by domain.
        #[derive(serde::Serialize, serde::Deserialize)]
        #[allow(clippy::large_enum_variant, reason = "a reply is moved once, out of a mailbox")]
        pub enum Reply {
            $(#[doc = concat!("See `", stringify!($module), "::Reply`.")] $domain($module::Reply)),+
        }

        impl $crate::seam::Named for Query {
            fn name(&self) -> &'static str {
                match self {
                    $(Self::$domain(query) => $crate::seam::Named::name(query)),+
                }
            }

            fn access(&self) -> $crate::seam::Access {
                $crate::seam::Access::Read
            }
        }

        impl $crate::seam::Named for Change {
            fn name(&self) -> &'static str {
                match self {
                    $(Self::$domain(change) => $crate::seam::Named::name(change)),+
                }
            }

            fn access(&self) -> $crate::seam::Access {
                match self {
                    $(Self::$domain(change) => $crate::seam::Named::access(change)),+
                }
            }
        }

        impl $crate::seam::Named for Command {
            fn name(&self) -> &'static str {
                match self {
                    Self::Query(query) => $crate::seam::Named::name(query),
                    Self::Change(change) => $crate::seam::Named::name(change),
                }
            }

            fn access(&self) -> $crate::seam::Access {
                match self {
                    Self::Query(query) => $crate::seam::Named::access(query),
                    Self::Change(change) => $crate::seam::Named::access(change),
                }
            }
        }

        $(
            impl From<$module::Command> for Command {
                fn from(command: $module::Command) -> Self {
                    match command {
                        $module::Command::Query(query) => Self::Query(Query::$domain(query)),
                        $module::Command::Change(change) => Self::Change(Change::$domain(change)),
                    }
                }
            }

            impl TryFrom<Reply> for $module::Reply {
                type Error = Reply;

                fn try_from(reply: Reply) -> Result<Self, Reply> {
                    match reply {
                        Reply::$domain(reply) => Ok(reply),
                        other => Err(other),
                    }
                }
            }
        )+
    };
}

#[cfg(test)]
#[allow(unreachable_pub, reason = "the macro writes the enums of a public module")]
mod tests {
    use super::{Access, Hidden, HiddenBytes, Named as _, Request};

    mod sums {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub struct Add {
            pub left: u8,
            pub right: u8,
        }
        #[derive(serde::Serialize, serde::Deserialize)]
        pub struct Forget;

        crate::seam! {
            read { Add => u16 }
            write { }
            create { Forget => Option<String> }
        }
    }

    mod names {
        #[derive(serde::Serialize, serde::Deserialize)]
        pub struct Name;

        crate::seam! {
            read { }
            write { Name => () }
            create { }
        }
    }

    crate::cell! { Sums: sums, Names: names }

    fn handle(command: Command) -> Reply {
        match command {
            Command::Query(Query::Sums(sums::Query::Add(add))) => {
                Reply::Sums(sums::Reply::Add(u16::from(add.left) + u16::from(add.right)))
            }
            Command::Query(Query::Names(never)) => match never {},
            Command::Change(Change::Sums(sums::Change::Forget(_))) => Reply::Sums(sums::Reply::Forget(None)),
            Command::Change(Change::Names(names::Change::Name(_))) => Reply::Names(names::Reply::Name(())),
        }
    }

    fn ask<R>(request: R) -> Option<R::Reply>
    where
        R: Request,
        Command: From<R::Command>,
        R::Answer: TryFrom<Reply>,
    {
        let bytes = serde_ipld_dagcbor::to_vec(&Command::from(request.into_command())).unwrap();
        let answer = handle(serde_ipld_dagcbor::from_slice(&bytes).unwrap());
        let bytes = serde_ipld_dagcbor::to_vec(&answer).unwrap();
        let answer: Reply = serde_ipld_dagcbor::from_slice(&bytes).unwrap();
        R::from_answer(answer.try_into().ok()?)
    }

    #[test]
    fn a_question_gets_its_own_answer_through_bytes() {
        assert_eq!(ask(sums::Add { left: 200, right: 100 }), Some(300));
        assert_eq!(ask(sums::Forget), Some(None));
        assert_eq!(ask(names::Name), Some(()));
        assert!(sums::Reply::try_from(Reply::Names(names::Reply::Name(()))).is_err());
        assert_eq!(sums::Add::from_answer(sums::Reply::Forget(None)), None);
    }

    #[test]
    fn a_command_says_its_name_and_what_it_does() {
        let add = Command::from(sums::Add { left: 1, right: 2 }.into_command());
        assert_eq!((add.name(), add.access()), ("Add", Access::Read));
        let forget = Command::from(sums::Forget.into_command());
        assert_eq!((forget.name(), forget.access()), ("Forget", Access::Create));
        let name = Command::from(names::Name.into_command());
        assert_eq!((name.name(), name.access()), ("Name", Access::Write));
    }

    #[test]
    fn hidden_bytes_travel_as_a_byte_string() {
        let hidden = HiddenBytes::from(b"plain".to_vec());
        let bytes = serde_ipld_dagcbor::to_vec(&hidden).unwrap();
        assert_eq!(bytes, b"\x45plain");
        let read: HiddenBytes = serde_ipld_dagcbor::from_slice(&bytes).unwrap();
        assert_eq!(read.expose(), b"plain");
    }

    // What holds a secret cannot be printed: neither it, nor what carries it.
    static_assertions::assert_not_impl_any!(Hidden<String>: std::fmt::Debug, std::fmt::Display);
    static_assertions::assert_not_impl_any!(HiddenBytes: std::fmt::Debug, std::fmt::Display);
    static_assertions::assert_not_impl_any!(crate::account::Command: std::fmt::Debug);
    static_assertions::assert_not_impl_any!(crate::account::Reply: std::fmt::Debug);
    static_assertions::assert_not_impl_any!(crate::directory::Command: std::fmt::Debug);
    static_assertions::assert_not_impl_any!(crate::directory::Reply: std::fmt::Debug);
}
