//! The reference page of all methods, `docs/methods.md`: made from what each declares, so that it says what is so.
//!
//! Verb, access, what applications need, bounds and what a call holds are the [`Endpoint`]'s; rates are those that
//! [`Limits`] counts where no setting says otherwise; errors of our own methods are their lexicons'. `cargo run --example
//! methods` writes the page, and a test holds it to this.

use std::collections::BTreeMap;

use super::{Endpoint, Holds, endpoints};
use crate::app::Limits;
use crate::auth::{Access, Apps};
use crate::lexicon::catalog;
use crate::lexicon::schema::{ErrorName, Schema};

/// Where the page is, from the root of the repository.
pub const PATH: &str = "docs/methods.md";

/// Errors that any method may answer: the name, the status, and when.
pub const GENERAL_ERRORS: &[(&str, u16, &str)] = &[
    ("InvalidRequest", 400, "the input is not of the method's shape; 405 with another verb"),
    ("InvalidToken", 400, "the credential is malformed, unknown, or of a kind that does not open the method"),
    ("ExpiredToken", 400, "the credential ended: refresh the session, or sign in"),
    ("AccountDeactivated", 400, "the account rests, and has to be activated first"),
    ("AuthMissing", 401, "there is no credential"),
    (
        "AuthenticationRequired",
        401,
        "there is one of somebody else: the operator's, another server's, a wrong password",
    ),
    ("AccountTakedown", 401, "the operator took the account down"),
    ("Forbidden", 403, "the caller is known, and may not"),
    ("ScopeMissingError", 403, "the application was not granted the scope that the message names"),
    ("RequestTimeout", 408, "the body came too slowly"),
    ("PayloadTooLarge", 413, "the body is larger than the method takes"),
    ("RateLimitExceeded", 429, "too often, or too many at once; `Retry-After` says when again"),
    ("InternalServerError", 500, "the server failed; its log says why"),
    (
        "MethodNotImplemented",
        501,
        "no method of this server, and nowhere to pass it on to; or mail is needed and not set up",
    ),
    ("UpstreamFailure", 502, "another server failed, or did not answer in time"),
    ("NotEnoughResources", 503, "too much is under way; `Retry-After` says when again"),
    ("ServiceUnavailable", 503, "a part of the server does not answer, or it is stopping"),
    ("StorageFull", 507, "the disk is full, and nothing was changed"),
];

const INTRO: &str = "\
# Methods

Made from the router by `cargo run --example methods`; do not edit.

Every method that this server answers itself, at `/xrpc/` and its name. What else is asked for goes on to
[another service](operating.md#other-services). Inputs and answers of `agent.*` are described in
[lexicons](lexicons.md), those of `com.atproto.*` and `app.bsky.*` are the protocol's.
";

const ACCESS: &str = "
## Access

| word | who may call |
|---|---|
";

const APPLICATIONS: &str = "
An application, by OAuth, may call what its user granted; it needs the scope under *applications*, and nothing else opens a
method to it:

| word | what an application needs |
|---|---|
| none | no application may, whatever it was granted |
| any | anything that it was granted; `atproto` is enough |
| a scope | this scope, or a wider one |
| by name | `rpc:METHOD?aud=DID%23SERVICE`, with the service that answers: this server's DID and `atproto_pds`, for `app.bsky.*` the app view's. For `agent.*` no `*` is enough |
| by input | what the call does: `repo:COLLECTION?action=create` (`update`, `delete`) for each record that is written, `blob:TYPE` for an upload, `rpc:METHOD?aud=DID%23SERVICE` for a token |
";

const LIMITS: &str = "
## Limits

Every request counts for its address, and every write for its account ([how often](operating.md#how-often)); what is under
*limits* comes on top. Rates are written as settings are, `10/5m` for ten in five minutes, and are the defaults that
`--method-limit` changes. A size is that of the body. *Holds* is what a call keeps for as long as it lasts, of which a server
has [so many](operating.md#limits). Passwords count for the account that they are tried at (`--sign-in-limit`), blobs have
their own size (`--blob-limit`).
";

const ERRORS: &str = "
## Errors

The body of every refusal is `{\"error\": NAME, \"message\": TEXT}`. Any method may answer these; those of `agent.*` have
others beside them, listed with them, and those of the protocol what their lexicons name.

| error | status | when |
|---|---|---|
";

/// The whole page.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(INTRO);
    page.push_str(ACCESS);
    for access in ALL_ACCESS {
        let (word, who) = access_words(access);
        row(&mut page, &[word, who]);
    }
    page.push_str(APPLICATIONS);
    page.push_str(LIMITS);
    page.push_str(ERRORS);
    for (name, status, when) in GENERAL_ERRORS {
        row(&mut page, &[&format!("`{name}`"), &status.to_string(), when]);
    }
    let mut groups: BTreeMap<&str, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in endpoints() {
        let (group, _) = endpoint.nsid.rsplit_once('.').unwrap_or(("", endpoint.nsid));
        groups.entry(group).or_default().push(endpoint);
    }
    let rates: BTreeMap<_, _> = Limits::usual().map(|(nsid, whose, rates)| (nsid, (whose, rates))).collect();
    for (group, mut methods) in groups {
        methods.sort_by_key(|endpoint| endpoint.nsid);
        page.push_str(&format!("\n## {group}\n\n"));
        heading(&mut page, &["method", "verb", "access", "applications", "limits"]);
        for endpoint in &methods {
            let rate = rates.get(endpoint.nsid).map(|(whose, rates)| format!("`{rates}` of {whose}"));
            let verb = endpoint.method.as_str();
            let access = access_words(endpoint.access).0;
            row(
                &mut page,
                &[&name(endpoint), verb, access, &applications(endpoint), &limits(endpoint, rate)],
            );
        }
        errors(&mut page, &methods);
    }
    page
}

fn heading(page: &mut String, cells: &[&str]) {
    row(page, cells);
    page.push_str(&"|---".repeat(cells.len()));
    page.push_str("|\n");
}

fn row(page: &mut String, cells: &[&str]) {
    for cell in cells {
        page.push_str("| ");
        page.push_str(&cell.replace('|', "\\|"));
        page.push(' ');
    }
    page.push_str("|\n");
}

/// In the order of the page.
const ALL_ACCESS: [Access; 9] = [
    Access::Public,
    Access::Optional,
    Access::OptionalService,
    Access::Account,
    Access::AccountFull,
    Access::Vault,
    Access::Refresh,
    Access::Service,
    Access::Admin,
];

fn access_words(access: Access) -> (&'static str, &'static str) {
    match access {
        Access::Public => ("public", "anybody; credentials are not looked at"),
        Access::Optional => ("optional", "anybody; a good credential may show more, a bad one is refused"),
        Access::OptionalService => (
            "optional service",
            "anybody; a service token for the method shows that the caller's account is elsewhere",
        ),
        Access::Account => {
            ("account", "an account: by a session, also of an app password, or its agent's token")
        }
        Access::AccountFull => ("account, full", "an account: by a session of its own, or its agent's token"),
        Access::Vault => (
            "vault",
            "an account: by a session of its own or of an app password made for the vault, or its agent's token",
        ),
        Access::Refresh => ("refresh", "a session, by its refresh token"),
        Access::Service => ("service", "another server or account, by a service token for the method"),
        Access::Admin => ("admin", "the operator, by the admin token"),
    }
}

/// The method's last part; one of ours leads to its lexicon.
fn name(endpoint: &Endpoint) -> String {
    let nsid = endpoint.nsid;
    let short = nsid.rsplit('.').next().unwrap_or(nsid);
    if !is_ours(nsid) {
        return format!("`{short}`");
    }
    let anchor = nsid.replace('.', "").to_ascii_lowercase();
    format!("[{short}](lexicons.md#{anchor})")
}

fn is_ours(nsid: &str) -> bool {
    nsid.starts_with("agent.")
}

fn applications(endpoint: &Endpoint) -> String {
    if !matches!(endpoint.access, Access::Account | Access::AccountFull | Access::Vault) {
        // No account's credential is looked at, or another's is.
        return String::new();
    }
    match endpoint.apps {
        Apps::Never => "none".to_owned(),
        Apps::Any => "any".to_owned(),
        Apps::With(need) => format!("`{need}`"),
        Apps::ByName => "by name".to_owned(),
        Apps::ByInput => "by input".to_owned(),
    }
}

fn limits(endpoint: &Endpoint, rate: Option<String>) -> String {
    let size = endpoint.body_max.map(size);
    let holds = endpoint.holds.map(|holds| {
        let what = match holds {
            Holds::Subscription => "a subscription",
            Holds::Repo => "a download of a repo",
            Holds::Blob => "a blob on its way",
            Holds::Computation => "a slow computation",
            Holds::Exchange => "a call on its way to another service",
        };
        format!("holds {what}")
    });
    [size, rate, holds].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// `150,000 bytes`.
fn size(bytes: usize) -> String {
    let digits = bytes.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} bytes")
}

fn errors(page: &mut String, methods: &[Endpoint]) {
    let mut is_first = true;
    for endpoint in methods.iter().filter(|endpoint| is_ours(endpoint.nsid)) {
        for error in own_errors(endpoint.nsid) {
            if std::mem::take(&mut is_first) {
                page.push('\n');
                heading(page, &["method", "error", "when"]);
            }
            let when = error.description.as_deref().unwrap_or_default();
            let short = endpoint.nsid.rsplit('.').next().unwrap_or_default();
            row(page, &[&format!("`{short}`"), &format!("`{}`", error.name), when]);
        }
    }
}

fn own_errors(nsid: &str) -> &'static [ErrorName] {
    match catalog().get(nsid) {
        Some(Schema::Query(method) | Schema::Procedure(method)) => &method.errors,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What breaks: the documentation says of a method what is not so any more.
    #[test]
    fn the_page_of_methods_is_current() {
        let written = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(PATH));
        let is_current = written.is_ok_and(|written| written == page());
        assert!(is_current, "{PATH} is not current: cargo run --example methods");
    }

    #[test]
    fn the_page_has_every_method_once_and_its_needs() {
        let page = page();
        for endpoint in endpoints() {
            let (group, short) = endpoint.nsid.rsplit_once('.').unwrap();
            let after = page.split(&format!("\n## {group}\n")).nth(1).unwrap();
            let section = after.split("\n## ").next().unwrap();
            let first = section.split("\n\n").next().unwrap();
            let names = [format!("| `{short}` |"), format!("| [{short}](")];
            let rows = first.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
            assert_eq!(rows.count(), 1, "{}", endpoint.nsid);
        }
        assert!(page.contains("| `updateHandle` | POST | account, full | `identity:handle` | "), "{page}");
        assert!(page.contains("`10/5m,50/1d` of an account"), "{page}");
        assert!(
            page.contains("| [forget](lexicons.md#agentmemoryforget) | POST | vault | by name |"),
            "{page}"
        );
        assert!(page.contains("| `list` | `InvalidCursor` |"), "{page}");
    }

    #[test]
    fn every_access_has_its_words_once() {
        let mut words: Vec<_> = ALL_ACCESS.map(|access| access_words(access).0).to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ALL_ACCESS.len());
        let missing = endpoints().into_iter().find(|endpoint| !ALL_ACCESS.contains(&endpoint.access));
        assert_eq!(missing.map(|endpoint| endpoint.nsid), None);
    }

    #[test]
    fn sizes_are_read_by_people() {
        assert_eq!(size(150_000), "150,000 bytes");
        assert_eq!((size(1_048_576), size(64)), ("1,048,576 bytes".to_owned(), "64 bytes".to_owned()));
    }
}
