//! Passwords that the operator gives out: taken from a file, or made here.

use std::path::PathBuf;

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use super::super::error::LocalError;
use super::super::input::secret_in;

/// Random bytes of a password that is made: 120 bits.
const RANDOM_BYTES: usize = 15;
/// Letters between two hyphens of it.
const GROUP: usize = 6;

/// Where a password comes from.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PasswordArgs {
    /// File with the password, - for standard input [default: one is made, and printed]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// A password.
pub(super) struct Password {
    pub(super) text: Zeroizing<String>,
    /// Whether nobody knows it yet.
    pub(super) is_new: bool,
}

impl PasswordArgs {
    pub(super) fn read(&self) -> Result<Password, LocalError> {
        let Some(path) = &self.password_file else {
            return Ok(Password { text: made()?, is_new: true });
        };
        let text = secret_in(path)?;
        if text.is_empty() {
            return Err(LocalError::Usage(format!(
                "--password-file: there is nothing in {}",
                path.display()
            )));
        }
        Ok(Password { text, is_new: false })
    }
}

fn made() -> Result<Zeroizing<String>, LocalError> {
    let mut random = Zeroizing::new([0; RANDOM_BYTES]);
    getrandom::fill(&mut *random)
        .map_err(|error| LocalError::System(format!("no random bytes can be had: {error}")))?;
    let letters = Zeroizing::new(BASE32_NOPAD.encode(&*random).to_ascii_lowercase());
    let mut text = Zeroizing::new(String::with_capacity(letters.len() * 2));
    for (index, letter) in letters.chars().enumerate() {
        if index > 0 && index % GROUP == 0 {
            text.push('-');
        }
        text.push(letter);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_is_made_is_another_each_time() {
        let args = PasswordArgs { password_file: None };
        let (one, other) = (args.read().unwrap(), args.read().unwrap());
        assert!(one.is_new && *one.text != *other.text);
        let groups: Vec<_> = one.text.split('-').collect();
        assert_eq!(groups.iter().map(|group| group.len()).collect::<Vec<_>>(), [GROUP; 4], "{}", *one.text);
    }

    #[test]
    fn a_password_is_the_first_line_of_its_file_and_never_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let args = PasswordArgs { password_file: Some(path.clone()) };
        assert!(matches!(args.read(), Err(LocalError::File { .. })));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(args.read(), Err(LocalError::Usage(_))));
        std::fs::write(&path, " correct horse\n").unwrap();
        let read = args.read().unwrap();
        assert_eq!((read.text.as_str(), read.is_new), (" correct horse", false));
    }
}
