//! A forgotten password, and another in its place.

use serde::Deserialize;

use crate::directory::Who;
use crate::mail::MailPurpose;
use crate::seam::Hidden;
use crate::xrpc::endpoint::Empty;
use crate::xrpc::{Context, XrpcError};

#[derive(Deserialize)]
pub(super) struct RequestInput {
    email: String,
}

/// Says whether there is such an account, as the reference server does, and as a signup with its address does too.
pub(super) async fn request_reset(context: Context, input: RequestInput) -> Result<Empty, XrpcError> {
    context.app.send_code(Who::Email(input.email), MailPurpose::ResetPassword).await?;
    Ok(Empty)
}

#[derive(Deserialize)]
pub(super) struct ResetInput {
    token: Hidden<String>,
    password: Hidden<String>,
}

pub(super) async fn reset(context: Context, input: ResetInput) -> Result<Empty, XrpcError> {
    context.app.reset_password(input.token, input.password).await?;
    Ok(Empty)
}
