//! The public keys of an API server, from its JSON Web Key Set (RFC 7517).

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;

/// Limit of keys in a set; API servers have a few.
const MAX_KEYS: usize = 64;

/// The keys that sign an API server's tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

/// A key with its id. Its type determines the only algorithm that it verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    id: String,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
}

/// A key set that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The document is not a key set.
    #[error("the key set is malformed")]
    Malformed(#[source] serde_json::Error),
    /// No key can verify a token.
    #[error("none of the {0} keys is an RSA, P-256 or P-384 key with an id for signatures")]
    NoUsableKey(usize),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<JsonWebKey>,
}

#[derive(Deserialize)]
struct JsonWebKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads the document that an API server has at `/openid/v1/jwks`. Keys of other types are left out.
    ///
    /// # Errors
    /// [`KeysError`]; the keys that are known must be kept then.
    pub fn from_json(text: &str) -> Result<Self, KeysError> {
        let document: Document = serde_json::from_str(text).map_err(KeysError::Malformed)?;
        let count = document.keys.len();
        let keys: Vec<_> = document.keys.iter().filter_map(Key::from_json).take(MAX_KEYS).collect();
        if keys.is_empty() { Err(KeysError::NoUsableKey(count)) } else { Ok(Self(keys)) }
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }
}

impl Key {
    fn from_json(key: &JsonWebKey) -> Option<Self> {
        if key.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let material = match (&*key.kty, key.crv.as_deref()) {
            ("RSA", _) => Material::Rsa { modulus: number(&key.n)?, exponent: number(&key.e)? },
            ("EC", Some("P-256")) => Material::P256(point(key, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(key, 48)?),
            _ => return None,
        };
        let key = Self { id: key.kid.clone()?, material }.with_algorithm(key.alg.as_deref())?;
        Some(key)
    }

    /// `None` if the key is for another algorithm than the one of its type.
    fn with_algorithm(self, algorithm: Option<&str>) -> Option<Self> {
        algorithm.is_none_or(|algorithm| algorithm == self.algorithm()).then_some(self)
    }

    /// The algorithm of the key, as in a token's header.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self.material {
            Material::Rsa { .. } => "RS256",
            Material::P256(_) => "ES256",
            Material::P384(_) => "ES384",
        }
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.material {
            Material::Rsa { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature),
            Material::P384(point) => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature),
        };
        verified.is_ok()
    }
}

fn decoded(text: &Option<String>) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text.as_ref()?).ok()
}

/// A big-endian number without leading zeros, as `ring` requires.
fn number(text: &Option<String>) -> Option<Vec<u8>> {
    let bytes = decoded(text)?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[first..].to_vec())
}

fn point(key: &JsonWebKey, length: usize) -> Option<Vec<u8>> {
    let (x, y) = (decoded(&key.x)?, decoded(&key.y)?);
    (x.len() == length && y.len() == length).then(|| [&[4][..], &x, &y].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_types_and_purposes_are_left_out() {
        let zeros = |bytes: usize| BASE64_URL_SAFE_NO_PAD.encode(vec![1; bytes]);
        let key = |more: &str| format!(r#"{{"keys": [{{"kid": "k", {more}}}]}}"#);
        let ec = |curve: &str, bytes| format!(r#""kty": "EC", "crv": "{curve}", "x": "{0}", "y": "{0}""#, zeros(bytes));
        let rsa = r#""kty": "RSA", "n": "AQAB", "e": "AQAB""#;
        for usable in
            [ec("P-256", 32), ec("P-384", 48), rsa.to_owned(), format!(r#"{rsa}, "use": "sig", "alg": "RS256""#)]
        {
            assert!(KeySet::from_json(&key(&usable)).is_ok(), "{usable}");
        }
        for unusable in [
            ec("P-256", 31),
            ec("P-521", 66),
            r#""kty": "oct", "k": "AQAB""#.to_owned(),
            r#""kty": "RSA", "n": "AQAB""#.to_owned(),
            format!(r#"{rsa}, "use": "enc""#),
            format!(r#"{rsa}, "alg": "HS256""#),
            format!(r#"{rsa}, "alg": "RS512""#),
        ] {
            let result = KeySet::from_json(&key(&unusable));
            assert!(matches!(result, Err(KeysError::NoUsableKey(1))), "{unusable}: {result:?}");
        }
        assert!(matches!(KeySet::from_json("{}"), Err(KeysError::Malformed(_))));
        assert!(matches!(KeySet::from_json(r#"{"keys": []}"#), Err(KeysError::NoUsableKey(0))));
    }
}
