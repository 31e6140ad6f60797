//! The server's settings as clap sees them: one flag for each row of the table, no flag without one.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::explain::{Code, Explain};
use zap::config::settings::{Kind, SETTINGS, Setting};
use zap::config::{Config, ConfigError, Effective, Layers, Texts};
use zap::native::telemetry;

/// The flags that were given, and the file's name.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingFlags {
    given: Texts,
    config: Option<PathBuf>,
}

impl SettingFlags {
    /// As if these had been given.
    pub(crate) fn of(given: Texts) -> Self {
        Self { given, config: None }
    }

    /// All forms put together. `dev` are the defaults the command brings along.
    ///
    /// # Errors
    /// When the file can't be read, or is not a configuration.
    pub(crate) fn effective(&self, dev: Texts) -> Result<Effective, ConfigError> {
        let env = |name: &str| std::env::var_os(name).and_then(|value: OsString| value.into_string().ok());
        let path = self
            .config
            .clone()
            .or_else(|| env("ZAP_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
        let file = path.map(|path| Layers::read_file(&path)).transpose()?.unwrap_or_default();
        Ok(Layers { flags: self.given.clone(), env: Layers::read_env(env), file, dev }.effective())
    }
}

impl Explain for ConfigError {
    fn code(&self) -> Code {
        match self {
            Self::Folder { .. } => Code::Failed,
            _ => Code::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            // The reason says what to do with the folder.
            Self::Folder { .. } => None,
            _ => Some("`zap config` shows every setting and where it came from".to_owned()),
        }
    }
}

fn arg(setting: &'static Setting) -> Arg {
    let mut help = setting.help.to_owned();
    if let Some(default) = setting.default.filter(|_| setting.kind != Kind::Switch) {
        help = format!("{help} [default: {default}]");
    }
    let arg = Arg::new(setting.name).long(setting.name).help(help).help_heading("Settings");
    match setting.kind {
        Kind::One(placeholder) => arg.value_name(placeholder).action(ArgAction::Set),
        Kind::List(placeholder) => arg.value_name(placeholder).action(ArgAction::Append).value_delimiter(','),
        // `--invite-required`, and `--invite-required=false` to overrule the environment or the file.
        Kind::Switch => arg
            .value_name("true|false")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .action(ArgAction::Set)
            .hide_possible_values(true),
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config").long("config").value_name("FILE").help_heading("Settings");
        let config = config.help("TOML file of settings; each key is a flag's name without its dashes");
        // `--data` belongs to every command, so it is defined once, above all of them.
        let settings = SETTINGS.iter().filter(|setting| setting.name != "data").map(arg);
        command.arg(config).args(settings).after_help(
            "Every setting can also be an environment variable (--public-url as ZAP_PUBLIC_URL) or a key of the file\n\
             (public-url = \"...\"). A flag wins over the environment, that over the file, that over the default.",
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Texts::new();
        for setting in SETTINGS {
            let values = matches.try_get_many::<String>(setting.name).ok().flatten();
            if let Some(values) = values {
                given.insert(setting.name, values.cloned().collect());
            }
        }
        Ok(Self { given, config: matches.get_one::<String>("config").map(PathBuf::from) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The configuration of these values, the log's filter included, which only this host knows to read.
pub(crate) fn config(effective: &Effective) -> Result<Config, ConfigError> {
    let config = Config::new(effective)?;
    match telemetry::check_filter(&config.log) {
        Ok(()) => Ok(config),
        Err(error) => {
            Err(ConfigError::invalid("log", format!("`{}`: {error}", config.log)).placed(effective))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_refused_by_name() {
        let with = |filter: &str| {
            let flags = Texts::from([("log", vec![filter.to_owned()])]);
            config(&Layers { flags, ..Layers::default() }.effective()).map_err(|error| error.to_string())
        };
        assert!(with("zap=debug").is_ok());
        let error = with("zap=loud").unwrap_err();
        assert!(error.starts_with("--log: ") && error.contains("zap=debug"), "{error}");
    }
}
