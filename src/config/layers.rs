//! The three forms of a configuration and which of them wins: flag, then environment, then file, then default.
//!
//! Values stay texts here, each with its source, so that `zap config` can show both. [`super::Config`] parses them.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;

use super::ConfigError;
use super::settings::{Kind, SETTINGS, Setting, nearest};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// An environment variable.
    Env,
    /// The configuration file.
    File,
    /// What `zap dev` sets by itself.
    Dev,
    /// Built in.
    Default,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Env => "environment",
            Self::File => "file",
            Self::Dev => "zap dev",
            Self::Default => "default",
        })
    }
}

/// Texts by setting name.
pub type Texts = BTreeMap<&'static str, Vec<String>>;

/// What a configuration file says, and where.
#[derive(Debug, Default)]
pub struct FileTexts {
    /// What it says.
    pub texts: Texts,
    /// The file and the line, by setting name.
    pub places: BTreeMap<&'static str, String>,
}

/// A configuration as it was given, form by form.
#[derive(Debug, Default)]
pub struct Layers {
    /// From the command line.
    pub flags: Texts,
    /// From the environment.
    pub env: Texts,
    /// From the file.
    pub file: FileTexts,
    /// Defaults that the command brings along.
    pub dev: Texts,
}

impl Layers {
    /// Reads the environment through `get`. An empty variable counts as absent, as in most service managers.
    #[must_use]
    pub fn read_env(get: impl Fn(&str) -> Option<String>) -> Texts {
        let mut texts = Texts::new();
        for setting in SETTINGS {
            if let Some(text) = get(&setting.env()).filter(|text| !text.is_empty()) {
                let values = match setting.kind {
                    Kind::List(_) => split_list(&text),
                    Kind::One(_) | Kind::Switch => vec![text],
                };
                texts.insert(setting.name, values);
            }
        }
        texts
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it can't be read, is not TOML, or has a key or value that no setting takes.
    pub fn read_file(path: &Path) -> Result<FileTexts, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::ReadFile { path: path.to_owned(), source })?;
        Self::parse_file(&text, path)
    }

    /// Reads TOML text; `path` is for messages.
    ///
    /// # Errors
    /// As [`Layers::read_file`].
    pub fn parse_file(text: &str, path: &Path) -> Result<FileTexts, ConfigError> {
        let line_at = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let table: BTreeMap<String, Spanned<toml::Value>> =
            toml::from_str(text).map_err(|error| ConfigError::NotToml {
                path: path.to_owned(),
                // The message alone: the rendered error quotes the line, which may hold a secret.
                reason: error.message().to_owned(),
                line: error.span().map_or(0, |span| line_at(span.start)),
            })?;
        let mut file = FileTexts::default();
        for (key, value) in table {
            let line = line_at(value.span().start);
            let Some(setting) = Setting::find(&key) else {
                let nearest = nearest(&key);
                return Err(ConfigError::UnknownKey { path: path.to_owned(), key, nearest });
            };
            let values = file_values(setting, value.into_inner()).ok_or(ConfigError::FileType {
                path: path.to_owned(),
                name: setting.name,
                wants: match setting.kind {
                    Kind::One(_) => "a text or a number",
                    Kind::Switch => "true or false",
                    Kind::List(_) => "a list of texts",
                },
            })?;
            file.texts.insert(setting.name, values);
            file.places.insert(setting.name, format!("{}, line {line}, `{}`", path.display(), setting.name));
        }
        Ok(file)
    }

    /// The winning value of every setting.
    #[must_use]
    pub fn effective(&self) -> Effective {
        let layers = [
            (Source::Flag, &self.flags),
            (Source::Env, &self.env),
            (Source::File, &self.file.texts),
            (Source::Dev, &self.dev),
        ];
        let values = SETTINGS
            .iter()
            .map(|setting| {
                let given = layers.iter().find_map(|(source, texts)| {
                    texts.get(setting.name).map(|texts| (*source, texts.clone()))
                });
                let (source, texts) = given.unwrap_or_else(|| {
                    (Source::Default, setting.default.map(str::to_owned).into_iter().collect())
                });
                let place = match source {
                    Source::Env => setting.env(),
                    Source::File => self.file.places.get(setting.name).cloned().unwrap_or_default(),
                    Source::Flag | Source::Dev | Source::Default => format!("--{}", setting.name),
                };
                Value { setting, texts, source, place }
            })
            .collect();
        Effective { values }
    }
}

/// A setting's winning value.
#[derive(Debug)]
pub struct Value {
    /// The setting.
    pub setting: &'static Setting,
    /// Its texts: one, several for a list, or none.
    pub texts: Vec<String>,
    /// Who gave it.
    pub source: Source,
    /// Where, for messages.
    pub place: String,
}

/// The winning value of every setting, in the table's order.
#[derive(Debug)]
pub struct Effective {
    /// One for each of [`SETTINGS`].
    pub values: Vec<Value>,
}

impl Effective {
    /// Where a setting's value was given, for messages.
    pub fn place(&self, name: &'static str) -> &str {
        self.values.iter().find(|value| value.setting.name == name).map_or(name, |value| &value.place)
    }

    /// All texts of a setting.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.values.iter().find(|value| value.setting.name == name).map_or(&[], |value| &value.texts)
    }

    /// The text of a setting that has one.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }
}

/// `a, b` as two texts.
pub(crate) fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn file_values(setting: &Setting, value: toml::Value) -> Option<Vec<String>> {
    let scalar = |value: toml::Value| match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        _ => None,
    };
    match (setting.kind, value) {
        (Kind::List(_), toml::Value::Array(items)) => items.into_iter().map(scalar).collect(),
        (Kind::List(_), toml::Value::String(text)) => Some(split_list(&text)),
        (Kind::Switch, toml::Value::Boolean(yes)) => Some(vec![yes.to_string()]),
        (Kind::Switch, _) => None,
        // `rate-limits = true` reads as naturally as `"on"`.
        (Kind::One("on|off"), toml::Value::Boolean(yes)) => {
            Some(vec![if yes { "on" } else { "off" }.to_owned()])
        }
        (_, value) => scalar(value).map(|text| vec![text]),
    }
}
