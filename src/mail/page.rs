//! The words of letters, and their two forms.

use std::borrow::Cow;

use askama::Template as _;

use super::{Letter, MailPurpose, MeansChange};
use crate::syntax::format_minute;

/// What a letter says, before it has a form.
pub(super) struct Page<'a> {
    /// One line.
    pub(super) subject: Cow<'a, str>,
    before: Vec<Cow<'a, str>>,
    code: Option<&'a str>,
    after: Vec<Cow<'a, str>>,
    server: &'a str,
    /// What is HTML already, and takes the place of the page.
    html: Option<&'a str>,
}

#[derive(askama::Template)]
#[template(path = "mail/letter.html")]
struct Html<'p, 'a> {
    page: &'p Page<'a>,
}

#[derive(askama::Template)]
#[template(path = "mail/letter.txt")]
struct Text<'p, 'a> {
    page: &'p Page<'a>,
}

const CODE_LIFE: &str = "It is good for 15 minutes, once.";
const IGNORE: &str = "If you did not ask for this, do nothing, and tell nobody the code.";

impl<'a> Page<'a> {
    /// What a letter says, from the server at `public_url`.
    pub(super) fn of(letter: &'a Letter, public_url: &'a str) -> Self {
        let server = public_url.split_once("://").map_or(public_url, |(_, host)| host);
        let page = |subject: &'a str, before: Vec<Cow<'a, str>>| Self {
            subject: Cow::Borrowed(subject),
            before,
            code: None,
            after: Vec::new(),
            server,
            html: None,
        };
        match letter {
            Letter::Code { purpose, handle, code } => {
                let (subject, what) = code_words(*purpose);
                let before = format!("{what} the account {handle} on {server}. This is the code:");
                let after = match purpose {
                    MailPurpose::DeleteAccount => {
                        vec!["A deleted account does not come back.".into(), CODE_LIFE.into(), IGNORE.into()]
                    }
                    _ => vec![CODE_LIFE.into(), IGNORE.into()],
                };
                Self { code: Some(code.expose()), after, ..page(subject, vec![before.into()]) }
            }
            Letter::EmailChanged { handle } => {
                let what = format!(
                    "The account {handle} on {server} has another e-mail address now, and nothing is sent to this \
                     one any more."
                );
                page("Your e-mail address was changed", vec![what.into(), WORRY.into()])
            }
            Letter::PasswordChanged { handle } => {
                let what = format!(
                    "The account {handle} on {server} has another password now, and who was signed in with the old \
                     one is signed out."
                );
                page("Your password was changed", vec![what.into(), WORRY.into()])
            }
            Letter::MeansChanged { handle, change } => {
                let (subject, what) = means_words(change);
                let mut text = vec![format!("{what} of the account {handle} on {server}.").into()];
                match change {
                    MeansChange::RecoveryKeyAdded { key }
                    | MeansChange::RecoveryKeyRemoved { key }
                    | MeansChange::RecoveryKeyMayBeAdded { key }
                    | MeansChange::RecoveryKeyMayBeRemoved { key } => {
                        text.extend([format!("The key is {key}.").into(), WORRY_OF_KEYS.into()]);
                    }
                    _ => text.push(WORRY.into()),
                }
                page(subject, text)
            }
            Letter::SignedIn { handle, at_us, client, program } => {
                let what = format!(
                    "Somebody, we hope you, signed in to the account {handle} on {server} from a device that was not \
                     used for it before."
                );
                let program = program.as_deref().unwrap_or("a program that does not say what it is");
                let facts =
                    format!("It was {}, from the address {client}, with {program}.", format_minute(*at_us));
                let else_what = format!(
                    "If this was not you, change your password, and end what is signed in: {public_url}/account/sessions"
                );
                let ours = "If this was you, there is nothing to do.";
                page(
                    "A new sign-in to your account",
                    vec![what.into(), facts.into(), ours.into(), else_what.into()],
                )
            }
            Letter::FromOperator { subject, content } if is_html(content) => {
                let text = text_of(content);
                let before = paragraphs(&text).map(|paragraph| paragraph.to_owned().into()).collect();
                Self { html: Some(content), ..page(subject, before) }
            }
            Letter::FromOperator { subject, content } => {
                page(subject, paragraphs(content).map(Cow::Borrowed).collect())
            }
        }
    }

    /// As text, and as HTML.
    pub(super) fn render(&self) -> Result<(String, String), askama::Error> {
        let html = match self.html {
            Some(html) => html.to_owned(),
            None => Html { page: self }.render()?,
        };
        Ok((Text { page: self }.render()?, html))
    }
}

const WORRY: &str = "If this was not you, write to whoever runs the server at once.";

/// The server can't undo it then, and a key above its own can.
const WORRY_OF_KEYS: &str = "If this was not you, a key of yours that stood above the server’s before that can undo it, within \
    72 hours. Write to whoever runs the server as well.";

/// The subject, and how the sentence begins that names the account.
fn code_words(purpose: MailPurpose) -> (&'static str, &'static str) {
    match purpose {
        MailPurpose::ConfirmEmail => {
            ("Confirm your e-mail address", "Somebody, we hope you, wants to confirm that mail arrives for")
        }
        MailPurpose::UpdateEmail => {
            ("Change your e-mail address", "Somebody, we hope you, wants to change the e-mail address of")
        }
        MailPurpose::ResetPassword => {
            ("Reset your password", "Somebody, we hope you, wants a new password for")
        }
        MailPurpose::DeleteAccount => ("Delete your account", "Somebody, we hope you, wants to delete"),
    }
}

/// The subject, and how the sentence begins that names the account.
fn means_words(change: &MeansChange) -> (&'static str, &'static str) {
    match change {
        MeansChange::TotpOn => (
            "Sign-in codes were turned on",
            "A code of an authenticator app is needed from now on beside the password",
        ),
        MeansChange::TotpOff => (
            "Sign-in codes were turned off",
            "The codes of an authenticator app are needed no more beside the password",
        ),
        MeansChange::PasskeyAdded => ("A passkey was added", "There is a new passkey"),
        MeansChange::PasskeyRemoved => {
            ("A passkey was removed", "A passkey was removed, and opens nothing any more,")
        }
        MeansChange::RecoveryCodesRenewed => {
            ("You have new recovery codes", "New recovery codes took the place of the old ones")
        }
        MeansChange::RecoveryKeyAdded { .. } => {
            ("A recovery key was added", "A recovery key now stands above this server’s in the DID")
        }
        MeansChange::RecoveryKeyRemoved { .. } => {
            ("A recovery key was removed", "A recovery key was taken out of the DID")
        }
        MeansChange::RecoveryKeyMayBeAdded { .. } => (
            "A recovery key may have been added",
            "A recovery key was to stand above this server’s, and may do so, in the DID",
        ),
        MeansChange::RecoveryKeyMayBeRemoved { .. } => (
            "A recovery key may have been removed",
            "A recovery key was to be taken out, and may be gone, of the DID",
        ),
    }
}

fn is_html(content: &str) -> bool {
    content.contains("</") || content.contains("<br") || content.contains("<p>")
}

fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(|paragraph| paragraph.trim_matches('\n')).filter(|paragraph| !paragraph.is_empty())
}

/// What HTML says without its markup: enough for a program that shows no HTML.
fn text_of(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let (tag, behind) = after.split_once('>').unwrap_or((after, ""));
        rest = behind;
        let name: String = tag.chars().take_while(|char| !char.is_whitespace()).collect();
        match name.to_ascii_lowercase().trim_end_matches('/') {
            "br" => text.push('\n'),
            "/p" | "/div" | "/h1" | "/h2" | "/h3" | "/li" | "/ul" | "/ol" | "/table" | "/tr" => {
                text.push_str("\n\n");
            }
            hidden @ ("style" | "script" | "head" | "title") => {
                let end = format!("</{hidden}");
                rest = rest.find(&end).and_then(|at| rest.get(at..)).unwrap_or_default();
            }
            _ => {}
        }
    }
    text.push_str(rest);
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")]
        .into_iter()
        .fold(text, |text, (entity, char)| text.replace(entity, char))
}
