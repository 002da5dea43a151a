//! The cookie that contains a session. It is encrypted and authenticated, so the browser can neither read nor change it,
//! and replicas share no state.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::IntoResponse as _,
};
use axum_extra::extract::cookie::{Cookie, Key, PrivateCookieJar, SameSite};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{origin, session::Session};
use crate::request_error::RequestError;

const NAME: &str = "maglev-session";
/// Browsers accept 4096 bytes, attributes included.
const MAX_BYTES: usize = 4000;

/// The value of the cookie before encryption.
#[derive(Serialize, Deserialize)]
struct Payload {
    id: String,
    csrf: String,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    began: i64,
    last_active: i64,
}

/// The key for `secret`. A cookie that was encrypted for another `purpose` cannot be decrypted.
pub fn derive_key(secret: &[u8], purpose: &[u8]) -> Key {
    // The hash has a fixed length, so no two pairs of secret and purpose are the same key material.
    Key::derive_from(&[secret, &Sha256::digest(purpose)[..]].concat())
}

/// The sessions in the request's cookies that were encrypted with `key`. There may be several: another page on the same
/// host can set a cookie of the same name.
pub fn sessions(headers: &HeaderMap, key: Key) -> impl Iterator<Item = Session> {
    let jar = PrivateCookieJar::new(key);
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.flat_map(|cookies| Cookie::split_parse_encoded(cookies.to_owned())).flatten();
    cookies.filter(|cookie| cookie.name() == NAME).filter_map(move |cookie| decode(&jar.decrypt(cookie)?))
}

fn decode(cookie: &Cookie<'_>) -> Option<Session> {
    let Payload { id, csrf, user, token, began, last_active } = serde_json::from_str(cookie.value()).ok()?;
    Some(Session { id, csrf, user, token: token.map(SecretString::from), began, last_active })
}

/// The header `Set-Cookie` that stores `session` for `max_age` seconds.
pub fn set_cookie(session: &Session, max_age: i64, key: Key, request: &HeaderMap) -> Result<HeaderValue, RequestError> {
    let Session { id, csrf, user, token, began, last_active } = session.clone();
    let token = token.map(|token| token.expose_secret().to_owned());
    let payload = serde_json::to_string(&Payload { id, csrf, user, token, began, last_active });
    let cookie = cookie(payload.map_err(|_| RequestError::Internal)?, max_age, request);
    let response = PrivateCookieJar::<Key>::new(key).add(cookie).into_response();
    let header = response.headers().get(header::SET_COOKIE).cloned().ok_or(RequestError::Internal)?;
    if header.len() > MAX_BYTES { Err(RequestError::TokenTooLong) } else { Ok(sensitive(header)) }
}

/// The header `Set-Cookie` that deletes the cookie.
pub fn delete_cookie(request: &HeaderMap) -> Result<HeaderValue, RequestError> {
    let header = HeaderValue::try_from(cookie(String::new(), 0, request).to_string());
    header.map(sensitive).map_err(|_| RequestError::Internal)
}

/// No `Path`: a browser then sends the cookie below `view/api/` only, behind any prefix of an Ingress.
fn cookie(value: String, max_age: i64, request: &HeaderMap) -> Cookie<'static> {
    let max_age = time::Duration::seconds(max_age);
    let cookie = Cookie::build((NAME, value)).max_age(max_age).http_only(true).same_site(SameSite::Strict);
    cookie.secure(!origin::is_local(request)).build()
}

fn sensitive(mut header: HeaderValue) -> HeaderValue {
    header.set_sensitive(true);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::start("ada".into(), Some("a token".to_owned().into()), 1000).expect("random numbers are available")
    }

    fn key() -> Key {
        derive_key(&[1; 32], b"token")
    }

    /// `name=value` of the header that stores `session`.
    fn encrypted(session: &Session) -> String {
        let header = set_cookie(session, 60, key(), &HeaderMap::new()).expect("the token is short");
        let header = header.to_str().expect("the value is ASCII").to_owned();
        header.split_once(';').expect("there are attributes").0.to_owned()
    }

    fn decrypted(cookies: &str, key: Key) -> Vec<Session> {
        let value = HeaderValue::try_from(cookies).expect("a header value");
        sessions(&HeaderMap::from_iter([(header::COOKIE, value)]), key).collect()
    }

    #[test]
    fn cookie_is_decrypted_with_the_same_secret_and_purpose_only() {
        let (session, cookie) = (session(), encrypted(&session()));
        let opened = decrypted(&cookie, key()).pop().expect("the key is the same");
        assert_eq!((&*opened.user, opened.began), (&*session.user, 1000));
        assert_eq!(opened.token.expect("there is a token").expose_secret(), "a token");
        assert!(decrypted(&cookie, derive_key(&[2; 32], b"token")).is_empty());
        assert!(decrypted(&cookie, derive_key(&[1; 32], b"basic")).is_empty());
    }

    #[test]
    fn changed_cookie_is_rejected() {
        let cookie = encrypted(&session());
        let value = cookie.strip_prefix("maglev-session=").expect("the name");
        for at in 0..value.len() {
            let mut changed = value.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(decrypted(&format!("{NAME}={changed}"), key()).is_empty(), "byte {at}");
        }
        for value in ["", "x", "AAAA", &value[1..]] {
            assert!(decrypted(&format!("{NAME}={value}"), key()).is_empty(), "{value}");
        }
    }

    #[test]
    fn valid_cookie_is_found_among_others_of_the_same_name() {
        let cookie = encrypted(&session());
        let cookies = format!("other=1; {NAME}=AAAA; {cookie}; {NAME}=BBBB");
        assert_eq!(decrypted(&cookies, key()).len(), 1);
    }

    #[test]
    fn equal_sessions_have_different_cookies() {
        let session = session();
        assert_ne!(encrypted(&session), encrypted(&session));
    }

    #[test]
    fn token_that_no_browser_would_store_is_rejected() {
        let long = Session { token: Some("x".repeat(4000).into()), ..session() };
        let result = set_cookie(&long, 60, key(), &HeaderMap::new());
        assert!(matches!(result, Err(RequestError::TokenTooLong)));
    }
}
