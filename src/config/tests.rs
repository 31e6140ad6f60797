//! The configuration as a whole: who wins, what is refused, what is never shown.

use std::path::Path;

use super::*;

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
    layers.file.clear();
    assert_eq!(Config::new(&layers.effective()).unwrap().listen.port(), 2583);
}

#[test]
fn the_defaults_are_a_server_on_localhost() {
    let config = config(&[]).unwrap();
    assert_eq!(config.public_url, "http://localhost:2583");
    assert_eq!(config.handle_domains, [".test"]);
    assert_eq!(service_did(&config), "did:web:localhost%3A2583");
    assert_eq!(config.backfill_window.as_secs(), 72 * 3600);
    assert!(config.not_yet.is_empty());
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

#[test]
fn parts_to_come_are_accepted_and_told() {
    let config = config(&[("smtp-url", "smtps://a:b@c"), ("rate-limits", "off")]).unwrap();
    assert_eq!(config.not_yet, ["rate-limits", "smtp-url"]);
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
    let first = config.open_secrets().unwrap();
    let second = config.open_secrets().unwrap();
    assert_eq!(first.master_key.as_bytes(), second.master_key.as_bytes());
    assert_eq!(first.admin_token, second.admin_token);
    assert_ne!(first.master_key.as_bytes(), &[0; 32]);
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 2, "temporary files stay behind");
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let config = config(&[("data", folder.path().to_str().unwrap())]).unwrap();
    config.open_secrets().unwrap();
    let file = folder.path().join("master.key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let message = config.open_secrets().unwrap_err().to_string();
    assert!(message.contains("chmod 600"), "{message}");
}

#[test]
fn given_secrets_make_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let key = "ab".repeat(32);
    let data = folder.path().to_str().unwrap();
    let config = config(&[("data", data), ("master-key", &key), ("admin-token", "0123456789")]).unwrap();
    let secrets = config.open_secrets().unwrap();
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
    drop(lock);
    config.lock_folder().unwrap();
}
