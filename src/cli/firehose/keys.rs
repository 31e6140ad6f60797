//! Signing keys of the accounts in a stream, from their DID documents.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::super::error::CliError;
use super::error::FirehoseError;
use zap::crypto::VerifyingKey;
use zap::event::Event;
use zap::event::verify::{is_signed_by, signer};
use zap::host::ToOperatorsOrigin;
use zap::identity::{Cache, DidResolution, IdentityError, Lookup, Request, Resolution, Response, Step};
use zap::native::fetch::Fetcher;
use zap::outbound::FetchPolicy;
use zap::syntax::Did;

/// Accounts whose key is remembered, at some 300 bytes each.
const KEYS_MAX: usize = 200_000;

/// Finds keys, and remembers them until an `#identity` event or a signature says that they changed.
pub(super) struct Keys {
    fetcher: Fetcher,
    plc_url: String,
    cache: Cache<String, VerifyingKey>,
}

impl Keys {
    pub(super) fn new(plc_url: &str) -> Result<Self, CliError> {
        let plc_url = plc_url.trim_end_matches('/').to_owned();
        // The person at the terminal chose the host, so one on this machine may name DIDs of this machine.
        let plc_origin = reqwest::Url::parse(&plc_url).map(|url| url.origin().ascii_serialization());
        let plc_origin = plc_origin.map_err(|_| FirehoseError::Address(plc_url.clone()))?;
        let policy = FetchPolicy { allow_loopback: true, trusted_origins: vec![plc_origin] };
        Ok(Self { fetcher: Fetcher::new(policy)?, plc_url, cache: Cache::new(KEYS_MAX, usize::MAX) })
    }

    /// The key that this message has to be signed with, or why there is none.
    pub(super) async fn of(&mut self, message: &[u8]) -> Result<VerifyingKey, String> {
        let event = Event::decode(message).map_err(|error| error.to_string())?;
        if let Event::Identity { body, .. } = &event {
            self.cache.remove(body.did);
        }
        let Some(did) = signer(&event) else { return Err("the event has no signature".to_owned()) };
        if let Lookup::Fresh(key) = self.cache.get(did, now_us())
            && is_signed_by(&event, key)
        {
            return Ok(*key);
        }
        let key = self.find(did).await.map_err(|error| error.to_string())?;
        self.cache.insert(did.to_owned(), key, 0, now_us());
        Ok(key)
    }

    async fn find(&self, did: &str) -> Result<VerifyingKey, IdentityError> {
        let did = Did::try_from(did).map_err(|_| IdentityError::UnsupportedDid("not a DID"))?;
        let mut resolution = DidResolution::new(&did, &self.plc_url)?;
        let document = loop {
            let response = self.ask(resolution.request()).await;
            match resolution.answer(response) {
                Step::Ask(next) => resolution = next,
                Step::Done(document) => break document?,
            }
        };
        document.signing_key().ok_or(IdentityError::Document("has no #atproto key"))
    }

    async fn ask(&self, request: Request) -> Response {
        let Request::Get { url, accept, is_operators } = request else {
            return Response::Failed("a DID is not found by DNS".to_owned());
        };
        let request = http::Request::get(url).header(http::header::ACCEPT, accept).body(Bytes::new());
        let mut request = match request {
            Ok(request) => request,
            Err(error) => return Response::Failed(error.to_string()),
        };
        if is_operators {
            request.extensions_mut().insert(ToOperatorsOrigin);
        }
        match self.fetcher.fetch(request).await {
            Ok(answer) => {
                Response::Body { status: answer.status().as_u16(), body: answer.into_body().to_vec() }
            }
            Err(error) => Response::Failed(error.to_string()),
        }
    }
}

/// Microseconds since the Unix epoch.
pub(super) fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
