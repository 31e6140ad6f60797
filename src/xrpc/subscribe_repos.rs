//! com.atproto.sync.subscribeRepos: from an HTTP request to the event stream, which the host carries.

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};

use super::{Context, Endpoint, XrpcError};
use crate::app;
use crate::auth::Access;
use crate::host::SubscribeError;
use crate::xrpc::endpoint::{Holds, parse_params};

/// The methods of this group.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let subscribe =
        Endpoint::raw("com.atproto.sync.subscribeRepos", Method::GET, Access::Public, subscribe_repos);
    vec![subscribe.holding(Holds::Subscription)]
}

async fn subscribe_repos(context: Context, request: Request) -> Result<Response, XrpcError> {
    let cursor = parse_cursor(request.uri().query().unwrap_or_default())?;
    // A HEAD comes here too, and is no handshake (RFC 6455, section 4.1).
    let subscribed = match *request.method() {
        Method::GET => context.host.subscribe_repos(cursor, request).await,
        _ => Err(SubscribeError::NotWebSocket),
    };
    match subscribed {
        Ok(response) => Ok(response),
        Err(error @ SubscribeError::NotWebSocket) => {
            let status = StatusCode::UPGRADE_REQUIRED;
            let mut response = axum::response::IntoResponse::into_response(
                XrpcError::invalid(error.to_string()).with_status(status),
            );
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            Ok(response)
        }
        Err(error @ SubscribeError::TooMany) => {
            Err(XrpcError::named("TooManySubscribers", error.to_string())
                .with_status(StatusCode::SERVICE_UNAVAILABLE))
        }
        Err(SubscribeError::Sequencer(error)) => Err(app::Error::from(error).into()),
    }
}

/// The cursor of a query string: a number that is not negative, or none.
fn parse_cursor(query: &str) -> Result<Option<i64>, XrpcError> {
    #[derive(serde::Deserialize)]
    struct Params {
        cursor: Option<i64>,
    }
    let Params { cursor } = parse_params(query)?;
    match cursor {
        Some(..0) => Err(XrpcError::invalid("Invalid parameters: cursor must not be negative")),
        cursor => Ok(cursor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_number_or_absent() {
        assert_eq!(parse_cursor(""), Ok(None));
        assert_eq!(parse_cursor("cursor="), Ok(None));
        assert_eq!(parse_cursor("cursor=0"), Ok(Some(0)));
        assert_eq!(parse_cursor("cursor=1790000000123456&other=x"), Ok(Some(1_790_000_000_123_456)));
        for bad in ["cursor=abc", "cursor=1.5", "cursor=-1", "cursor=99999999999999999999"] {
            let error = parse_cursor(bad).unwrap_err();
            assert_eq!(
                (error.name.as_ref(), error.status),
                ("InvalidRequest", StatusCode::BAD_REQUEST),
                "{bad}"
            );
        }
    }
}
