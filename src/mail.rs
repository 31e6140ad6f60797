//! What the server writes to people: a [`Letter`] as it waits to be sent, and the [`Mail`] that is made of it.
//!
//! A letter is data; its words are made when it goes, of the templates in `templates/mail/`, each as text and as HTML. No
//! text that a stranger chose gets into a header: a recipient is an [`address()`], which has no room for one, and of subjects
//! only the operator's is not ours, which [`subject`] looks at.
//!
//! Letters and mails carry codes that open accounts, so neither has `Debug`.

mod page;

use serde::{Deserialize, Serialize};

use crate::limits::{EMAIL_BYTES_MAX, MAIL_SUBJECT_CHARS_MAX};
use crate::seam::Hidden;
use crate::syntax::{Handle, validate_handle};

/// What a mailed code is for; an account has at most one for each purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MailPurpose {
    /// To show that mail arrives at the account's address.
    ConfirmEmail,
    /// To give the account another address.
    UpdateEmail,
    /// To set another password.
    ResetPassword,
    /// To delete the account for good.
    DeleteAccount,
}

impl MailPurpose {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::ConfirmEmail, Self::UpdateEmail, Self::ResetPassword, Self::DeleteAccount];

    /// Its name at rest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfirmEmail => "confirm-email",
            Self::UpdateEmail => "update-email",
            Self::ResetPassword => "reset-password",
            Self::DeleteAccount => "delete-account",
        }
    }

    /// The purpose of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == text)
    }
}

/// What is to be said to an account's owner.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Letter {
    /// A code, and what it is good for.
    Code {
        /// What for.
        purpose: MailPurpose,
        /// The account's name.
        handle: Handle,
        /// The code.
        code: Hidden<String>,
    },
    /// To the address that an account had: it has another one now.
    EmailChanged {
        /// The account's name.
        handle: Handle,
    },
    /// To an account's owner: its password was changed.
    PasswordChanged {
        /// The account's name.
        handle: Handle,
    },
    /// To an account's owner: what signs in there, or what can take the account back, is another.
    MeansChanged {
        /// The account's name.
        handle: Handle,
        /// What became of which.
        change: MeansChange,
    },
    /// To an account's owner: somebody signed in from where nobody did before.
    SignedIn {
        /// The account's name.
        handle: Handle,
        /// When: microseconds since the Unix epoch.
        at_us: i64,
        /// From which address.
        client: String,
        /// What the program said it is, in plain words.
        program: Option<String>,
    },
    /// In the operator's own words.
    FromOperator {
        /// The subject.
        subject: String,
        /// HTML, or plain text where it has no markup.
        content: String,
    },
}

/// What became of the means by which an owner has an account, beside its password and address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MeansChange {
    /// Codes of an authenticator app are asked for.
    TotpOn,
    /// They are asked for no more.
    TotpOff,
    /// There is one more passkey.
    PasskeyAdded,
    /// There is one less.
    PasskeyRemoved,
    /// There are other recovery codes.
    RecoveryCodesRenewed,
    /// A key of the owner's has power over the DID.
    RecoveryKeyAdded {
        /// A did:key.
        key: String,
    },
    /// It has none any more.
    RecoveryKeyRemoved {
        /// A did:key.
        key: String,
    },
    /// It may have power: the PLC directory was asked for that, and another change came before its answer.
    RecoveryKeyMayBeAdded {
        /// A did:key.
        key: String,
    },
    /// Likewise, it may have none any more.
    RecoveryKeyMayBeRemoved {
        /// A did:key.
        key: String,
    },
}

/// A letter with whom it is for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressed {
    /// An e-mail address.
    pub to: String,
    /// What it says.
    pub letter: Letter,
}

/// A mail that is ready. From whom it is, its host knows.
pub struct Mail {
    /// Names the mail, the same each time it is tried, so that others can tell that they have it: `left@right`.
    pub id: String,
    /// The recipient's address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// The body for programs that show no HTML.
    pub text: Hidden<String>,
    /// The body.
    pub html: Hidden<String>,
}

/// Words could not be made of a letter: a bug in a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a letter can't be written: {0}")]
pub struct WriteError(String);

/// Makes the mail of a letter, from the server at `public_url`.
///
/// # Errors
/// [`WriteError`].
pub fn write(id: String, addressed: &Addressed, public_url: &str) -> Result<Mail, WriteError> {
    let page = page::Page::of(&addressed.letter, public_url);
    let (text, html) = page.render().map_err(|error| WriteError(error.to_string()))?;
    let subject = page.subject.into_owned();
    Ok(Mail { id, to: addressed.to.clone(), subject, text: Hidden::new(text), html: Hidden::new(html) })
}

/// An e-mail address in lower case, if it is one this service can write to: a printable local part, then a domain name.
/// Quoted forms are not taken. So it has no space, no bracket and no line break in it.
pub fn address(text: &str) -> Option<String> {
    let (local, domain) = text.rsplit_once('@')?;
    let printable = local.bytes().all(|byte| byte.is_ascii_graphic() && !b"@\"(),:;<>[\\]".contains(&byte));
    let fits = text.len() <= EMAIL_BYTES_MAX && !local.is_empty() && local.len() <= 64;
    (printable && fits && validate_handle(domain).is_ok()).then(|| text.to_ascii_lowercase())
}

/// Whether a text can be a subject: one line of moderate length, without control characters.
pub fn subject(text: &str) -> bool {
    let fits = (1..=MAIL_SUBJECT_CHARS_MAX).contains(&text.chars().count());
    fits && !text.chars().any(|char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(Letter: std::fmt::Debug);
    static_assertions::assert_not_impl_any!(Addressed: std::fmt::Debug);
    static_assertions::assert_not_impl_any!(Mail: std::fmt::Debug);

    fn mail(letter: Letter) -> Mail {
        let addressed = Addressed { to: "alice@example.com".to_owned(), letter };
        write("1@example.com".to_owned(), &addressed, "https://agents.example.com").unwrap()
    }

    #[test]
    fn a_code_is_in_both_bodies_with_what_it_does_and_for_whom() {
        let mut subjects = std::collections::HashSet::new();
        for purpose in MailPurpose::ALL {
            assert_eq!(MailPurpose::parse(purpose.as_str()), Some(purpose));
            let (handle, code) = ("alice.test".parse().unwrap(), Hidden::new("AAAAA-BBBBB".to_owned()));
            let mail = mail(Letter::Code { purpose, handle, code });
            for body in [mail.text.expose(), mail.html.expose()] {
                for part in ["AAAAA-BBBBB", "alice.test", "agents.example.com", "15 minutes"] {
                    assert!(body.contains(part), "{purpose:?} without {part}: {body}");
                }
            }
            assert!(!mail.subject.contains("AAAAA"), "subjects are shown on locked screens");
            assert!(subjects.insert(mail.subject));
        }
    }

    #[test]
    fn each_change_of_means_is_told_in_its_own_words_and_with_what_to_do() {
        let mut subjects = std::collections::HashSet::new();
        let key = || "did:key:zQ3sh".to_owned();
        for (change, remedy) in [
            (MeansChange::TotpOn, "write to whoever"),
            (MeansChange::TotpOff, "write to whoever"),
            (MeansChange::PasskeyAdded, "write to whoever"),
            (MeansChange::PasskeyRemoved, "write to whoever"),
            (MeansChange::RecoveryCodesRenewed, "write to whoever"),
            (MeansChange::RecoveryKeyAdded { key: key() }, "within 72 hours"),
            (MeansChange::RecoveryKeyRemoved { key: key() }, "within 72 hours"),
            (MeansChange::RecoveryKeyMayBeAdded { key: key() }, "within 72 hours"),
            (MeansChange::RecoveryKeyMayBeRemoved { key: key() }, "within 72 hours"),
        ] {
            let has_key = remedy == "within 72 hours";
            let mail = mail(Letter::MeansChanged { handle: "alice.test".parse().unwrap(), change });
            for body in [mail.text.expose(), mail.html.expose()] {
                for part in ["alice.test", "agents.example.com", "If this was not you", remedy] {
                    assert!(body.contains(part), "without {part}: {body}");
                }
                assert_eq!(body.contains("did:key:zQ3sh"), has_key, "{body}");
            }
            assert!(subjects.insert(mail.subject));
        }
    }

    #[test]
    fn a_sign_in_is_told_with_when_and_from_where_and_what_to_do() {
        let (handle, client) = ("alice.test".parse().unwrap(), "192.0.2.1".to_owned());
        let program = Some("<b>\r\nBcc: eve@example.com".to_owned());
        let mail = mail(Letter::SignedIn { handle, at_us: 1_790_000_000_000_000, client, program });
        for body in [mail.text.expose(), mail.html.expose()] {
            let parts = [
                "alice.test",
                "2026-09-21 14:13 UTC",
                "192.0.2.1",
                "https://agents.example.com/account/sessions",
            ];
            for part in parts {
                assert!(body.contains(part), "without {part}: {body}");
            }
        }
        assert!(!mail.html.expose().contains("<b>"));
        assert!(subject(&mail.subject), "nothing of it is in a header: {}", mail.subject);
    }

    #[test]
    fn what_the_operator_writes_as_text_is_escaped_and_what_is_html_gets_a_text() {
        let from_operator = |content: &str| {
            let (subject, content) = ("News".to_owned(), content.to_owned());
            mail(Letter::FromOperator { subject, content })
        };
        let plain = from_operator("1 & 2 are\nmore\n\nthan 3");
        assert!(plain.html.expose().contains("<p>1 &#38; 2 are\nmore</p>"), "{}", plain.html.expose());
        assert!(plain.text.expose().starts_with("1 & 2 are\nmore\n\nthan 3\n"), "{}", plain.text.expose());
        let html =
            from_operator("<h1>Hello</h1><p>1 &amp; 2 &lt; 4<br>more</p><style>p { a: b }</style><p>end");
        assert!(html.html.expose().starts_with("<h1>Hello</h1>"));
        let text = html.text.expose();
        assert!(text.starts_with("Hello\n\n1 & 2 < 4\nmore\n\nend\n\n--\n"), "{text}");
    }

    #[test]
    fn nothing_that_could_begin_a_header_is_an_address_or_a_subject() {
        assert_eq!(address("Alice@Example.com").as_deref(), Some("alice@example.com"));
        for wrong in [
            "a@b.c\r\nBcc: eve@example.com",
            "a\nb@example.com",
            "a b@example.com",
            "<a@example.com>",
            "\"a\"@example.com",
            "a@example.com,b@example.com",
            "a@@example.com",
            "a@example.com ",
            "é@example.com",
            "@example.com",
            "a@",
            "a",
            "",
        ] {
            assert_eq!(address(wrong), None, "{wrong:?}");
        }
        assert!(subject("Über uns"));
        for wrong in ["", "a\r\nBcc: eve@example.com", "a\nb", "a\u{2028}b", "\0", &"a".repeat(300)] {
            assert!(!subject(wrong), "{wrong:?}");
        }
    }
}
