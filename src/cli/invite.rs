//! `zap invite`: codes with which people sign up where the server wants one, as the administrator.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::CliError;
use super::find::{AccountError, PageArgs, find, pages};
use super::out::{Out, clean, short_time};
use super::session::{As, Connection, Session};

/// What a server gives at once, at most.
const PAGE_MAX: u32 = 500;

/// `zap invite`.
#[derive(Debug, clap::Args)]
pub(crate) struct InviteArgs {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    command: InviteCommand,
}

#[derive(Debug, clap::Subcommand)]
enum InviteCommand {
    /// Make invite codes
    #[command(
        after_help = "Examples:\n  zap invite create                        one code for one signup\n  \
        zap invite create --count 5 --uses 2     five, each for two\n  \
        zap invite create --for dana --for evan  one for each, to give on"
    )]
    Create {
        /// How many; with --for, for each account
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
        /// How many signups each is good for
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        uses: u32,
        /// An account that may give them on; may be repeated
        #[arg(long = "for", value_name = "ACCOUNT")]
        accounts: Vec<String>,
    },
    /// List invite codes, with how often they were used
    List {
        /// Which come first
        #[arg(long, value_enum, default_value = "recent")]
        sort: Sort,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Withdraw invite codes; accounts that came of them stay
    Disable {
        /// The codes
        #[arg(required_unless_present = "accounts", value_name = "CODE")]
        codes: Vec<String>,
        /// All that were made for this account; may be repeated
        #[arg(long = "account", value_name = "ACCOUNT")]
        accounts: Vec<String>,
    },
}

/// Which codes come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// The newest
    Recent,
    /// Those with the most signups
    Usage,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    code: String,
    available: i64,
    disabled: bool,
    for_account: String,
    created_by: String,
    created_at: String,
    uses: Vec<Value>,
}

pub(crate) async fn run(args: &InviteArgs, session: &Session, out: Out) -> Result<(), CliError> {
    match &args.command {
        InviteCommand::Create { count, uses, accounts } => {
            create(session, (*count, *uses), accounts, out).await
        }
        InviteCommand::List { sort, page } => list(session, *sort, page, out).await,
        InviteCommand::Disable { codes, accounts } => disable(session, codes, accounts, out).await,
    }
}

async fn dids(session: &Session, accounts: &[String]) -> Result<Vec<String>, CliError> {
    let mut dids = Vec::with_capacity(accounts.len());
    for account in accounts {
        dids.push(find(session, account).await?.did);
    }
    Ok(dids)
}

#[derive(Debug, Serialize, Deserialize)]
struct Made {
    codes: Vec<MadeFor>,
}

#[derive(Debug, Serialize, Deserialize)]
struct MadeFor {
    account: String,
    codes: Vec<String>,
}

async fn create(
    session: &Session,
    (count, uses): (u32, u32),
    accounts: &[String],
    out: Out,
) -> Result<(), CliError> {
    let mut input = json!({"codeCount": count, "useCount": uses});
    let accounts = dids(session, accounts).await?;
    if let Some(fields) = input.as_object_mut()
        && !accounts.is_empty()
    {
        fields.insert("forAccounts".to_owned(), json!(accounts));
    }
    let made: Made = session.procedure(As::Admin, "com.atproto.server.createInviteCodes", &input).await?;
    if out.json {
        return out.json(&made);
    }
    for made in made.codes {
        for code in made.codes {
            let line = if accounts.is_empty() { code } else { format!("{code}  {}", made.account) };
            out.line(&clean(&line))?;
        }
    }
    Ok(())
}

async fn list(session: &Session, sort: Sort, page: &PageArgs, out: Out) -> Result<(), CliError> {
    let sort = match sort {
        Sort::Recent => "recent",
        Sort::Usage => "usage",
    };
    let method = ("com.atproto.admin.getInviteCodes", "codes");
    let found = pages::<View>(session, method, &[("sort", sort)], page, PAGE_MAX).await?;
    if out.json {
        return out.json(&json!({"codes": found.items, "cursor": found.cursor}));
    }
    if found.items.is_empty() {
        return out.line("There are no invite codes yet. Make one: zap invite create");
    }
    let row = |code: View| {
        let state = match (code.disabled, code.available) {
            (true, _) => "withdrawn",
            (false, available) if usize::try_from(available).is_ok_and(|most| code.uses.len() >= most) => {
                "used up"
            }
            (false, _) => "good",
        };
        let used = format!("{} of {}", code.uses.len(), code.available);
        [code.code, state.to_owned(), used, short_time(&code.created_at), code.for_account]
    };
    let rows: Vec<_> = found.items.into_iter().map(row).collect();
    out.table(["CODE", "STATE", "USED", "CREATED", "FOR"], &rows)?;
    if let Some(cursor) = found.cursor {
        out.aside(&format!("there may be more: --cursor {cursor}, or --all"));
    }
    Ok(())
}

/// A code that there is not would be withdrawn without a word, and the one that was meant stay good: so all are looked for
/// first.
async fn disable(session: &Session, codes: &[String], accounts: &[String], out: Out) -> Result<(), CliError> {
    if !codes.is_empty() {
        let all = PageArgs { limit: PAGE_MAX, all: true, cursor: None };
        let method = ("com.atproto.admin.getInviteCodes", "codes");
        let there = pages::<View>(session, method, &[], &all, PAGE_MAX).await?.items;
        if let Some(missing) = codes.iter().find(|code| there.iter().all(|there| there.code != **code)) {
            return Err(AccountError::NoCode(missing.clone()).into());
        }
    }
    let dids = dids(session, accounts).await?;
    let input = json!({"codes": codes, "accounts": dids});
    session.procedure::<Value>(As::Admin, "com.atproto.admin.disableInviteCodes", &input).await?;
    if out.json {
        return out.json(&input);
    }
    for withdrawn in codes.iter().chain(accounts) {
        out.line(&clean(&format!("withdrawn: {withdrawn}")))?;
    }
    Ok(())
}
