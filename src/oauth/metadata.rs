//! What this server says of itself: RFC 8414, RFC 9728.

use serde_json::{Value, json};

/// Where the authorization server's parts are, by path.
pub mod paths {
    /// The document of the authorization server.
    pub const SERVER: &str = "/.well-known/oauth-authorization-server";
    /// The document of the resource server, which is the same.
    pub const RESOURCE: &str = "/.well-known/oauth-protected-resource";
    /// The keys that others could check tokens with.
    pub const KEYS: &str = "/oauth/jwks";
    /// Where clients push what they ask for.
    pub const PUSH: &str = "/oauth/par";
    /// Where people are sent.
    pub const AUTHORIZE: &str = "/oauth/authorize";
    /// Where a sign-in is sent.
    pub const SIGN_IN: &str = "/oauth/authorize/sign-in";
    /// Where consent is sent.
    pub const CONSENT: &str = "/oauth/authorize/consent";
    /// Where clients get tokens.
    pub const TOKEN: &str = "/oauth/token";
    /// Where clients give them back.
    pub const REVOKE: &str = "/oauth/revoke";
}

/// The resource server's document.
#[must_use]
pub fn resource(issuer: &str) -> Value {
    json!({
        "resource": issuer,
        "authorization_servers": [issuer],
        "scopes_supported": [],
        "bearer_methods_supported": ["header"],
        "resource_documentation": "https://atproto.com",
    })
}

/// The authorization server's document.
#[must_use]
pub fn server(issuer: &str) -> Value {
    let at = |path: &str| format!("{issuer}{path}");
    json!({
        "issuer": issuer,
        "authorization_endpoint": at(paths::AUTHORIZE),
        "token_endpoint": at(paths::TOKEN),
        "revocation_endpoint": at(paths::REVOKE),
        "pushed_authorization_request_endpoint": at(paths::PUSH),
        "jwks_uri": at(paths::KEYS),
        "require_pushed_authorization_requests": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": true,
        "require_request_uri_registration": true,
        "client_id_metadata_document_supported": true,
        "authorization_response_iss_parameter_supported": true,
        "scopes_supported": ["atproto", "transition:email", "transition:generic", "transition:chat.bsky"],
        "subject_types_supported": ["public"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "ui_locales_supported": ["en"],
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "protected_resources": [issuer],
    })
}

/// The keys that others could check tokens with: none, for tokens are read by this server alone.
#[must_use]
pub fn keys() -> Value {
    json!({ "keys": [] })
}
