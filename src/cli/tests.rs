//! The command line as clap sees it, and what every error says: exit code, name for programs, message, next step.
//!
//! If a row of the table fails, scripts that read exit codes and names break, or people are sent the wrong way.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::CommandFactory;
use repo_mst::TreeError;
use repo_mst::car::CarError;
use repo_mst::commit::CommitError;

use super::agent::AgentError;
use super::archive::ArchiveError;
use super::find::AccountError;
use super::firehose::FirehoseError;
use super::memory::MemoryError;
use super::out::OutError;
use super::serve::ServeError;
use super::session::SessionError;
use super::verify::VerifyError;
use super::*;
use zap::config::{ConfigError, SETTINGS};
use zap::data_model::{CODEC_RAW, DataModelError, cid_of_block};
use zap::host::HostError;
use zap::native::telemetry::TelemetryError;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_setting_is_a_flag() {
    let config = Cli::command();
    let config = config.find_subcommand("config").unwrap();
    for setting in SETTINGS.iter().filter(|setting| setting.name != "data") {
        assert!(config.get_arguments().any(|arg| arg.get_long() == Some(setting.name)), "{}", setting.name);
    }
}

/// Checks an error's exit code, name, message and next step; an empty next step stands for none.
fn says(error: impl Into<CliError>, code: u8, name: &str, message: &str, hint: &str) {
    let error = error.into();
    assert_eq!(error.code() as u8, code, "{error:?}");
    assert_eq!(error.name(), name, "{error:?}");
    assert_eq!(error.to_string(), message);
    assert_eq!(error.hint().unwrap_or_default(), hint, "{error:?}");
}

/// The next step where the server knows no such thing.
const LIST: &str = "`zap agent list` shows the agents there are";
/// The next step where the server does not take the token.
const TOKEN: &str =
    "the token does not open this; the one of --token or ZAP_TOKEN is used, else that kept in --data";

#[test]
fn errors_of_this_side_say_what_to_do() {
    says(LocalError::Usage("no".to_owned()), 2, "Usage", "no", "`zap --help` has examples");
    says(LocalError::System("no threads".to_owned()), 1, "Failed", "no threads", "");
    let (path, source) = (PathBuf::from("a.car"), ErrorKind::NotFound.into());
    says(LocalError::File { path, source }, 1, "Failed", "a.car: entity not found", "");
    let full = OutError::Output(ErrorKind::StorageFull.into());
    says(full, 1, "Failed", "writing the output: no storage space", "");
    let not_json = serde_json::from_str::<u8>("x").unwrap_err();
    let message = "writing JSON: expected value at line 1 column 1";
    says(OutError::NotJson(not_json), 1, "Failed", message, "");

    let invalid = ConfigError::invalid("listen", "bad");
    let hint = "`zap config` shows every setting and where it came from";
    says(invalid, 2, "Usage", "--listen: bad", hint);
    let folder = ConfigError::Folder { path: "data".into(), reason: "is open to others".to_owned() };
    says(folder, 1, "Failed", "data is open to others", "");
    says(TelemetryError::LogTaken, 1, "Failed", "logging is set up already", "");
    says(HostError::Stopping, 1, "Failed", "the server is stopping", "");
    let (address, flag) = ("127.0.0.1:80".to_owned(), "--listen");
    let taken = ServeError::PortInUse { address: address.clone(), flag };
    let hint = "stop that one, or choose another port with --listen";
    says(taken, 1, "Failed", "127.0.0.1:80 is in use by another process", hint);
    let listen = ServeError::Listen { address, flag, source: ErrorKind::PermissionDenied.into() };
    let hint = "choose an address of this machine, and a port that you may use, with --listen";
    says(listen, 1, "Failed", "127.0.0.1:80 can't be listened on: permission denied", hint);
}

#[test]
fn a_reader_that_stops_early_is_no_failure() {
    let stopped = CliError::from(OutError::Output(ErrorKind::BrokenPipe.into()));
    assert_eq!(report(&stopped, false), ExitCode::SUCCESS);
    assert_eq!(report(&stopped, true), ExitCode::SUCCESS);
}

#[test]
fn errors_about_agents_say_what_to_do() {
    let unconfirmed = AgentError::Unconfirmed("carol.test".to_owned());
    let message = "deleting carol.test destroys its keys and memories for good";
    says(unconfirmed, 2, "Usage", message, "repeat it with --yes if that is meant");
    let no_agent = SessionError::NoAgent("carol.test".to_owned());
    says(no_agent, 3, "NotFound", "there is no carol.test on this server", LIST);
    let no_memory = MemoryError::NoMemory { agent: "carol".to_owned() };
    let hint = "`zap memories carol` shows those there are";
    says(no_memory, 3, "NotFound", "carol has none of these memories", hint);

    let no_token = |who: &str| SessionError::NoToken { who: who.to_owned(), path: "data/x".into() };
    let hint = "say where the server's data folder is with --data, or give --token or ZAP_TOKEN; `zap dev` starts \
                a server with all of it";
    let message = "there is no token of the administrator in data/x";
    says(no_token("the administrator"), 4, "NotAuthorized", message, hint);
    let hint = "give --token or ZAP_TOKEN, or the folder it was created in with --data; `zap agent create` keeps the \
                token of a new agent there";
    says(no_token("carol"), 4, "NotAuthorized", "there is no token of carol in data/x", hint);
    let other = SessionError::OtherToken { agent: "alice".to_owned(), owner: "carol.test".to_owned() };
    let hint = "name carol.test; or give a token of alice with --token or ZAP_TOKEN (name it by its DID to use the \
                one kept of it)";
    says(other, 4, "NotAuthorized", "the token is of carol.test, not of alice", hint);
}

#[test]
fn errors_about_accounts_say_what_to_do() {
    let yes = "repeat it with --yes if that is meant";
    let dana = || "dana.test".to_owned();
    let message = "deleting dana.test destroys its repo, its blobs and its keys for good";
    says(AccountError::DeletionUnconfirmed(dana()), 2, "Usage", message, yes);
    let message = "this ends all sessions, app passwords and the password of dana.test";
    says(AccountError::RevocationUnconfirmed(dana()), 2, "Usage", message, yes);
    let message = "there is no dana.test on this server";
    let hint = "`zap account list` shows the accounts there are";
    says(AccountError::NoAccount(dana()), 3, "NotFound", message, hint);
    let hint = "name a record by its at:// URI; a blob by its account and --blob CID";
    says(AccountError::NoSubject(dana()), 3, "NotFound", message, hint);
    let hint = "`zap invite list` shows the codes there are";
    says(AccountError::NoCode("abc".to_owned()), 3, "NotFound", "there is no invite code abc", hint);
    let hint = "start the server with --smtp-url or --mail-url, and --mail-from; README has the settings";
    says(AccountError::NoMail("no mail".to_owned()), 1, "MethodNotImplemented", "no mail", hint);
    let token =
        "an agent signs in by its token: `zap agent token dana.test --rotate`, as the agent, makes another";
    let mail =
        "`zap account password-reset dana.test --mail` sends its owner a code to set another password with";
    for (is_agent, hint) in [(true, token), (false, mail)] {
        let closed = AccountError::OpensMemories { handle: dana(), is_agent, message: "no".to_owned() };
        says(closed, 4, "Forbidden", "no", hint);
    }
    let address = "`zap account email dana.test ADDRESS` sets one, unless it has memories";
    for (is_agent, hint) in [(true, token), (false, address)] {
        let none = AccountError::NoAddress { handle: dana(), is_agent };
        says(none, 1, "Failed", "dana.test has no e-mail address", hint);
    }
}

#[test]
fn errors_of_the_way_to_a_server_say_what_to_do() {
    let (url, reason) = ("http://a.test".to_owned(), "no route".to_owned());
    let unreachable = SessionError::Unreachable { url: url.clone(), reason: reason.clone() };
    let hint = "start it with `zap dev`, or say where it is with --url or ZAP_URL";
    says(unreachable, 5, "Unreachable", "the server at http://a.test can't be reached: no route", hint);
    let not_xrpc = SessionError::NotXrpc { url: url.clone(), status: "404 Not Found".to_owned() };
    let message = "what runs at http://a.test answered 404 Not Found, and not as an XRPC server does";
    says(not_xrpc, 1, "Failed", message, "say where the server is with --url or ZAP_URL");
    let answer = SessionError::Answer { nsid: "a.b.c".to_owned(), reason: reason.clone() };
    says(answer, 1, "Failed", "the server's answer to a.b.c can't be read: no route", "");
    let hint = "say which PLC directory knows the DID with --plc-url or ZAP_PLC_URL";
    let message = "the DID document at http://a.test can't be had: no route";
    for (missing, code, name) in [(true, 3, "NotFound"), (false, 5, "Unreachable")] {
        let error = SessionError::NoDocument { url: url.clone(), reason: reason.clone(), missing };
        says(error, code, name, message, hint);
    }

    let address = FirehoseError::Address("ftp://a.test".to_owned());
    says(address, 2, "Usage", "`ftp://a.test` is not the address of a host", "");
    let hint =
        "start a server with `zap dev`, or name a host that runs, as bsky.network or http://localhost:2583";
    let message = "the stream at http://a.test can't be followed: no route";
    says(FirehoseError::Connect { url, reason }, 5, "Unreachable", message, hint);
    let ended = FirehoseError::Ended { name: "FutureCursor".to_owned(), message: "not yet".to_owned() };
    says(ended, 1, "Failed", "the host ended the stream with FutureCursor: not yet", "");
    says(FirehoseError::Violations(2), 1, "Failed", "2 violations of the protocol", "");
}

#[test]
fn what_a_server_refuses_keeps_its_name_and_says_what_to_do() {
    let method = "the server does not have this method; is it a zap server?";
    let log = "the server's log says more";
    for (status, name, code, hint) in [
        (401, "AuthRequired", 4, TOKEN),
        (403, "Forbidden", 4, TOKEN),
        (400, "InvalidToken", 4, TOKEN),
        (400, "ExpiredToken", 4, TOKEN),
        (400, "AuthMissing", 4, TOKEN),
        (400, "VaultLocked", 4, TOKEN),
        (
            400,
            "HandleNotAvailable",
            1,
            "choose another name; `zap agent list` and `zap account list` show those there are",
        ),
        (400, "InvalidName", 1, "a name has letters, digits and hyphens, as in alice or build-bot-2"),
        (
            409,
            "AccountExists",
            1,
            "an agent that is at work here is not replaced; `zap agent show` says more",
        ),
        (
            400,
            "NotMovable",
            1,
            "`zap export --move` on the server where the agent lives makes an archive that moves it",
        ),
        (
            404,
            "NotMovable",
            3,
            "`zap export --move` on the server where the agent lives makes an archive that moves it",
        ),
        (501, "MethodNotImplemented", 1, method),
        (501, "RepoNotFound", 3, method),
        (500, "InternalServerError", 1, log),
        (503, "RepoNotFound", 3, log),
        (507, "StorageFull", 1, "the server's disk is full: its operator has to make room"),
        (404, "Gone", 3, LIST),
        (400, "RepoNotFound", 3, LIST),
        (400, "InvalidRequest", 1, ""),
        (429, "RateLimitExceeded", 1, ""),
    ] {
        let message = "the server's own words";
        let error = SessionError::Refused { status, name: name.to_owned(), message: message.to_owned() };
        says(error, code, name, message, hint);
    }
}

#[test]
fn errors_of_repos_and_archives_are_failures() {
    let cid = cid_of_block(CODEC_RAW, b"block");
    let text = || "x".to_owned();
    let archive = ArchiveError::Broken("a.car: there is nothing in it".to_owned());
    says(archive, 1, "Failed", "a.car: there is nothing in it", "");
    says(zap::archive::Error::Version(9), 1, "Failed", "archive version 9 is not known here", "");
    for (error, message) in [
        (
            VerifyError::Car(CarError::SectionTooShort { bytes: 1, at: 2 }),
            "CAR: section of 1 bytes at byte 2 is too short",
        ),
        (VerifyError::Roots(2), "the CAR names 2 roots instead of one"),
        (VerifyError::Missing { what: "record", cid }, &format!("record {cid} is not in the CAR")),
        (VerifyError::Commit(CommitError::Version { version: 9 }), "commit: commit has version 9, not 3"),
        (VerifyError::OtherDid { expected: text(), found: "y".to_owned() }, "the commit is of y, not of x"),
        (VerifyError::Rev(text()), "the commit's rev `x` is not a TID"),
        (VerifyError::NoKey(text()), "the DID document has no usable #atproto key: x"),
        (VerifyError::Signature, "the signature is not by the DID document's key"),
        (VerifyError::Tree(TreeError::Unfinished), "tree: tree has changes that are not finished"),
        (VerifyError::Path(text()), "`x` is not a collection and a record key"),
        (
            VerifyError::Record { path: text(), source: DataModelError::TooDeep },
            "record x: nested too deeply",
        ),
        (VerifyError::RecordType { path: text(), found: "y".to_owned() }, "record x has the type `y`"),
    ] {
        says(error, 1, "Failed", &format!("the repo does not verify: {message}"), "");
    }
}
