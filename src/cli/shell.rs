//! `zap completion` and `zap man`: what shells and readers of manuals know of the command, from its own definitions.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Command, ValueHint};

use super::error::{CliError, LocalError};
use super::out::{Out, OutError, clean};

/// `zap completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  zap completion bash > ~/.local/share/bash-completion/completions/zap
  zap completion zsh > ~/.zfunc/_zap                 with ~/.zfunc in fpath
  zap completion fish > ~/.config/fish/completions/zap.fish")]
pub(crate) struct CompletionArgs {
    /// Whose language
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// `zap man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  zap man | man -l -\n  zap man ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Folder for the pages of all commands [default: the first page alone, printed]
    #[arg(value_hint = ValueHint::DirPath)]
    folder: Option<PathBuf>,
}

/// Prints a shell's script.
pub(crate) fn completion(args: &CompletionArgs, mut command: Command) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "zap", &mut script);
    print(&script)
}

/// Prints the first page, or writes one for each command.
pub(crate) fn man(args: &ManArgs, command: Command, out: Out) -> Result<(), CliError> {
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|error| LocalError::System(format!("the page can't be made: {error}")))?;
        return print(&page);
    };
    let failed = |source| LocalError::File { path: folder.clone(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(command, folder).map_err(failed)?;
    tell(folder, out)
}

fn tell(folder: &Path, out: Out) -> Result<(), CliError> {
    let folder = folder.display().to_string();
    if out.json {
        return out.json(&serde_json::json!({"folder": folder}));
    }
    out.line(&clean(&format!("the pages are in {folder}: man -l {folder}/zap.1")))
}

fn print(text: &[u8]) -> Result<(), CliError> {
    Ok(std::io::stdout().lock().write_all(text).map_err(OutError::Output)?)
}
