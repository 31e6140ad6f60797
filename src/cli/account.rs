//! `zap account`: accounts of people and agents, as the administrator.
//!
//! What an account is named by, its name, handle or DID, is looked up first: a wrong name is told before anything is asked
//! of the server, and a command says of whom it was. Whoever sets an account's password or address can sign in to it, so the
//! server refuses both for agents and for accounts that have memories; the refusal says what to do in place of that.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::error::{CliError, LocalError};
use super::find::{self, AccountError, PageArgs, View, find};
use super::input::text_in;
use super::out::{Out, clean, counted, short_time};
use super::session::{As, Connection, Session, SessionError, text_field};
use super::takedown::{self, Change};

mod create;
mod password;

use create::CreateArgs;
use password::PasswordArgs;

/// `zap account`.
#[derive(Debug, clap::Args)]
pub(crate) struct AccountArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    command: AccountCommand,
}

/// The account that a command is about.
#[derive(Debug, clap::Args)]
struct Named {
    /// Its name, handle or DID
    account: String,
}

#[derive(Debug, clap::Subcommand)]
enum AccountCommand {
    /// List accounts, the oldest first
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// List the accounts whose e-mail address contains a text
    Search {
        /// A part of the address, in any case
        email: String,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show one account: where it stands, its address, its invite codes
    Show(Named),
    /// Create an account for a person; where the server wants an invite code, one is made for it
    #[command(after_help = "Examples:\n  zap account create dana --email dana@example.com\n  \
        zap account create dana.example.com --email dana@example.com --password-file -\n\n\
        Agents are made by `zap agent create`.")]
    Create(CreateArgs),
    /// Give an account another handle, also one that is reserved
    Handle {
        #[command(flatten)]
        named: Named,
        /// The new one, whole or the first label of one under this server's domain
        handle: String,
    },
    /// Give an account another e-mail address; not an agent's, and not where there are memories
    #[command(after_help = "The address that was set before is told. The new one is not confirmed yet.\n\n\
        Whoever reads the mail of an address can reset the password, and with it read an account's memories: so it is \
        not the administrator's to set for an agent, or for an account that has memories.")]
    Email {
        #[command(flatten)]
        named: Named,
        /// The new one
        address: String,
    },
    /// Give an account another password, which ends its sessions; not an agent's, and not where there are memories
    #[command(after_help = "Examples:\n  zap account password-reset dana         set one, and print it\n  \
        zap account password-reset dana --mail  send a code, with which the owner sets one\n\n\
        Whoever knows the password reads an account's memories: so it is not the administrator's to set for an agent, or \
        for an account that has memories. With --mail it stays the owner's.")]
    PasswordReset {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        password: PasswordArgs,
        /// Set none: send the owner a code to set one with
        #[arg(long, conflicts_with = "password_file")]
        mail: bool,
    },
    /// End an account's sessions, app passwords and password; its owner sets another by mail
    Revoke {
        #[command(flatten)]
        named: Named,
        /// Needed: what they were is gone
        #[arg(long)]
        yes: bool,
    },
    /// Write to an account's owner, by mail
    #[command(
        after_help = "Example:\n  zap account send-mail dana --subject \"Your repo\" --file letter.txt"
    )]
    SendMail {
        #[command(flatten)]
        named: Named,
        /// What the mail is about
        #[arg(long)]
        subject: String,
        /// File with the text, - for standard input
        #[arg(long, value_name = "FILE", default_value = "-")]
        file: PathBuf,
    },
    /// Let an account be given invite codes, or no more; those it has stay good until they are withdrawn
    Invites {
        #[command(flatten)]
        named: Named,
        /// Which of the two
        #[arg(value_enum)]
        switch: Switch,
    },
    /// Take an account down: nobody sees it or signs in to it, until it is restored
    Takedown {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        reference: takedown::ReferenceArgs,
    },
    /// Restore an account that was taken down
    #[command(visible_alias = "untakedown")]
    Restore(Named),
    /// Put an account to rest, as its owner could
    Deactivate(Named),
    /// Wake an account that rests
    Activate(Named),
    /// Delete an account for good; its DID stays its owner's
    #[command(after_help = "`zap agent delete` also ends an agent's DID.")]
    Delete {
        #[command(flatten)]
        named: Named,
        /// Needed: there is no way back
        #[arg(long)]
        yes: bool,
    },
}

/// Whether there is something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

pub(crate) async fn run(args: &AccountArgs, session: &Session, out: Out) -> Result<(), CliError> {
    match &args.command {
        AccountCommand::List { page } => list(session, None, page, out).await,
        AccountCommand::Search { email, page } => list(session, Some(email), page, out).await,
        AccountCommand::Show(named) => show(session, named, out).await,
        AccountCommand::Create(args) => create::run(args, session, out).await,
        AccountCommand::Handle { named, handle } => change_handle(session, named, handle, out).await,
        AccountCommand::Email { named, address } => change_email(session, named, address, out).await,
        AccountCommand::PasswordReset { named, mail: true, .. } => mail_code(session, named, out).await,
        AccountCommand::PasswordReset { named, password, .. } => {
            set_password(session, named, password, out).await
        }
        AccountCommand::Revoke { named, yes } => revoke(session, named, *yes, out).await,
        AccountCommand::SendMail { named, subject, file } => {
            let content = text_in(file)?;
            send_mail(session, named, (subject, &content), out).await
        }
        AccountCommand::Invites { named, switch } => switch_invites(session, named, *switch, out).await,
        AccountCommand::Takedown { named, reference } => {
            let account = find(session, &named.account).await?;
            takedown::apply(session, &account.did, None, &reference.change(), out).await
        }
        AccountCommand::Restore(named) => {
            let account = find(session, &named.account).await?;
            takedown::apply(session, &account.did, None, &Change::Restore, out).await
        }
        AccountCommand::Deactivate(named) => rest(session, named, true, out).await,
        AccountCommand::Activate(named) => rest(session, named, false, out).await,
        AccountCommand::Delete { named, yes } => delete(session, named, *yes, out).await,
    }
}

async fn list(session: &Session, email: Option<&str>, page: &PageArgs, out: Out) -> Result<(), CliError> {
    let found = find::list(session, email, page).await?;
    if out.json {
        return out.json(&json!({"accounts": found.items, "cursor": found.cursor}));
    }
    if found.items.is_empty() {
        return out.line(if email.is_some() {
            "No account has such an address"
        } else {
            "There are no accounts"
        });
    }
    let row = |account: View| {
        [
            account.handle.clone(),
            account.text("status"),
            account.text("kind"),
            account.text("email"),
            short_time(&account.text("indexedAt")),
            account.did,
        ]
    };
    let rows: Vec<_> = found.items.into_iter().map(row).collect();
    out.table(["HANDLE", "STATUS", "KIND", "EMAIL", "CREATED", "DID"], &rows)?;
    if let Some(cursor) = found.cursor {
        out.aside(&format!("there may be more: --cursor {cursor}, or --all"));
    }
    Ok(())
}

async fn show(session: &Session, named: &Named, out: Out) -> Result<(), CliError> {
    let mut account = find(session, &named.account).await?;
    let standing: Value =
        session.query(As::Admin, "com.atproto.admin.getSubjectStatus", &[("did", &account.did)]).await?;
    let takedown = standing.get("takedown").cloned().unwrap_or_default();
    let reference = text_field(&takedown, "ref").map(str::to_owned);
    account.rest.insert("takedown".to_owned(), takedown);
    if out.json {
        return out.json(&account);
    }
    let mut pairs = vec![("handle", account.handle.clone()), ("did", account.did.clone())];
    for (label, field) in [
        ("kind", "kind"),
        ("status", "status"),
        ("email", "email"),
        ("confirmed", "emailConfirmedAt"),
        ("created", "indexedAt"),
        ("deactivated", "deactivatedAt"),
    ] {
        if account.rest.contains_key(field) {
            pairs.push((label, account.text(field)));
        }
    }
    pairs.extend(reference.map(|reference| ("taken down", reference)));
    let codes = account.rest.get("invites").and_then(Value::as_array).map_or(0, Vec::len);
    let is_off = account.rest.get("invitesDisabled").and_then(Value::as_bool) == Some(true);
    let codes = counted(codes as u64, "invite code");
    pairs.push(("invites", if is_off { format!("{codes}, switched off") } else { codes }));
    let invited_by = account.rest.get("invitedBy").and_then(|code| text_field(code, "code"));
    pairs.extend(invited_by.map(|code| ("invited by", code.to_owned())));
    out.pairs(&pairs)
}

/// Prints what was changed of an account: its names, with what is new, or a line for people.
fn tell(account: &View, new: Value, line: &str, out: Out) -> Result<(), CliError> {
    if !out.json {
        return out.line(&clean(line));
    }
    let mut told = account.named();
    if let Value::Object(new) = new {
        told.extend(new);
    }
    out.json(&told)
}

async fn call(session: &Session, nsid: &str, input: &Value) -> Result<(), SessionError> {
    session.procedure::<Value>(As::Admin, nsid, input).await.map(drop)
}

async fn change_handle(session: &Session, named: &Named, handle: &str, out: Out) -> Result<(), CliError> {
    let account = find(session, &named.account).await?;
    let handle = session.handle(handle).await?;
    let input = json!({"did": account.did, "handle": handle});
    call(session, "com.atproto.admin.updateAccountHandle", &input).await?;
    tell(&account, json!({"handle": handle}), &format!("{} is {handle} now", account.handle), out)
}

async fn change_email(session: &Session, named: &Named, address: &str, out: Out) -> Result<(), CliError> {
    let account = find(session, &named.account).await?;
    let input = json!({"account": account.did, "email": address});
    call(session, "com.atproto.admin.updateAccountEmail", &input)
        .await
        .map_err(|error| AccountError::of_closed(error, &account.handle, account.is_agent()))?;
    let line = format!("{} has the address {address} now", account.handle);
    tell(&account, json!({"email": address}), &line, out)
}

async fn set_password(
    session: &Session,
    named: &Named,
    password: &PasswordArgs,
    out: Out,
) -> Result<(), CliError> {
    let password = password.read()?;
    let account = find(session, &named.account).await?;
    let input = json!({"did": account.did, "password": *password.text});
    call(session, "com.atproto.admin.updateAccountPassword", &input)
        .await
        .map_err(|error| AccountError::of_closed(error, &account.handle, account.is_agent()))?;
    let line = format!("{} has another password now, and its sessions have ended", account.handle);
    match password.is_new {
        false => tell(&account, json!({}), &line, out),
        true if out.json => tell(&account, json!({"password": *password.text}), &line, out),
        true => out.pairs(&[
            ("handle", account.handle),
            ("did", account.did),
            ("password", password.text.to_string()),
        ]),
    }
}

async fn mail_code(session: &Session, named: &Named, out: Out) -> Result<(), CliError> {
    let account = find(session, &named.account).await?;
    let Some(email) = account.email() else {
        let handle = account.handle.clone();
        return Err(AccountError::NoAddress { handle, is_agent: account.is_agent() }.into());
    };
    let input = json!({"email": email});
    let nsid = "com.atproto.server.requestPasswordReset";
    session.procedure::<Value>(As::Anyone, nsid, &input).await.map_err(AccountError::of_mail)?;
    let line = format!("a code to set another password with goes to {email}");
    tell(&account, json!({"mailed": email}), &line, out)
}

async fn revoke(session: &Session, named: &Named, yes: bool, out: Out) -> Result<(), CliError> {
    let account = find(session, &named.account).await?;
    if !yes {
        return Err(AccountError::RevocationUnconfirmed(account.handle).into());
    }
    let input = json!({"account": account.did});
    call(session, "com.atproto.temp.revokeAccountCredentials", &input).await?;
    let line = format!("the sessions, app passwords and the password of {} have ended", account.handle);
    tell(&account, json!({"revoked": true}), &line, out)
}

async fn send_mail(
    session: &Session,
    named: &Named,
    (subject, content): (&str, &str),
    out: Out,
) -> Result<(), CliError> {
    if content.trim().is_empty() {
        return Err(LocalError::Usage("the mail has no text".to_owned()).into());
    }
    let account = find(session, &named.account).await?;
    if account.email().is_none() {
        let handle = account.handle.clone();
        return Err(AccountError::NoAddress { handle, is_agent: account.is_agent() }.into());
    }
    let input = json!({"recipientDid": account.did, "subject": subject, "content": content});
    call(session, "com.atproto.admin.sendEmail", &input).await.map_err(AccountError::of_mail)?;
    tell(&account, json!({"sent": true}), &format!("the mail to {} is on its way", account.handle), out)
}

async fn switch_invites(session: &Session, named: &Named, switch: Switch, out: Out) -> Result<(), CliError> {
    let account = find(session, &named.account).await?;
    let (nsid, word) = match switch {
        Switch::On => ("com.atproto.admin.enableAccountInvites", "on"),
        Switch::Off => ("com.atproto.admin.disableAccountInvites", "off"),
    };
    call(session, nsid, &json!({"account": account.did})).await?;
    let line = format!("invite codes for {} are switched {word}", account.handle);
    tell(&account, json!({"invitesDisabled": switch == Switch::Off}), &line, out)
}

async fn rest(session: &Session, named: &Named, rests: bool, out: Out) -> Result<(), CliError> {
    let account = find(session, &named.account).await?;
    let subject = json!({"$type": "com.atproto.admin.defs#repoRef", "did": account.did});
    let input = json!({"subject": subject, "deactivated": {"applied": rests}});
    call(session, "com.atproto.admin.updateSubjectStatus", &input).await?;
    let line = format!("{} {}", account.handle, if rests { "rests" } else { "is awake" });
    tell(&account, json!({"deactivated": rests}), &line, out)
}

async fn delete(session: &Session, named: &Named, yes: bool, out: Out) -> Result<(), CliError> {
    let account = find(session, &named.account).await?;
    if !yes {
        return Err(AccountError::DeletionUnconfirmed(account.handle).into());
    }
    call(session, "com.atproto.admin.deleteAccount", &json!({"did": account.did})).await?;
    if account.is_agent() {
        session.drop_tokens(&[&account.handle, &account.did]);
    }
    tell(&account, json!({}), &format!("{} is gone", account.handle), out)
}
