//! P-256 keys as JSON (RFC 7517), and their thumbprints (RFC 7638).

use data_encoding::BASE64URL_NOPAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::crypto::{VerifyingKey, sha256};

/// Characters of a key's id: others' libraries make hashes or UUIDs.
const KID_CHARS_MAX: usize = 256;

/// A public key as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    kty: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    /// The key's name in its set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    use_for: Option<String>,
    /// Whether the private half is there, which somebody gave away. That is to be refused, and never kept.
    #[serde(default, rename = "d", skip_serializing, deserialize_with = "is_there")]
    is_private: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A set of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys; those of other kinds are among them.
    pub keys: Vec<Jwk>,
}

impl Jwks {
    /// The thumbprints of those that signatures can be checked with.
    #[must_use]
    pub fn thumbprints(&self) -> Vec<String> {
        self.keys.iter().filter_map(|key| key.public_key().ok()).map(|key| key.thumbprint).collect()
    }
}

/// A key that signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The key.
    pub key: VerifyingKey,
    /// Its SHA-256 in the standard's form, base64url: the name that is the same for everyone.
    pub thumbprint: String,
}

impl Jwk {
    /// The key, if it is one of P-256 for signatures, and only its public half.
    ///
    /// # Errors
    /// What it is not.
    pub fn public_key(&self) -> Result<PublicKey, &'static str> {
        if self.is_private {
            return Err("the JWK holds a private key");
        }
        if self.kty != "EC" || self.crv.as_deref() != Some("P-256") {
            return Err("the JWK is not of P-256");
        }
        if self.alg.as_deref().is_some_and(|alg| alg != "ES256")
            || self.use_for.as_deref().is_some_and(|use_for| use_for != "sig")
        {
            return Err("the JWK is not for ES256 signatures");
        }
        if self.kid.as_ref().is_some_and(|kid| kid.len() > KID_CHARS_MAX) {
            return Err("the JWK's kid is too long");
        }
        let coordinate = |text: &Option<String>| {
            let bytes = BASE64URL_NOPAD.decode(text.as_deref().unwrap_or_default().as_bytes());
            bytes.ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or("the JWK has no x and y")
        };
        let (x, y) = (coordinate(&self.x)?, coordinate(&self.y)?);
        let key = VerifyingKey::from_p256_coordinates(&x, &y).map_err(|_| "the JWK is no point of P-256")?;
        let [x, y] = [x, y].map(|bytes| BASE64URL_NOPAD.encode(&bytes));
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Ok(PublicKey { key, thumbprint: BASE64URL_NOPAD.encode(&sha256(canonical.as_bytes())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Result<PublicKey, &'static str> {
        serde_json::from_value::<Jwk>(json).unwrap().public_key()
    }

    /// The key of RFC 7517's first example, and its thumbprint as another library computes it.
    #[test]
    fn a_thumbprint_is_of_the_key_alone() {
        let (x, y) =
            ("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM");
        let bare = serde_json::json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
        let named = serde_json::json!({"y": y, "kid": "1", "use": "sig", "x": x, "crv": "P-256", "kty": "EC", "alg": "ES256"});
        let thumbprint = read(bare).unwrap().thumbprint;
        assert_eq!(read(named).unwrap().thumbprint, thumbprint);
        assert_eq!(thumbprint, "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
    }

    #[test]
    fn keys_of_other_kinds_and_private_ones_are_refused() {
        let good = serde_json::json!({"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"});
        read(good.clone()).unwrap();
        for (name, value) in [
            ("kty", "RSA"),
            ("crv", "P-384"),
            ("x", "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D5"),
            ("x", "AAAA"),
            ("y", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyQ"),
            ("alg", "ES384"),
            ("use", "enc"),
            ("d", "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"),
        ] {
            let mut bad = good.clone();
            bad[name] = value.into();
            read(bad).unwrap_err();
        }
    }
}
