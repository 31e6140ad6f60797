//! did:web as the protocol restricts it: a host name, no path, a port on localhost only.

use super::IdentityError;
use crate::syntax::{Did, validate_handle};

/// Where the document of a did:web is.
///
/// # Errors
/// [`IdentityError::UnsupportedDid`] for another method, a path, or a port elsewhere than on localhost.
pub fn did_web_document_url(did: &Did) -> Result<String, IdentityError> {
    if did.method() != "web" {
        return Err(IdentityError::UnsupportedDid("not a did:web"));
    }
    let id = did.identifier();
    if id.contains(':') {
        return Err(IdentityError::UnsupportedDid("did:web with a path"));
    }
    let (host, port) = match id.split_once("%3A").or_else(|| id.split_once("%3a")) {
        Some((host, port)) => (host, Some(port)),
        None => (id, None),
    };
    match (host, port) {
        ("localhost", None) => Ok("http://localhost/.well-known/did.json".to_owned()),
        ("localhost", Some(port)) if port.parse::<u16>().is_ok() => {
            Ok(format!("http://localhost:{port}/.well-known/did.json"))
        }
        (_, Some(_)) => Err(IdentityError::UnsupportedDid("did:web with a port that is not allowed")),
        // The rules of a handle are those of a host name; they also keep out IP addresses.
        (host, None) if validate_handle(host).is_ok() => Ok(format!("https://{host}/.well-known/did.json")),
        _ => Err(IdentityError::UnsupportedDid("did:web of something that is no host name")),
    }
}

/// The did:web of a service at a public URL, `http://localhost:2583` or `https://pds.example.com`.
///
/// # Errors
/// [`IdentityError::ServiceUrl`] for a URL with a path, or a host that cannot be a did:web.
pub fn did_web_of_url(url: &str) -> Result<Did, IdentityError> {
    let (scheme, authority) = url.split_once("://").ok_or(IdentityError::ServiceUrl)?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let did = Did::try_from(format!("did:web:{}", authority.replace(':', "%3A")))
        .map_err(|_| IdentityError::ServiceUrl)?;
    let document_url = did_web_document_url(&did).map_err(|_| IdentityError::ServiceUrl)?;
    // The DID must lead back to this very URL.
    if document_url.starts_with(&format!("{scheme}://{authority}/")) {
        Ok(did)
    } else {
        Err(IdentityError::ServiceUrl)
    }
}
