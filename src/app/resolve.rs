//! Carries a [`Resolution`]: asks the network through the host until it is done.

use bytes::Bytes;

use crate::host::{BodyLimit, Host, ToOperatorsOrigin};
use crate::identity::{IdentityError, Request, Resolution, Response, Step};
use crate::limits::DID_DOCUMENT_BYTES_MAX;

/// Runs a resolution to its end. Each request has the host's own timeout and size limit.
///
/// # Errors
/// The resolution's own; what the host refuses or cannot reach is [`IdentityError::Unreachable`].
pub(super) async fn resolve<R: Resolution>(
    host: &dyn Host,
    mut resolution: R,
) -> Result<R::Output, IdentityError> {
    loop {
        let response = match resolution.request() {
            Request::Get { url, accept, is_operators } => get(host, &url, accept, is_operators).await,
            Request::Txt { name } => match host.txt_records(name).await {
                Ok(records) => Response::Txt(records),
                Err(error) => Response::Failed(error.to_string()),
            },
            Request::Address { name } => match host.has_address(name).await {
                Ok(has_address) => Response::Address(has_address),
                Err(error) => Response::Failed(error.to_string()),
            },
        };
        match resolution.answer(response) {
            Step::Ask(next) => resolution = next,
            Step::Done(outcome) => return outcome,
        }
    }
}

async fn get(host: &dyn Host, url: &str, accept: &'static str, is_operators: bool) -> Response {
    let request = http::Request::get(url).header(http::header::ACCEPT, accept).body(Bytes::new());
    let mut request = match request {
        Ok(request) => request,
        Err(error) => return Response::Failed(error.to_string()),
    };
    request.extensions_mut().insert(BodyLimit(DID_DOCUMENT_BYTES_MAX));
    if is_operators {
        request.extensions_mut().insert(ToOperatorsOrigin);
    }
    match host.fetch(request).await {
        Ok(response) => {
            Response::Body { status: response.status().as_u16(), body: response.into_body().to_vec() }
        }
        Err(error) => Response::Failed(error.to_string()),
    }
}
