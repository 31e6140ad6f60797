//! The passphrase of an archive: from a file, the environment, or asked for without showing it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::error::LocalError;
use super::input::{first_line, secret_in};
use zap::archive::check_passphrase;

/// Where a passphrase comes from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PassphraseArgs {
    /// File with the passphrase, - for standard input [default: ZAP_PASSPHRASE, else it is asked for]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// The passphrase; a new one is asked for twice.
    pub(crate) fn read(&self, new: bool) -> Result<Zeroizing<String>, LocalError> {
        let passphrase = match &self.passphrase_file {
            Some(path) => secret_in(path)?,
            None => match std::env::var("ZAP_PASSPHRASE") {
                Ok(passphrase) if !passphrase.is_empty() => Zeroizing::new(passphrase),
                _ => ask(new)?,
            },
        };
        check_passphrase(&passphrase).map_err(|error| LocalError::Usage(error.to_string()))?;
        Ok(passphrase)
    }
}

fn ask(new: bool) -> Result<Zeroizing<String>, LocalError> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(|_| {
        LocalError::Usage(
            "the archive needs a passphrase: give --passphrase-file or ZAP_PASSPHRASE".to_owned(),
        )
    })?;
    let passphrase = prompt(&terminal, "Passphrase of the archive: ")?;
    if new && *prompt(&terminal, "The same again: ")? != *passphrase {
        return Err(LocalError::Usage("that was not the same passphrase twice".to_owned()));
    }
    Ok(passphrase)
}

fn prompt(mut terminal: &File, text: &str) -> Result<Zeroizing<String>, LocalError> {
    let failed = |error: std::io::Error| LocalError::System(format!("asking for the passphrase: {error}"));
    terminal.write_all(text.as_bytes()).map_err(failed)?;
    let mut line = Zeroizing::new(String::new());
    {
        let _silence = Silence::over(terminal).map_err(failed)?;
        BufReader::new(terminal).read_line(&mut line).map_err(failed)?;
    }
    terminal.write_all(b"\n").map_err(failed)?;
    Ok(first_line(&line))
}

/// A terminal that does not show what is typed, until this goes.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn over(terminal: &'a File) -> std::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing anyway.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_comes_from_a_file_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        let args = PassphraseArgs { passphrase_file: Some(path.clone()) };
        assert!(matches!(args.read(true), Err(LocalError::File { .. })));
        std::fs::write(&path, " correct horse \r\nnot this").unwrap();
        assert_eq!(*args.read(true).unwrap(), " correct horse ");
        std::fs::write(&path, "short\n").unwrap();
        assert!(matches!(args.read(false), Err(LocalError::Usage(_))));
    }
}
