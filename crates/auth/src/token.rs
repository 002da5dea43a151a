//! Reading of a token in its compact form (RFC 7515), without trust in its content.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

/// Limit of a token in bytes. Those of ServiceAccounts have about 1,000.
const MAX_BYTES: usize = 8 << 10;

/// A token that has been split and decoded, but not verified.
pub(crate) struct Token<'t> {
    pub(crate) header: Header,
    pub(crate) claims: Claims,
    /// The part of the text that the signature covers.
    pub(crate) signed: &'t [u8],
    pub(crate) signature: Vec<u8>,
}

#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    /// Extensions that a verifier must understand; none is supported.
    crit: Option<serde_json::Value>,
}

/// The content of a ServiceAccount's token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// The API server's issuer URL.
    pub iss: String,
    /// The user name, such as `system:serviceaccount:lb:maglev-controller`.
    pub sub: String,
    /// The audiences that the token is for.
    #[serde(deserialize_with = "one_or_more")]
    pub aud: Vec<String>,
    /// End of the validity, in seconds of Unix time.
    pub exp: i64,
    /// Begin of the validity, in seconds of Unix time.
    pub nbf: Option<i64>,
}

impl<'t> Token<'t> {
    /// # Errors
    /// The malformed part.
    pub(crate) fn parse(text: &'t str) -> Result<Self, &'static str> {
        if text.len() > MAX_BYTES {
            return Err("the token is too long");
        }
        let (signed, signature) = text.rsplit_once('.').ok_or("it has no signature")?;
        let (header, claims) = signed.split_once('.').ok_or("it does not have three parts")?;
        let header: Header = json(header).ok_or("its header is malformed")?;
        if header.crit.is_some() {
            return Err("its header requires an extension");
        }
        let claims = json(claims).ok_or("its claims are malformed")?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| "its signature is malformed")?;
        Ok(Self { header, claims, signed: signed.as_bytes(), signature })
    }
}

fn json<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    Ok(match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(audience) => vec![audience],
        OneOrMore::More(audiences) => audiences,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(parts: [&str; 3]) -> String {
        parts.map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    #[test]
    fn claims_are_read_with_one_audience_or_several() {
        for audience in [r#""a""#, r#"["a"]"#] {
            let claims = format!(r#"{{"iss":"i","sub":"s","aud":{audience},"exp":7,"more":{{}}}}"#);
            let text = encoded([r#"{"alg":"RS256","kid":"k"}"#, &claims, "x"]);
            let token = Token::parse(&text).unwrap_or_else(|reason| panic!("{reason}"));
            assert_eq!((token.header.alg.as_str(), token.header.kid.as_deref()), ("RS256", Some("k")));
            assert_eq!((token.claims.aud, token.claims.exp, token.claims.nbf), (vec!["a".to_owned()], 7, None));
            assert_eq!(token.signature, b"x");
        }
    }

    #[test]
    fn malformed_tokens_are_refused_with_the_part() {
        let (header, claims) = (r#"{"alg":"RS256"}"#, r#"{"iss":"i","sub":"s","aud":"a","exp":7}"#);
        let critical = r#"{"alg":"RS256","crit":["x"]}"#;
        for (text, reason) in [
            (String::new(), "it has no signature"),
            ("x.y".to_owned(), "it does not have three parts"),
            (encoded(["{}", claims, "x"]), "its header is malformed"),
            (encoded([critical, claims, "x"]), "its header requires an extension"),
            (encoded([header, r#"{"iss":"i"}"#, "x"]), "its claims are malformed"),
            (encoded([header, claims, "x"]) + "=", "its signature is malformed"),
            (encoded([header, claims, "x"]) + ".x", "its claims are malformed"),
            ("x".repeat(MAX_BYTES + 1), "the token is too long"),
        ] {
            assert_eq!(Token::parse(&text).err(), Some(reason), "{text:.80}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,200}", parts in prop::array::uniform3(".{0,40}")) {
            let _ = Token::parse(&text);
            let _ = Token::parse(&encoded([&parts[0], &parts[1], &parts[2]]));
        }
    }
}
