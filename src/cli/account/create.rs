//! `zap account create`: an account for a person, whom the operator tells the password.

use serde_json::{Value, json};

use super::password::PasswordArgs;
use crate::cli::error::CliError;
use crate::cli::out::Out;
use crate::cli::session::{As, Session, SessionError, text_field};

/// `zap account create`.
#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// Its handle, whole or the first label of one under this server's domain: dana becomes dana.example.com
    handle: String,
    /// Its owner's address, to which a code can be sent where the password is lost
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
    /// The invite code to use up, where the server wants one [default: one is made]
    #[arg(long, value_name = "CODE")]
    invite_code: Option<String>,
}

pub(super) async fn run(args: &CreateArgs, session: &Session, out: Out) -> Result<(), CliError> {
    session.require_private()?;
    let password = args.password.read()?;
    let handle = session.handle(&args.handle).await?;
    let made = match &args.invite_code {
        None => invitation(session).await?,
        Some(_) => None,
    };
    let code = args.invite_code.as_ref().or(made.as_ref());
    let mut input = json!({"handle": handle, "password": *password.text});
    if let Some(fields) = input.as_object_mut() {
        let given = [("email", args.email.as_ref()), ("inviteCode", code)];
        fields.extend(given.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text?)))));
    }
    let created: Result<Value, _> =
        session.procedure(As::Anyone, "com.atproto.server.createAccount", &input).await;
    let created = match created {
        Ok(created) => created,
        Err(error) => {
            withdraw(session, made).await;
            return Err(error.into());
        }
    };
    let text = |name| text_field(&created, name).unwrap_or_default();
    let mut told = vec![("handle", text("handle").to_owned()), ("did", text("did").to_owned())];
    told.extend(args.email.clone().map(|email| ("email", email)));
    told.extend(password.is_new.then(|| ("password", password.text.to_string())));
    if out.json {
        return out.json(&told.into_iter().collect::<std::collections::BTreeMap<_, _>>());
    }
    out.pairs(&told)
}

/// An invite code for one signup, if the server wants one.
async fn invitation(session: &Session) -> Result<Option<String>, SessionError> {
    let server: Value = session.query(As::Anyone, "com.atproto.server.describeServer", &[]).await?;
    if server.get("inviteCodeRequired").and_then(Value::as_bool) != Some(true) {
        return Ok(None);
    }
    let nsid = "com.atproto.server.createInviteCode";
    let made: Value = session.procedure(As::Admin, nsid, &json!({"useCount": 1})).await?;
    match text_field(&made, "code") {
        Some(code) => Ok(Some(code.to_owned())),
        None => Err(SessionError::Answer { nsid: nsid.to_owned(), reason: "it has no code".to_owned() }),
    }
}

/// A code that was made for an account that there is not, is nobody's.
async fn withdraw(session: &Session, code: Option<String>) {
    let Some(code) = code else { return };
    let nsid = "com.atproto.admin.disableInviteCodes";
    // Why the account was not created is the error to tell.
    let _: Result<Value, _> = session.procedure(As::Admin, nsid, &json!({"codes": [code]})).await;
}
