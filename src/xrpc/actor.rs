//! app.bsky.actor.*: the owner's preferences, which live with the account and not in its repo.

use serde::Deserialize;

use super::endpoint::{Empty, JsonText};
use super::{Context, Endpoint, XrpcError, server};
use crate::actor::Scope;
use crate::auth::{Access, AccountCaller, Apps, Grant};
use crate::preferences::{GetPreferences, PutPreferences};

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::query("app.bsky.actor.getPreferences", Access::Account, get).open_to(Apps::ByName),
        Endpoint::procedure("app.bsky.actor.putPreferences", Access::Account, put).open_to(Apps::ByName),
    ]
}

/// Whether the caller may see what of the preferences is personal, as the owner's birthday is.
fn is_full(caller: &AccountCaller) -> bool {
    caller.grant == Grant::Own(Scope::Access)
}

async fn get(context: Context, _: server::Nothing) -> Result<JsonText, XrpcError> {
    let caller = context.caller.account()?;
    let get = GetPreferences { is_full: is_full(caller) };
    let preferences = context.account(&caller.account.did, get).await?;
    let mut text = br#"{"preferences":"#.to_vec();
    text.extend_from_slice(preferences.expose());
    text.push(b'}');
    Ok(JsonText(text))
}

/// Values, so that what is wrong with one gets the words that clients know.
#[derive(Deserialize)]
struct PutInput {
    preferences: Vec<serde_json::Value>,
}

async fn put(context: Context, input: PutInput) -> Result<Empty, XrpcError> {
    let caller = context.caller.account()?;
    let preferences = serde_json::to_vec(&input.preferences).map_err(XrpcError::internal)?.into();
    let put = PutPreferences { preferences, is_full: is_full(caller) };
    context.account(&caller.account.did, put).await?;
    Ok(Empty)
}
