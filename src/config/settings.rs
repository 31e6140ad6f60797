//! Every setting once: flags, environment names, file keys, help and `zap config` are made from this table.

/// How a setting is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One text, shown in help as this placeholder.
    One(&'static str),
    /// A yes or no; the bare flag means yes.
    Switch,
    /// Several texts: a repeated flag, a list in the file, commas in the environment.
    List(&'static str),
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The flag without its dashes, and the key in the file.
    pub name: &'static str,
    /// How it is written.
    pub kind: Kind,
    /// Its value when nobody gives one; `None` where there is none, or where it follows from others.
    pub default: Option<&'static str>,
    /// One line for people. Says the default where it follows from other settings.
    pub help: &'static str,
    /// Whether its value is never shown.
    pub secret: bool,
}

impl Setting {
    const fn one(name: &'static str, placeholder: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::One(placeholder), default: None, help, secret: false }
    }

    const fn switch(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Switch, default: Some("false"), help, secret: false }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// The name of its environment variable: `ZAP_PUBLIC_URL`.
    #[must_use]
    pub fn env(&self) -> String {
        format!("ZAP_{}", self.name.to_uppercase().replace('-', "_"))
    }

    /// The setting of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }
}

/// All settings, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    Setting::one("listen", "ADDRESS", "Address and port to serve on").default("127.0.0.1:2583"),
    Setting::one("public-url", "URL", "Where clients reach the server; http://localhost:PORT when not given"),
    Setting::one("data", "FOLDER", "Folder of all data and keys").default("./data"),
    Setting::one("plc-url", "URL", "The did:plc directory in which new DIDs are registered")
        .default("https://plc.directory"),
    Setting::one("plc-listen", "ADDRESS", "Serve a did:plc directory of our own here, for development"),
    Setting {
        name: "handle-domain",
        kind: Kind::List("DOMAIN"),
        default: None,
        help: "Domain of the handles given out, with its leading dot; that of the public URL, or .test on localhost",
        secret: false,
    },
    Setting::one(
        "admin-token",
        "TOKEN",
        "The administrator's token; made in DATA/admin.token when not given",
    )
    .secret(),
    Setting::one("master-key", "HEX", "The key that wraps all agents' keys: 32 bytes, as 64 hex digits")
        .secret(),
    Setting::one(
        "master-key-file",
        "FILE",
        "File of the master key, made for a new network; DATA/master.key when not given",
    ),
    Setting::switch("invite-required", "New accounts need an invite code"),
    Setting::switch("allow-loopback", "Outbound calls may reach loopback addresses; for tests"),
    Setting::one(
        "proxy-hops",
        "NUMBER",
        "Reverse proxies in front, each adding X-Forwarded-For; when not given, 1 for connections from this machine",
    ),
    Setting::one("backfill-window", "DURATION", "How long the firehose can be replayed, as 72h or 7d")
        .default("72h"),
    Setting {
        name: "relay",
        kind: Kind::List("HOST"),
        default: None,
        help: "Relay that is asked to crawl this server, as bsky.network; may be repeated",
        secret: false,
    },
    Setting::one("backfill-limit", "BYTES", "Bytes of events kept for that at most; also as 500MiB")
        .default("4294967296"),
    Setting::one("blob-limit", "BYTES", "The largest blob taken, in bytes; also as 5MiB")
        .default("104857600"),
    Setting::one("log", "FILTER", "What is logged, as info or zap=debug").default("info"),
    Setting::one("log-format", "FORMAT", "auto, compact or json; auto is compact on a terminal")
        .default("auto"),
    Setting::one("rate-limits", "on|off", "Limit requests by address and account").default("on"),
    Setting::one("request-limit", "RATES", "Requests of one address, as 3000/5m; off for no limit").default("3000/5m"),
    Setting::one(
        "write-limit",
        "RATES",
        "Points of one account's writes: a creation takes 3, an update 2, a deletion 1; two windows at most, or off",
    )
    .default("5000/1h,35000/1d"),
    Setting::one("sign-in-limit", "RATES", "Sign-ins at one account from one address; two windows at most, or off")
        .default("30/5m,300/1d"),
    Setting {
        name: "method-limit",
        kind: Kind::List("NSID=RATES"),
        default: None,
        help: "Calls of one method by one address or account, in place of what is usual, as NSID=50/5m; may be repeated",
        secret: false,
    },
    Setting::one("smtp-url", "URL", "Mail server, as smtps://user:password@mail.example.com").secret(),
    Setting::one("mail-url", "URL", "HTTP service that takes mails as JSON, in place of a mail server"),
    Setting::one("mail-token", "TOKEN", "Bearer token of the service at --mail-url").secret(),
    Setting::one("mail-from", "ADDRESS", "Sender of mail, as Agents <mail@example.com>"),
    Setting::one("appview-url", "URL", "The app view: where methods go that are not this server's"),
    Setting::one("appview-did", "DID", "The app view's DID, for which calls are signed"),
    Setting::one("mod-service-url", "URL", "Where tools.ozone methods go"),
    Setting::one("mod-service-did", "DID", "The moderation service's DID"),
    Setting::one("report-service-url", "URL", "Where reports go; to the moderation service when not given"),
    Setting::one("report-service-did", "DID", "The report service's DID"),
];

/// The known name nearest to a misspelt one, if one is near.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let plain = name.to_lowercase().replace('_', "-");
    SETTINGS
        .iter()
        .map(|setting| (edits(&plain, setting.name), setting.name))
        .min()
        .filter(|(edits, known)| *edits <= 2.max(known.len() / 3))
        .map(|(_, known)| known)
}

/// Levenshtein distance, for texts as short as setting names.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        let mut next = vec![before];
        for (b, above) in right.iter().zip(row.iter().skip(1)) {
            before = (before + 1).min(above + 1).min(diagonal + usize::from(a != *b));
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_of_operators_scripts_is_kept() {
        let contract = [
            "listen",
            "public-url",
            "data",
            "plc-url",
            "handle-domain",
            "admin-token",
            "master-key",
            "master-key-file",
            "invite-required",
            "rate-limits",
            "smtp-url",
            "mail-from",
            "appview-url",
            "appview-did",
            "report-service-url",
            "report-service-did",
            "allow-loopback",
            "backfill-window",
            "backfill-limit",
            "blob-limit",
        ];
        for name in contract {
            assert!(Setting::find(name).is_some(), "{name} is gone");
        }
        assert_eq!(Setting::find("public-url").unwrap().env(), "ZAP_PUBLIC_URL");
    }

    #[test]
    fn the_readme_lists_every_setting_with_its_default() {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
        for setting in SETTINGS {
            let flag = format!("`--{}`", setting.name);
            let row = readme.lines().find(|line| line.starts_with('|') && line.contains(&flag));
            let row = row.unwrap_or_else(|| panic!("README.md has no row for {flag}"));
            if let (Some(default), Kind::One(_)) = (setting.default, setting.kind) {
                assert!(row.contains(&format!("`{default}`")), "README.md has another default for {flag}");
            }
        }
    }

    #[test]
    fn a_misspelt_name_finds_the_one_meant() {
        assert_eq!(nearest("lisen"), Some("listen"));
        assert_eq!(nearest("PUBLIC_URL"), Some("public-url"));
        assert_eq!(nearest("handle-domains"), Some("handle-domain"));
        assert_eq!(nearest("colour-of-the-moon"), None);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
    }
}
