//! DID documents: ours to serve, others' to read.

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use super::{IdentityError, PlcData};
use crate::limits::{DID_DOCUMENT_BYTES_MAX, DID_DOCUMENT_ENTRIES_MAX};
use crate::{
    crypto::VerifyingKey,
    syntax::{Did, Handle},
};

/// How a handle stands in `alsoKnownAs`.
pub(super) const AT_SCHEME: &str = "at://";

const CONTEXT_DID: &str = "https://www.w3.org/ns/did/v1";
const CONTEXT_MULTIKEY: &str = "https://w3id.org/security/multikey/v1";
const CONTEXT_K256: &str = "https://w3id.org/security/suites/secp256k1-2019/v1";
const CONTEXT_P256: &str = "https://w3id.org/security/suites/ecdsa-2019/v1";

/// A DID document, as far as the protocol uses it. Reading drops entries of lists that are not of the expected shape,
/// and whatever else the document holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DidDocument {
    /// JSON-LD contexts; without meaning to us.
    #[serde(rename = "@context", default, deserialize_with = "well_formed")]
    pub context: Vec<String>,
    /// The DID.
    pub id: Did,
    /// Names; the first `at://` one claims to be the handle.
    #[serde(default, deserialize_with = "well_formed")]
    pub also_known_as: Vec<String>,
    /// Keys.
    #[serde(default, deserialize_with = "well_formed")]
    pub verification_method: Vec<VerificationMethod>,
    /// Services.
    #[serde(default, deserialize_with = "well_formed")]
    pub service: Vec<Service>,
}

/// A key of a DID document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationMethod {
    /// `did:…#atproto`, or `#atproto`.
    pub id: String,
    /// `Multikey`, or an older type.
    pub r#type: String,
    /// Whose key it is.
    #[serde(default)]
    pub controller: String,
    /// The key.
    #[serde(default)]
    pub public_key_multibase: String,
}

/// A service of a DID document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// `#atproto_pds`, or with the DID before it.
    pub id: String,
    /// `AtprotoPersonalDataServer` and the like.
    pub r#type: String,
    /// Where it is.
    pub service_endpoint: String,
}

impl DidDocument {
    /// Reads a document and checks that it is about `did`.
    ///
    /// # Errors
    /// [`IdentityError::Document`].
    pub fn parse(did: &Did, json: &[u8]) -> Result<Self, IdentityError> {
        if json.len() > DID_DOCUMENT_BYTES_MAX {
            return Err(IdentityError::Document("is over 64 KiB"));
        }
        let document: Self =
            serde_json::from_slice(json).map_err(|_| IdentityError::Document("not a DID document"))?;
        if document.id == *did { Ok(document) } else { Err(IdentityError::Document("is about another DID")) }
    }

    /// The document a did:plc log amounts to, as plc.directory writes it.
    #[must_use]
    pub fn from_plc_data(data: &PlcData) -> Self {
        let mut context = vec![CONTEXT_DID.to_owned(), CONTEXT_MULTIKEY.to_owned()];
        let mut verification_method = Vec::new();
        for (id, did_key) in &data.verification_methods {
            let suite = match VerifyingKey::from_did_key(did_key) {
                Ok(VerifyingKey::K256(_)) => Some(CONTEXT_K256),
                Ok(VerifyingKey::P256(_)) => Some(CONTEXT_P256),
                Err(_) => None, // did:plc takes keys of any type; an unknown one has no context
            };
            if let Some(suite) = suite.filter(|suite| !context.iter().any(|have| have == suite)) {
                context.push(suite.to_owned());
            }
            verification_method.push(VerificationMethod::multikey(&data.did, id, did_key));
        }
        let service = data
            .services
            .iter()
            .map(|(id, service)| Service {
                id: format!("#{id}"),
                r#type: service.r#type.clone(),
                service_endpoint: service.endpoint.clone(),
            })
            .collect();
        let also_known_as = data.also_known_as.clone();
        Self { context, id: data.did.clone(), also_known_as, verification_method, service }
    }

    /// The document of a service that is a did:web: its services as (id without `#`, type, endpoint) and its keys as
    /// (id without `#`, did:key).
    #[must_use]
    pub fn for_service(did: &Did, services: &[(&str, &str, &str)], keys: &[(&str, &str)]) -> Self {
        let service = services
            .iter()
            .map(|(id, r#type, endpoint)| Service {
                id: format!("#{id}"),
                r#type: (*r#type).to_owned(),
                service_endpoint: (*endpoint).to_owned(),
            })
            .collect();
        let mut context = vec![CONTEXT_DID.to_owned()];
        if !keys.is_empty() {
            context.push(CONTEXT_MULTIKEY.to_owned());
        }
        Self {
            context,
            id: did.clone(),
            also_known_as: Vec::new(),
            verification_method: keys
                .iter()
                .map(|(id, key)| VerificationMethod::multikey(did, id, key))
                .collect(),
            service,
        }
    }

    /// Bytes that the document takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const EACH: usize = 64;
        let methods = self.verification_method.iter().flat_map(|method| {
            [&method.id, &method.r#type, &method.controller, &method.public_key_multibase]
        });
        let services =
            self.service.iter().flat_map(|service| [&service.id, &service.r#type, &service.service_endpoint]);
        let texts = self.context.iter().chain(&self.also_known_as).chain(methods).chain(services);
        self.id.as_str().len() + texts.map(|text| EACH + text.len()).sum::<usize>()
    }

    /// The handle the document claims; true only when the handle also names the DID.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        let name = self.also_known_as.iter().find_map(|name| name.strip_prefix(AT_SCHEME))?;
        Handle::try_from(name).ok().map(|handle| handle.normalized())
    }

    /// The server that holds the repo: an http or https URL.
    #[must_use]
    pub fn pds_endpoint(&self) -> Option<&str> {
        let service = self.find_service("atproto_pds")?;
        (service.r#type == "AtprotoPersonalDataServer").then_some(service)?.usable_endpoint()
    }

    /// The endpoint of a service by its id without `#`, for proxying: an http or https URL.
    #[must_use]
    pub fn service_endpoint(&self, id: &str) -> Option<&str> {
        self.find_service(id)?.usable_endpoint()
    }

    /// The key that signs the repo.
    #[must_use]
    pub fn signing_key(&self) -> Option<VerifyingKey> {
        self.verification_key("atproto")
    }

    /// A key by its id without `#`.
    #[must_use]
    pub fn verification_key(&self, id: &str) -> Option<VerifyingKey> {
        let method = self.verification_method.iter().find(|method| self.is_fragment(&method.id, id))?;
        VerifyingKey::from_verification_method(&method.r#type, &method.public_key_multibase).ok()
    }

    fn find_service(&self, id: &str) -> Option<&Service> {
        self.service.iter().find(|service| self.is_fragment(&service.id, id))
    }

    /// Whether `given` is `#id` or `did#id` of this document.
    fn is_fragment(&self, given: &str, id: &str) -> bool {
        given.strip_prefix(self.id.as_str()).unwrap_or(given).strip_prefix('#') == Some(id)
    }
}

impl Service {
    fn usable_endpoint(&self) -> Option<&str> {
        let endpoint = self.service_endpoint.trim_end_matches('/');
        let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"))?;
        let clean =
            !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@');
        clean.then_some(endpoint)
    }
}

impl VerificationMethod {
    fn multikey(did: &Did, id: &str, did_key: &str) -> Self {
        Self {
            id: format!("{did}#{id}"),
            r#type: "Multikey".to_owned(),
            controller: did.as_str().to_owned(),
            public_key_multibase: did_key.strip_prefix("did:key:").unwrap_or(did_key).to_owned(),
        }
    }
}

/// The entries of a list that are of the expected shape. A single value that is no list counts as a list of one,
/// as JSON-LD has it; null as an empty list.
fn well_formed<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let values = match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Array(values) => values,
        serde_json::Value::Null => Vec::new(),
        single => vec![single],
    };
    let values = values.into_iter().filter_map(|value| serde_json::from_value(value).ok());
    Ok(values.take(DID_DOCUMENT_ENTRIES_MAX).collect())
}
