//! com.atproto.lexicon.*: lexicons by their names.

use serde::{Deserialize, Serialize};

use super::endpoint::Json;
use super::{Context, Endpoint, XrpcError};
use crate::auth::Access;
use crate::syntax::Nsid;

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::query("com.atproto.lexicon.resolveLexicon", Access::Public, resolve_lexicon)]
}

#[derive(Debug, Deserialize)]
struct LexiconParams {
    nsid: Nsid,
}

#[derive(Debug, Serialize)]
struct LexiconView {
    uri: String,
    cid: String,
    schema: serde_json::Value,
}

/// What a namespace's domain says that it is, as permission sets are found. Also for names of our own: what the network
/// says of them may differ from what this server goes by.
async fn resolve_lexicon(context: Context, params: LexiconParams) -> Result<Json<LexiconView>, XrpcError> {
    let lexicon = context.find_lexicon(&params.nsid, context.client).await?;
    let uri = format!("at://{}/com.atproto.lexicon.schema/{}", lexicon.did, params.nsid);
    Ok(Json(LexiconView { uri, cid: lexicon.cid.to_string(), schema: lexicon.schema.clone() }))
}
