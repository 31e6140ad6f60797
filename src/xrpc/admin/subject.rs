//! com.atproto.admin.getSubjectStatus, updateSubjectStatus: what moderators took down, by account, record and blob.

use serde::{Deserialize, Serialize};

use crate::app::{self, Subject};
use crate::data_model::Cid;
use crate::syntax::{AtIdentifier, AtUri, CidText, Did, Nsid, RecordKey, format_datetime_ms};
use crate::xrpc::endpoint::Json;
use crate::xrpc::{App, Context, XrpcError};

/// What a subject is called in a request and in an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "$type")]
enum SubjectView {
    #[serde(rename = "com.atproto.admin.defs#repoRef")]
    Repo { did: Did },
    #[serde(rename = "com.atproto.repo.strongRef")]
    Record { uri: AtUri, cid: CidText },
    #[serde(rename = "com.atproto.admin.defs#repoBlobRef", rename_all = "camelCase")]
    Blob {
        did: Did,
        cid: CidText,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        record_uri: Option<AtUri>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StatusAttr {
    applied: bool,
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

impl StatusAttr {
    fn of(reference: Option<String>) -> Self {
        let applied = reference.is_some();
        Self { applied, reference: reference.filter(|reference| !reference.is_empty()) }
    }

    /// The reference that a takedown is kept with; `None` for none. Without one, when it was is one.
    fn wanted(&self, now_us: i64) -> Option<String> {
        let given = self.reference.clone().filter(|reference| !reference.is_empty());
        self.applied.then(|| given.unwrap_or_else(|| format_datetime_ms(now_us)))
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct GetParams {
    did: Option<Did>,
    uri: Option<AtUri>,
    blob: Option<CidText>,
}

#[derive(Debug, Serialize)]
pub(super) struct StatusView {
    subject: SubjectView,
    #[serde(skip_serializing_if = "Option::is_none")]
    takedown: Option<StatusAttr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deactivated: Option<StatusAttr>,
}

pub(super) async fn get(context: Context, params: GetParams) -> Result<Json<StatusView>, XrpcError> {
    let not_found = || XrpcError::named("NotFound", "Subject not found");
    let subject = match (params.did, params.uri, params.blob) {
        (Some(did), _, Some(cid)) => Subject::Blob { did, cid: blob_cid(&cid)? },
        (None, _, Some(_)) => {
            return Err(XrpcError::invalid("Must provide a did to request blob state"));
        }
        (_, Some(uri), None) => record(&context, &uri).await?,
        (Some(did), None, None) => Subject::Account(did),
        (None, None, None) => return Err(XrpcError::invalid("No provided subject")),
    };
    let standing = context.standing(&subject).await?.ok_or_else(not_found)?;
    let text = |cid: Cid| CidText::try_from(cid.to_string()).map_err(XrpcError::internal);
    let subject = match subject {
        Subject::Account(did) => SubjectView::Repo { did },
        Subject::Blob { did, cid } => SubjectView::Blob { did, cid: text(cid)?, record_uri: None },
        Subject::Record { did, collection, rkey } => SubjectView::Record {
            uri: AtUri::record(&did, &collection, &rkey),
            cid: text(standing.cid.ok_or_else(not_found)?)?,
        },
    };
    let deactivated = standing.deactivated.map(|applied| StatusAttr { applied, reference: None });
    Ok(Json(StatusView { subject, takedown: Some(StatusAttr::of(standing.takedown)), deactivated }))
}

#[derive(Debug, Deserialize)]
pub(super) struct UpdateInput {
    subject: SubjectView,
    takedown: Option<StatusAttr>,
    deactivated: Option<StatusAttr>,
}

pub(super) async fn update(context: Context, input: UpdateInput) -> Result<Json<StatusView>, XrpcError> {
    let UpdateInput { subject: view, takedown, deactivated } = input;
    let is_down = takedown.as_ref().is_some_and(|takedown| takedown.applied);
    if is_down && deactivated.as_ref().is_some_and(|deactivated| !deactivated.applied) {
        return Err(XrpcError::invalid("Cannot activate and takedown an account at the same time"));
    }
    let subject = subject(&context, &view).await?;
    if let Some(takedown) = &takedown {
        let reference = takedown.wanted(context.host.now_us());
        context.moderate(&subject, reference).await?;
    }
    if let (Some(deactivated), Subject::Account(did)) = (deactivated, &subject) {
        if deactivated.applied {
            context.app.deactivate(did, None).await?;
        } else {
            context.app.activate(did).await?;
        }
    }
    Ok(Json(StatusView { subject: view, takedown, deactivated: None }))
}

/// What is named, and of whose account here.
async fn subject(app: &App, view: &SubjectView) -> Result<Subject, XrpcError> {
    match view {
        SubjectView::Repo { did } => Ok(Subject::Account(did.clone())),
        SubjectView::Blob { did, cid, .. } => Ok(Subject::Blob { did: did.clone(), cid: blob_cid(cid)? }),
        SubjectView::Record { uri, .. } => record(app, uri).await,
    }
}

fn blob_cid(cid: &CidText) -> Result<Cid, XrpcError> {
    Cid::try_from(cid.as_str()).map_err(|_| XrpcError::invalid("cid is not one"))
}

/// The record that a URI names, by a DID or a handle of this network.
async fn record(app: &App, uri: &AtUri) -> Result<Subject, XrpcError> {
    let authority = AtIdentifier::try_from(uri.authority());
    let authority = authority.map_err(|error| XrpcError::invalid(error.to_string()))?;
    let path = uri.collection().and_then(|collection| Nsid::try_from(collection).ok());
    let path = path.zip(uri.record_key().and_then(|rkey| RecordKey::try_from(rkey).ok()));
    let (collection, rkey) = path.ok_or_else(|| XrpcError::invalid("uri names no record"))?;
    let did = match authority {
        AtIdentifier::Did(did) => did,
        handle @ AtIdentifier::Handle(_) => {
            let missing = app::Error::Directory(crate::directory::Error::AccountNotFound);
            app.find_account(&handle).await?.ok_or(missing)?.did
        }
    };
    Ok(Subject::Record { did, collection, rkey })
}
