//! The configuration as a whole: who wins, what is refused, what is never shown.

use std::path::Path;

use super::*;
use crate::rate_limit::Rate;

fn texts(pairs: &[(&'static str, &str)]) -> Texts {
    pairs.iter().map(|(name, text)| (*name, vec![(*text).to_owned()])).collect()
}

fn config(pairs: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
    Config::new(&Layers { flags: texts(pairs), ..Layers::default() }.effective())
}

fn service_did(config: &Config) -> String {
    let master_key = crate::vault::MasterKey::from_bytes([1; 32]);
    config.network(&Secrets { master_key, admin_token: Zeroizing::default() }).service_did
}

fn refusal(pairs: &[(&'static str, &str)]) -> String {
    config(pairs).unwrap_err().to_string()
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default() {
    let mut layers = Layers {
        flags: texts(&[("listen", "127.0.0.1:1")]),
        env: Layers::read_env(|name| match name {
            "ZAP_LISTEN" => Some("127.0.0.1:2".to_owned()),
            "ZAP_HANDLE_DOMAIN" => Some(".one.test, .two.test".to_owned()),
            "ZAP_DATA" => Some(String::new()),
            _ => None,
        }),
        file: Layers::parse_file(
            "listen = '127.0.0.1:3'\nhandle-domain = ['.file.test']\nblob-limit = 7\ninvite-required = true\n",
            Path::new("zap.toml"),
        )
        .unwrap(),
        dev: texts(&[("blob-limit", "8"), ("allow-loopback", "true")]),
    };
    let config = Config::new(&layers.effective()).unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.handle_domains, [".one.test", ".two.test"]);
    assert_eq!(config.blob_bytes_max, 7);
    assert!(config.invite_required && config.allow_loopback);
    assert_eq!(config.data, Path::new("./data"));
    layers.flags.clear();
    assert_eq!(Config::new(&layers.effective()).unwrap().listen.port(), 2);
    layers.env.clear();
    assert_eq!(Config::new(&layers.effective()).unwrap().listen.port(), 3);
    layers.file = FileTexts::default();
    assert_eq!(Config::new(&layers.effective()).unwrap().listen.port(), 2583);
}

#[test]
fn the_defaults_are_a_server_on_localhost() {
    let config = config(&[]).unwrap();
    assert_eq!(config.public_url, "http://localhost:2583");
    assert_eq!(config.handle_domains, [".test"]);
    assert_eq!(service_did(&config), "did:web:localhost%3A2583");
    assert_eq!(config.backfill_window.as_secs(), 72 * 3600);
    assert!(config.relays.is_empty(), "nobody is told of it");
}

#[test]
fn handles_are_under_the_public_host() {
    let config = config(&[("public-url", "https://agents.example.com")]).unwrap();
    assert_eq!(config.handle_domains, [".agents.example.com"]);
    assert_eq!(service_did(&config), "did:web:agents.example.com");
}

#[test]
fn what_can_not_be_is_refused_by_name() {
    for (name, text, says) in [
        ("listen", "2583", "127.0.0.1:2583"),
        ("listen", "127.0.0.1:0", "--public-url"),
        ("public-url", "https://a.example/pds", "has a path"),
        ("public-url", "http://example.com", "https"),
        ("handle-domain", "test", ".test"),
        ("master-key", "abc", "64 hex digits"),
        ("admin-token", "short", "8 to 512"),
        ("admin-token", "with a blank in it", "8 to 512"),
        ("backfill-window", "72", "72h"),
        ("blob-limit", "many", "5MiB"),
        ("rate-limits", "perhaps", "on nor off"),
        ("request-limit", "3000", "3000/5m"),
        ("report-service-did", "a.example", "did:web:"),
        ("write-limit", "1/5m,2/1h,3/1d", "35000/1d"),
        ("method-limit", "createAccount=5/5m", "createAccount"),
        ("invite-required", "perhaps", "on nor off"),
        ("log-format", "xml", "json"),
    ] {
        let message = refusal(&[(name, text)]);
        assert!(message.starts_with(&format!("--{name}: ")) && message.contains(says), "{message}");
    }
}

#[test]
fn the_file_names_what_it_does_not_know() {
    let parse = |text| Layers::parse_file(text, Path::new("zap.toml")).unwrap_err().to_string();
    assert!(parse("lisen = 'x'").contains("`listen` was probably meant"));
    assert!(parse("colour = 'x'").contains("`zap config`"));
    assert!(parse("listen = 1.5").contains("a text or a number"));
    assert!(parse("invite-required = 'yes'").contains("true or false"));
    let message = parse("listen = 'x'\nadmin-token = 'hunter2hunter2\n");
    assert!(message.contains("line 2") && !message.contains("hunter2"), "{message}");
}

/// What breaks: whoever wrote a wrong value into a file looks for a flag that they never gave.
#[test]
fn a_wrong_value_is_named_by_where_it_was_given() {
    let file = Layers::parse_file("# ours\n\nlisten = 'x'\n", Path::new("zap.toml")).unwrap();
    let mut layers = Layers { file, ..Layers::default() };
    let message = |layers: &Layers| Config::new(&layers.effective()).unwrap_err().to_string();
    assert!(message(&layers).starts_with("zap.toml, line 3, `listen`: `x` is not"), "{}", message(&layers));
    layers.env = Layers::read_env(|name| (name == "ZAP_LISTEN").then(|| "y".to_owned()));
    assert!(message(&layers).starts_with("ZAP_LISTEN: `y` is not"), "{}", message(&layers));
    layers.flags = texts(&[("listen", "z")]);
    assert!(message(&layers).starts_with("--listen: `z` is not"), "{}", message(&layers));
}

#[test]
fn a_service_has_a_place_and_a_name_and_reports_go_to_moderation() {
    let message = refusal(&[("appview-url", "https://api.example.com")]);
    assert!(message.starts_with("--appview-did: "), "{message}");
    let message = refusal(&[("mod-service-did", "did:web:mod.example.com")]);
    assert!(message.starts_with("--mod-service-url: "), "{message}");
    let set =
        [("mod-service-url", "https://mod.example.com/"), ("mod-service-did", "did:web:mod.example.com")];
    let config = config(&set).unwrap();
    assert_eq!(config.services.reports, config.services.moderation);
    assert_eq!(config.services.appview, None);
    assert!(config.trusted_origins().contains(&"https://mod.example.com".to_owned()));
}

#[test]
fn limits_are_those_of_the_reference_server_or_none() {
    let on = config(&[]).unwrap().rate_limits;
    assert_eq!(on.requests, Rates::one(Rate::new(3_000, 300)));
    assert_eq!(on.writes, Rates::two(Rate::new(5_000, 3_600), Rate::new(35_000, 86_400)));
    assert_eq!(on.methods, Some(Vec::new()));
    assert_eq!(config(&[("rate-limits", "off")]).unwrap().rate_limits, RateLimits::default());
}

#[test]
fn mail_goes_one_way_and_has_a_sender() {
    let (smtp, url) =
        (("smtp-url", "smtps://me:pw@mail.example.com"), ("mail-url", "https://a.example/mails"));
    let (token, from) = (("mail-token", "secret-of-mails"), ("mail-from", "Agents <mail@example.com>"));
    let route = |given: &[(&'static str, &str)]| match config(given).unwrap().mail {
        Mailing::Off => "off",
        Mailing::Printed => "printed",
        Mailing::Sent { route: MailRoute::Smtp(_), .. } => "smtp",
        Mailing::Sent { route: MailRoute::Http(_), .. } => "http",
    };
    assert_eq!(route(&[]), "off");
    assert_eq!(route(&[smtp, from]), "smtp");
    assert_eq!(route(&[url, token, from]), "http");
    assert_eq!(route(&[url, from]), "http");
    for (given, named) in [
        (&[smtp][..], "--mail-from"),
        (&[from], "--mail-from"),
        (&[smtp, url, from], "--mail-url"),
        (&[smtp, token, from], "--mail-token"),
        (&[token, from], "--mail-token"),
    ] {
        let refused = config(given).unwrap_err().to_string();
        assert!(refused.starts_with(named) && !refused.contains("secret-of-mails"), "{refused}");
    }
    let with_mail = config(&[url, token, from]).unwrap();
    assert!(!format!("{with_mail:?}").contains("secret-of-mails"));
    assert!(with_mail.trusted_origins().contains(&"https://a.example".to_owned()));
}

#[test]
fn no_form_of_debug_shows_a_secret() {
    let key = "ab".repeat(32);
    let config = config(&[("master-key", &key)]).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains(&key) && !shown.contains("171, 171"), "{shown}");
}

#[test]
fn secrets_are_made_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new").join("data");
    let config = config(&[("data", data.to_str().unwrap())]).unwrap();
    let first = config.open_secrets(NetworkAge::New).unwrap();
    let second = config.open_secrets(NetworkAge::New).unwrap();
    assert_eq!(first.master_key.as_bytes(), second.master_key.as_bytes());
    assert_eq!(first.admin_token, second.admin_token);
    assert_ne!(first.master_key.as_bytes(), &[0; 32]);
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 2, "temporary files stay behind");
}

#[test]
fn a_key_is_made_for_a_new_network_only() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("elsewhere.key");
    let (data, file) = (folder.path().to_str().unwrap(), elsewhere.to_str().unwrap());
    let here = config(&[("data", data)]).unwrap();
    let there = config(&[("data", data), ("master-key-file", file)]).unwrap();
    for (config, path) in [(here, folder.path().join("master.key")), (there, elsewhere.clone())] {
        let message = config.open_secrets(NetworkAge::Grown).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{} is missing", path.display())), "{message}");
        assert!(!path.exists());
        let made = config.open_secrets(NetworkAge::New).unwrap();
        let kept = config.open_secrets(NetworkAge::Grown).unwrap();
        assert_eq!(made.master_key.as_bytes(), kept.master_key.as_bytes());
    }
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let config = config(&[("data", folder.path().to_str().unwrap())]).unwrap();
    config.open_secrets(NetworkAge::New).unwrap();
    let file = folder.path().join("master.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let message = config.open_secrets(NetworkAge::New).unwrap_err().to_string();
    assert!(message.contains("chmod 600"), "{message}");
}

#[test]
fn given_secrets_make_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let key = "ab".repeat(32);
    let data = folder.path().to_str().unwrap();
    let config = config(&[("data", data), ("master-key", &key), ("admin-token", "0123456789")]).unwrap();
    let secrets = config.open_secrets(NetworkAge::New).unwrap();
    assert_eq!(secrets.master_key.as_bytes(), &[0xab; 32]);
    assert_eq!(secrets.admin_token.as_str(), "0123456789");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_data_folder_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&[("data", folder.path().to_str().unwrap())]).unwrap();
    let lock = config.lock_folder().unwrap();
    assert!(config.lock_folder().unwrap_err().to_string().contains("another zap"));
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let message = config.lock_folder().unwrap_err().to_string();
    assert!(message.contains("another zap"), "whatever was deleted: {message}");
    drop(lock);
    let file = std::fs::File::create(folder.path().join("zap.lock")).unwrap();
    file.try_lock().unwrap();
    let message = config.lock_folder().unwrap_err().to_string();
    assert!(message.contains("another zap"), "an earlier version has it: {message}");
    drop(file);
    config.lock_folder().unwrap();
}
