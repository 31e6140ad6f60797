//! agent.vault.status, rotateToken: what an agent sees and changes of what opens it. Archives are in `transfer`.
//!
//! An agent's token opens its memories, so making one is the agent's own wish: the operator can't have one made.

use super::endpoint::Answer;
use super::{Context, Endpoint, XrpcError};
use crate::actor::Kind;
use crate::app;
use crate::auth::{Access, AccountCaller, Apps};
use crate::directory::RotateAgentToken;
use crate::lexicon::agent::vault::{RotateToken, Status, rotate_token, status};
use crate::moving::{Exported, GetVaultStatus};
use crate::syntax::{Datetime, format_datetime_ms};

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::of::<Status>(Access::Vault, show).open_to(Apps::ByName),
        Endpoint::of::<RotateToken>(Access::AccountFull, rotate),
    ]
}

async fn show(context: Context, _: status::Params) -> Answer<Status> {
    let status = context.account(context.caller.did()?, GetVaultStatus {}).await?;
    let export = |export: &Exported| {
        let created_at =
            Datetime::try_from(format_datetime_ms(export.made_us)).map_err(XrpcError::internal)?;
        Ok(status::Export { created_at, r#move: export.moving })
    };
    Ok(status::Output {
        epoch: status.epoch,
        keys: i64::try_from(status.keys).map_err(XrpcError::internal)?,
        exports: status.exports.iter().map(export).collect::<Result<_, XrpcError>>()?,
    })
}

async fn rotate(context: Context, _: rotate_token::Input) -> Answer<RotateToken> {
    let AccountCaller { account, proof, .. } = context.caller.account()?;
    if account.kind != Kind::Agent {
        return Err(XrpcError::from(app::Error::AgentNotFound).into());
    }
    let rotate = RotateAgentToken { did: account.did.clone(), proof: proof.clone() };
    let token = context.directory(rotate).await?;
    Ok(rotate_token::Output { token })
}
