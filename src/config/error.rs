//! Why a configuration can't be.

use std::path::PathBuf;

use super::Effective;

/// Why there is no configuration. Each message says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration file {} can't be read: {source}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML, line {line}: {reason}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The file has a key that is no setting.
    #[error("the configuration file {} has the unknown key `{key}`; {}", path.display(), hint(*nearest))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The setting that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The file has a value of the wrong type.
    #[error("the configuration file {}: `{name}` takes {wants}", path.display())]
    FileType {
        /// The file.
        path: PathBuf,
        /// The setting.
        name: &'static str,
        /// What it takes.
        wants: &'static str,
    },
    /// A value can't be.
    #[error("{place}: {reason}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// Where the value was given: the flag, the variable, or the file and its line.
        place: String,
        /// What is wrong and how it should be.
        reason: String,
    },
    /// The data folder or a key file can't be read, made or trusted.
    #[error("{} {reason}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl ConfigError {
    /// Of a setting's value, as if a flag had given it.
    pub fn invalid(name: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { name, place: format!("--{name}"), reason: reason.into() }
    }

    /// Says where the value was given.
    #[must_use]
    pub fn placed(mut self, effective: &Effective) -> Self {
        if let Self::Invalid { name, place, .. } = &mut self {
            effective.place(name).clone_into(place);
        }
        self
    }
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("`{name}` was probably meant"),
        None => "`zap config` lists all keys".to_owned(),
    }
}
