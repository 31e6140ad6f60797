//! `zap config`: the effective configuration, each value with its source, secrets hidden.

use serde_json::{Value, json};

use super::error::CliError;
use super::out::Out;
use super::settings::SettingFlags;
use zap::config::settings::Kind;
use zap::config::{Config, Effective, layers};

/// `zap config`.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    settings: SettingFlags,
}

pub(crate) fn run(args: &ConfigArgs, out: Out) -> Result<(), CliError> {
    let effective = args.settings.effective(zap::config::Texts::new())?;
    // What is printed is what `zap serve` would take; one that it would refuse is refused here as well.
    let config = super::settings::config(&effective)?;
    if out.json {
        return out.json(&as_json(&effective, &config));
    }
    for line in as_toml(&effective, &config) {
        out.line(&line)?;
    }
    Ok(())
}

/// A value that follows from others where nobody gave it.
fn derived(name: &str, config: &Config) -> Vec<String> {
    match name {
        "public-url" => vec![config.public_url.clone()],
        "handle-domain" => config.handle_domains.clone(),
        _ => Vec::new(),
    }
}

fn shown(value: &layers::Value, config: &Config) -> Value {
    let texts =
        if value.texts.is_empty() { derived(value.setting.name, config) } else { value.texts.clone() };
    match (value.setting.kind, texts.as_slice()) {
        (_, []) => Value::Null,
        (_, [_, ..]) if value.setting.secret => json!("(hidden)"),
        (Kind::List(_), texts) => json!(texts),
        (Kind::Switch, [.., text]) => json!(matches!(text.as_str(), "true" | "on" | "yes" | "1")),
        (Kind::One(_), [.., text]) => json!(text),
    }
}

fn as_json(effective: &Effective, config: &Config) -> Value {
    let entry = |value: &layers::Value| {
        let entry = json!({"value": shown(value, config), "source": value.source.to_string()});
        (value.setting.name.to_owned(), entry)
    };
    Value::Object(effective.values.iter().map(entry).collect())
}

/// TOML that can be used as the configuration file; what has no value or is secret is commented out.
fn as_toml(effective: &Effective, config: &Config) -> Vec<String> {
    let width = effective.values.iter().map(|value| value.setting.name.len()).max().unwrap_or_default();
    effective
        .values
        .iter()
        .map(|value| {
            let name = value.setting.name;
            let source = value.source;
            match shown(value, config) {
                Value::Null => format!("# {name:width$} =  # not set: {}", value.setting.help),
                _ if value.setting.secret => format!("# {name:width$} = \"(hidden)\"  # {source}"),
                // The JSON form of a text, a boolean or a list of texts is its TOML form too.
                shown => format!("{name:width$} = {shown}  # {source}"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use zap::config::Layers;

    fn effective(flags: &[(&'static str, &str)]) -> (Effective, Config) {
        let flags = flags.iter().map(|(name, text)| (*name, vec![(*text).to_owned()])).collect();
        let effective = Layers { flags, ..Layers::default() }.effective();
        let config = Config::new(&effective).unwrap();
        (effective, config)
    }

    #[test]
    fn what_is_printed_is_a_configuration_file_that_means_the_same() {
        let (given, config) = effective(&[
            ("listen", "127.0.0.1:99"),
            ("invite-required", "yes"),
            ("handle-domain", ".a.test"),
        ]);
        let text = as_toml(&given, &config).join("\n");
        let file = Layers::parse_file(&text, Path::new("printed")).unwrap();
        let again = Config::new(&Layers { file, ..Layers::default() }.effective()).unwrap();
        assert_eq!(again.listen, config.listen);
        assert_eq!(again.public_url, config.public_url);
        assert_eq!(again.handle_domains, config.handle_domains);
        assert!(again.invite_required);
    }

    #[test]
    fn no_secret_is_printed() {
        let key = "ab".repeat(32);
        let (given, config) = effective(&[
            ("master-key", &key),
            ("admin-token", "topsecret"),
            ("smtp-url", "smtps://u:pw@host"),
            ("mail-from", "mail@example.com"),
        ]);
        let text = format!("{} {}", as_json(&given, &config), as_toml(&given, &config).join("\n"));
        for secret in [key.as_str(), "topsecret", "u:pw"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("(hidden)") && text.contains("flag"));
    }
}
