//! An issuer of tokens like those of an API server, with a key of each supported type.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        KeyPair as _, RSA_PKCS1_SHA256,
    },
};
use serde_json::{Value, json};

/// The issuer of [`TokenIssuer::claims`].
pub const ISSUER: &str = "https://issuer.example";

/// An RSA key for tests only: `ring` cannot make one.
const RSA_KEY: &[u8] = include_bytes!("tokens/rsa.pk8");

/// Signs tokens. Keys of P-256 and P-384 differ between issuers; that of RSA is the same.
pub struct TokenIssuer {
    name: String,
    rsa: rsa::KeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
}

impl TokenIssuer {
    /// An issuer with new keys, whose ids begin with `name`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rsa: rsa::KeyPair::from_pkcs8(RSA_KEY).expect("the key is valid"),
            p256: ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            p384: ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        }
    }

    /// The id of the key for `algorithm`.
    pub fn key_id(&self, algorithm: &str) -> String {
        format!("{}-{algorithm}", self.name)
    }

    /// The document of `/openid/v1/jwks`.
    pub fn jwks(&self) -> String {
        let public = rsa::PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let ec = |algorithm: &str, curve: &str, key: &EcdsaKeyPair| {
            // An uncompressed point: 4, x, y.
            let (x, y) = key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
            let (x, y) = (encode(x), encode(y));
            json!({"kty": "EC", "use": "sig", "alg": algorithm, "kid": self.key_id(algorithm), "crv": curve, "x": x, "y": y})
        };
        json!({"keys": [
            {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id("RS256"), "n": encode(&public.n), "e": encode(&public.e)},
            ec("ES256", "P-256", &self.p256),
            ec("ES384", "P-384", &self.p384),
        ]})
        .to_string()
    }

    /// Claims of a token for `subject` and `audience` that is valid from `now` for an hour.
    pub fn claims(subject: &str, audience: &str, now: i64) -> Value {
        json!({"iss": ISSUER, "sub": subject, "aud": [audience], "iat": now, "nbf": now, "exp": now + 3600})
    }

    /// A token with these claims, signed by the key for `algorithm`.
    pub fn sign(&self, algorithm: &str, claims: &Value) -> String {
        self.sign_as(&json!({"alg": algorithm, "kid": self.key_id(algorithm)}), algorithm, claims)
    }

    /// A token with any header, signed by the key for `algorithm`. With `none` there is no signature, and with `HS256` the
    /// public RSA key is the secret.
    pub fn sign_as(&self, header: &Value, algorithm: &str, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        format!("{signed}.{}", encode(&self.signature(algorithm, signed.as_bytes())))
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match algorithm {
            "ES256" => self.p256.sign(&random, message).expect("there are random numbers").as_ref().to_vec(),
            "ES384" => self.p384.sign(&random, message).expect("there are random numbers").as_ref().to_vec(),
            "HS256" => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.rsa.public().as_ref());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            "none" => Vec::new(),
            _ => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("the key signs");
                signature
            }
        }
    }
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("there are random numbers");
    EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).expect("the key is valid")
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
