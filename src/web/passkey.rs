//! Passkeys in forms: what the page's script is told, and what it sends back. Without a script such a form is not shown.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer};
use serde_bytes::ByteBuf;
use serde_json::json;

use super::problem::Problem;
use super::sheet::Form;
use crate::app::App;
use crate::crypto::webauthn::rp_id;
use crate::directory::{Account, AddPasskey, Assertion, Passkey, Proof};

/// The action of the button that asks for one.
pub(super) const ACTION: &str = "passkey";

/// What is said of one that answers an old page, or nothing that can be read.
pub(super) fn too_old() -> Problem {
    Problem::at("credential", "This took too long, or was not complete. Try again.")
}

/// What is said of one whose counter has gone back.
pub(super) fn copied() -> Problem {
    let text = "This passkey was refused: it was used elsewhere meanwhile, as a copy would be. Sign in otherwise, and look at \
        your passkeys.";
    Problem::at("credential", text)
}

/// Makes a form ask for a passkey: one of those that are known, or any.
pub(super) fn get(app: &App, cookie: &str, form: Form, known: &[ByteBuf]) -> Form {
    let options = json!({
        "challenge": BASE64URL_NOPAD.encode(&app.passkey_challenge(cookie)),
        "rpId": rp_id(&app.network.public_url),
        "known": known.iter().map(|id| BASE64URL_NOPAD.encode(id)).collect::<Vec<_>>(),
    });
    form.passkey("get", options.to_string())
}

/// Makes a form make a passkey for an account, which is not on a device that has one already.
pub(super) fn create(
    app: &App,
    cookie: &str,
    form: Form,
    account: &Account,
    user: &[u8],
    had: &[Passkey],
) -> Form {
    let options = json!({
        "challenge": BASE64URL_NOPAD.encode(&app.passkey_challenge(cookie)),
        "rp": {"id": rp_id(&app.network.public_url), "name": super::host(&app.network.public_url)},
        "user": {"id": BASE64URL_NOPAD.encode(user), "name": account.handle.as_str(),
            "displayName": account.handle.as_str()},
        "known": had.iter().map(|passkey| BASE64URL_NOPAD.encode(&passkey.id)).collect::<Vec<_>>(),
    });
    form.passkey("create", options.to_string())
}

/// What a script sends of a passkey that signed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    #[serde(deserialize_with = "bytes")]
    id: ByteBuf,
    #[serde(rename = "clientDataJSON", deserialize_with = "bytes")]
    client_data: ByteBuf,
    #[serde(deserialize_with = "bytes")]
    authenticator_data: ByteBuf,
    #[serde(deserialize_with = "bytes")]
    signature: ByteBuf,
    #[serde(deserialize_with = "bytes")]
    user_handle: ByteBuf,
}

/// What a script sends of a passkey that was made.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    #[serde(rename = "clientDataJSON", deserialize_with = "bytes")]
    client_data: ByteBuf,
    #[serde(deserialize_with = "bytes")]
    attestation_object: ByteBuf,
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteBuf, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(serde::de::Error::custom)?;
    Ok(ByteBuf::from(bytes))
}

/// What is shown of a passkey in the browser that has this cookie; `None` for what can't be read, or answers no page of ours.
pub(super) fn read_signed(app: &App, cookie: &str, credential: &str) -> Option<Assertion> {
    let Signed { id, client_data, authenticator_data, signature, user_handle } =
        serde_json::from_str(credential).ok()?;
    let challenge = app.answered_challenge(cookie, &client_data)?;
    let user = Some(user_handle).filter(|user| !user.is_empty());
    Some(Assertion { id, challenge, client_data, authenticator_data, signature, user })
}

/// The same of one that was made for `account`, under a name.
pub(super) fn read_made(
    app: &App,
    cookie: &str,
    credential: &str,
    account: &Account,
    name: &str,
) -> Option<AddPasskey> {
    let Made { client_data, attestation_object } = serde_json::from_str(credential).ok()?;
    let challenge = app.answered_challenge(cookie, &client_data)?;
    let (did, name) = (account.did.clone(), name.trim().to_owned());
    let proof = Proof::Browser(crate::crypto::sha256(cookie.as_bytes()));
    Some(AddPasskey { did, proof, name, challenge, client_data, attestation: attestation_object })
}
