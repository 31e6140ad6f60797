//! Accounts as the operator sees them: one that is named, or pages of all.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::CliError;
use super::session::{As, Session, SessionError, text_field};

mod error;

pub(crate) use error::AccountError;

/// What a server gives at once, at most.
const PAGE_MAX: u32 = 100;

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) did: String,
    pub(crate) handle: String,
    #[serde(flatten)]
    pub(in crate::cli) rest: Map<String, Value>,
}

impl View {
    /// A field as text; a dash where it is not there.
    pub(in crate::cli) fn text(&self, name: &str) -> String {
        match self.rest.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => "-".to_owned(),
            Some(other) => other.to_string(),
        }
    }

    pub(in crate::cli) fn email(&self) -> Option<&str> {
        self.rest.get("email")?.as_str()
    }

    pub(in crate::cli) fn is_agent(&self) -> bool {
        self.rest.get("kind").and_then(Value::as_str) == Some("agent")
    }

    /// What commands that change an account print of it.
    pub(in crate::cli) fn named(&self) -> Map<String, Value> {
        let pairs = [("did", &self.did), ("handle", &self.handle)];
        pairs.map(|(name, text)| (name.to_owned(), Value::from(text.as_str()))).into_iter().collect()
    }
}

/// Which of a list.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PageArgs {
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// All there are
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
    /// Where to go on: the cursor that an earlier list ended with
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

/// The items of some pages, and where the next begins.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    pub(crate) items: Vec<T>,
    pub(crate) cursor: Option<String>,
}

/// Asks for pages of `field` until there are as many as wanted, or no more; `page_max` is what the server gives at once.
pub(crate) async fn pages<T: serde::de::DeserializeOwned>(
    session: &Session,
    (nsid, field): (&str, &str),
    params: &[(&str, &str)],
    wanted: &PageArgs,
    page_max: u32,
) -> Result<Pages<T>, SessionError> {
    let mut pages = Pages { items: Vec::new(), cursor: wanted.cursor.clone() };
    loop {
        let had = u32::try_from(pages.items.len()).unwrap_or(u32::MAX);
        let left = if wanted.all { page_max } else { wanted.limit.saturating_sub(had).min(page_max) };
        if left == 0 {
            return Ok(pages);
        }
        let limit = left.to_string();
        let mut params = params.to_vec();
        params.push(("limit", &limit));
        params.extend(pages.cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let mut page: Value = session.query(As::Admin, nsid, &params).await?;
        let items = page.get_mut(field).map(Value::take).unwrap_or_default();
        let items: Vec<T> = serde_json::from_value(items)
            .map_err(|error| SessionError::Answer { nsid: nsid.to_owned(), reason: error.to_string() })?;
        let is_over = items.is_empty();
        pages.items.extend(items);
        pages.cursor = text_field(&page, "cursor").filter(|_| !is_over).map(str::to_owned);
        if pages.cursor.is_none() {
            return Ok(pages);
        }
    }
}

/// A page of accounts, the oldest first; with a text those whose address contains it.
pub(in crate::cli) async fn list(
    session: &Session,
    email: Option<&str>,
    wanted: &PageArgs,
) -> Result<Pages<View>, SessionError> {
    let params: Vec<_> = email.map(|email| ("email", email)).into_iter().collect();
    pages(session, ("com.atproto.admin.searchAccounts", "accounts"), &params, wanted, PAGE_MAX).await
}

/// The account that is named by name, handle or DID, in whatever state it is.
pub(crate) async fn find(session: &Session, account: &str) -> Result<View, CliError> {
    let missing = || AccountError::NoAccount(account.to_owned());
    let did = match session.did(account).await {
        Ok(did) => did,
        // One that rests or was taken down does not resolve, and is in the list all the same.
        Err(SessionError::NoAgent(handle)) => {
            return Ok(by_handle(session, &handle).await?.ok_or_else(missing)?);
        }
        Err(error) => return Err(error.into()),
    };
    match session.query(As::Admin, "com.atproto.admin.getAccountInfo", &[("did", &did)]).await {
        Err(SessionError::Refused { name, .. }) if name == "NotFound" => Err(missing().into()),
        found => Ok(found?),
    }
}

async fn by_handle(session: &Session, handle: &str) -> Result<Option<View>, SessionError> {
    let mut wanted = PageArgs { limit: PAGE_MAX, all: false, cursor: None };
    loop {
        let page = list(session, None, &wanted).await?;
        let found = page.items.into_iter().find(|account| account.handle.eq_ignore_ascii_case(handle));
        wanted.cursor = page.cursor;
        if found.is_some() || wanted.cursor.is_none() {
            return Ok(found);
        }
    }
}
