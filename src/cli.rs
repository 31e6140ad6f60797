//! The command `zap`: one server, and a client for it.
//!
//! | module | |
//! |---|---|
//! | [`settings`] | the server's settings as flags |
//! | [`serve`], [`dev`], [`config`] | running the server; running a whole network; what it is set to |
//! | [`session`] | where the server is and which token opens what; the calls |
//! | [`agent`], [`memory`], [`repo`] | the client commands |
//! | [`account`], [`invite`], [`takedown`] | what the administrator does to accounts, and to what is in them |
//! | [`export`], [`import`] | agents as files: [`archive`], [`passphrase`] |
//! | [`firehose`] | a server's event stream, decoded and verified |
//! | [`verify`] | proving a repo from its CAR |
//! | [`repair`] | checking and rebuilding a stopped server's databases |
//! | [`shell`] | completions and man pages, from the definitions of all commands |
//! | [`input`] | what is read from files |
//! | [`out`], [`progress`], [`invocation`] | what is printed; how far a command is; how this program is called in it |
//! | [`error`], [`explain`] | why a command failed, the exit code that says so, and what to do next |
//!
//! Client commands speak HTTP to the server like anybody's tools; they have no way around it. What repairs needs the
//! server stopped.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use serde_json::json;

mod account;
mod agent;
mod archive;
mod config;
mod dev;
mod error;
mod explain;
mod export;
mod find;
mod firehose;
mod import;
mod input;
mod invite;
mod invocation;
mod lexicon;
mod memory;
mod out;
mod passphrase;
mod progress;
mod repair;
mod repo;
mod serve;
mod session;
mod settings;
mod shell;
mod takedown;
mod verify;

use error::{CliError, LocalError};
use explain::Code;
use out::{Out, clean, escaped};
use session::{Connection, Session};

/// What `zap --help` ends with.
const AFTER_HELP: &str = "\
Examples:
  zap dev                                        a server to try things with, and two agents
  zap agent create carol                         an agent; its token is kept in the data folder
  zap remember carol \"tea at four\" --tag habit   seal a memory into her repo
  zap recall carol \"when is tea\"                 search her memories
  zap memories carol --json | jq .memories       what programs read
  zap firehose --verify                          follow what happens, and check it
  zap repo verify carol                          prove signature, tree and every record
  zap account create dana --email d@example.com  an account for a person; its password is printed
  zap takedown dana --ref \"case 7\"               nobody sees it, until `zap restore dana`
  zap export carol --out carol.car --move        take her to another server, where `zap import carol.car` goes on

Exit codes:
  0  done             3  no such agent, account, memory or repo
  1  failed           4  not authorized
  2  wrong usage      5  the server can't be reached";

/// An agent network on the AT Protocol: every agent an account, every memory a sealed record
#[derive(Debug, Parser)]
#[command(name = "zap", version, after_help = AFTER_HELP, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Folder of the server's data and keys, and of the tokens kept here [env: ZAP_DATA] [default: ./data]
    #[arg(long, global = true, value_name = "FOLDER")]
    data: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole network on this machine: a server, a PLC directory, two agents
    Dev(dev::DevArgs),
    /// Run the server
    Serve(serve::ServeArgs),
    /// Print the effective configuration, and where each value came from
    Config(config::ConfigArgs),
    /// Create, list, show and delete agents; change their tokens
    Agent(agent::AgentArgs),
    /// Create, list, show, change and delete accounts, as the administrator
    Account(account::AccountArgs),
    /// Make, list and withdraw invite codes
    Invite(invite::InviteArgs),
    /// Take down an account, a record or a blob: nobody sees it, until it is restored
    Takedown(takedown::TakedownArgs),
    /// Restore what was taken down
    Restore(takedown::RestoreArgs),
    /// Seal a memory into an agent's repo
    Remember(memory::RememberArgs),
    /// List an agent's memories, newest first
    Memories(memory::MemoriesArgs),
    /// Print all of one memory
    Memory(memory::MemoryArgs),
    /// Search an agent's memories
    Recall(memory::RecallArgs),
    /// Forget memories for good: their keys are destroyed
    Forget(memory::ForgetArgs),
    /// Follow a server's event stream, one line an event
    Firehose(firehose::FirehoseArgs),
    /// Publish the agent.* lexicons, so that others find them
    Lexicon(lexicon::LexiconArgs),
    /// Look into repos and prove them
    Repo(repo::RepoArgs),
    /// Write an agent with all its keys into one file, to keep it or to move it
    Export(export::ExportArgs),
    /// Take an agent in from such a file
    Import(import::ImportArgs),
    /// Print a shell's completions of this command
    #[command(visible_alias = "completions")]
    Completion(shell::CompletionArgs),
    /// Print this command's manual, or write the pages of all commands into a folder
    Man(shell::ManArgs),
}

/// Runs the command that this process was started with.
#[must_use]
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, std::env::args_os().any(|arg| arg == "--json")),
    };
    // Whatever any command writes is for its owner alone: data, tokens, archives. Not so the manual.
    if !matches!(cli.command, Command::Man(_)) {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    }
    leave_no_core();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(run(&cli));
            // What still runs there reads for somebody who has gone.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(LocalError::System(format!("no threads can be started: {error}")).into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error, cli.json),
    }
}

/// A process that dies leaves its memory to no file and to no crash reporter: keys and tokens are in it. The limit is for
/// files; what takes dumps by a pipe asks whether the process may be dumped, and so does a debugger.
fn leave_no_core() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Lowering a limit is always allowed.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Prints what is wrong with a command line, or the help that it asks for.
fn refuse(error: &clap::Error, json: bool) -> ExitCode {
    if !json || !error.use_stderr() {
        // Nobody is left to tell if this fails.
        let _ = error.print();
        return ExitCode::from(if error.use_stderr() { Code::Usage as u8 } else { 0 });
    }
    let text = error.to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or_default().trim_start_matches("error: ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    report(&LocalError::Usage(text).into(), json)
}

/// Tells why a command failed, and gives the exit code.
fn report(error: &CliError, json: bool) -> ExitCode {
    use std::io::Write;
    let code = error.code();
    if code == Code::Done {
        return ExitCode::SUCCESS;
    }
    let (message, hint) = (error.to_string(), error.hint());
    let text = if json {
        escaped(&json!({"error": error.name(), "message": message, "hint": hint}).to_string())
    } else {
        let message = clean(&message);
        hint.map_or_else(|| format!("error: {message}"), |hint| format!("error: {message}\n  next: {hint}"))
    };
    // Nobody is left to tell if this fails too.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
    ExitCode::from(code as u8)
}

async fn run(cli: &Cli) -> Result<(), CliError> {
    let out = Out::new(cli.json);
    let data = data_folder(cli);
    let session = |connection: &Connection| Session::new(connection, &data);
    match &cli.command {
        Command::Dev(args) => dev::run(args, out).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Config(args) => config::run(args, out),
        Command::Agent(args) => agent::run(args, &session(&args.connection)?, out).await,
        Command::Account(args) => account::run(args, &session(&args.connection)?, out).await,
        Command::Invite(args) => invite::run(args, &session(&args.connection)?, out).await,
        Command::Takedown(args) => takedown::run(args, &session(args.connection())?, out).await,
        Command::Restore(args) => takedown::restore(args, &session(args.connection())?, out).await,
        Command::Remember(args) => memory::remember(args, &session(&args.connection)?, out).await,
        Command::Memories(args) => memory::memories(args, &session(&args.connection)?, out).await,
        Command::Memory(args) => memory::memory(args, &session(&args.connection)?, out).await,
        Command::Recall(args) => memory::recall(args, &session(&args.connection)?, out).await,
        Command::Forget(args) => memory::forget(args, &session(&args.connection)?, out).await,
        Command::Firehose(args) => firehose::run(args, &session(&args.connection)?, out).await,
        Command::Lexicon(args) => lexicon::run(args, &session(&args.connection)?, out).await,
        Command::Repo(args) => repo::run(args, &data, out).await,
        Command::Export(args) => export::run(args, &session(&args.connection)?, out).await,
        Command::Import(args) => import::run(args, &session(&args.connection)?, out).await,
        Command::Completion(args) => shell::completion(args, Cli::command()),
        Command::Man(args) => shell::man(args, Cli::command(), out),
    }
}

/// Where client commands look for tokens and the running server.
fn data_folder(cli: &Cli) -> PathBuf {
    let env = || std::env::var("ZAP_DATA").ok().filter(|data| !data.is_empty());
    cli.data.clone().or_else(env).unwrap_or_else(|| "./data".to_owned()).into()
}

#[cfg(test)]
mod tests;
