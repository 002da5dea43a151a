//! The cookie that says who is signed in: sealed, so that the browser neither reads nor changes it, and replicas need no
//! memory in common.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::refused::Refused;

pub const NAME: &str = "maglev-admin";
/// How long somebody stays signed in, whatever they do.
pub const LIFE: i64 = 8 * 60 * 60;
/// How long without doing anything.
pub const IDLE: i64 = 30 * 60;
/// Browsers keep 4096 bytes with name and attributes.
const MAX_VALUE: usize = 3900;

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Session {
    /// Random; what signing out makes known.
    pub(crate) id: String,
    /// Random; what requests have to bring along in a header.
    pub(crate) csrf: String,
    /// Who it is.
    pub(crate) who: String,
    /// Their token, where there is one.
    pub(crate) token: Option<SecretString>,
    /// When they signed in, in seconds of Unix time.
    pub(crate) began: i64,
    /// When they last did something.
    pub(crate) seen: i64,
}

/// A session inside the seal.
#[derive(Serialize, Deserialize)]
struct Plain {
    id: String,
    csrf: String,
    who: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    began: i64,
    seen: i64,
}

impl Session {
    /// One that begins now.
    pub fn begin(who: String, token: Option<SecretString>, now: i64) -> Result<Self, Refused> {
        Ok(Self { id: random()?, csrf: random()?, who, token, began: now, seen: now })
    }

    /// Whether it is over.
    pub fn is_over(&self, now: i64) -> bool {
        now >= self.ends() || now >= self.seen.saturating_add(IDLE)
    }

    /// When it is over at the latest.
    pub fn ends(&self) -> i64 {
        self.began.saturating_add(LIFE)
    }
}

/// 128 bits that nobody guesses.
fn random() -> Result<String, Refused> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Refused::Broken)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Seals and opens.
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// Of `secret`; what was sealed for another `purpose` does not open.
    pub fn new(secret: &[u8], purpose: &[u8]) -> Self {
        let derived = Salt::new(HKDF_SHA256, b"maglev dashboard cookie 1").extract(secret);
        let info = [purpose];
        let key = derived.expand(&info, &CHACHA20_POLY1305).expect("a key is shorter than HKDF allows");
        Self(LessSafeKey::new(UnboundKey::from(key)))
    }

    /// The cookie's value.
    pub fn seal(&self, session: &Session) -> Result<String, Refused> {
        let Session { id, csrf, who, token, began, seen } = session.clone();
        let token = token.map(|token| token.expose_secret().to_owned());
        let plain = serde_json::to_vec(&Plain { id, csrf, who, token, began, seen });
        let mut sealed = plain.map_err(|_| Refused::Broken)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| Refused::Broken)?;
        let unique = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(unique, Aad::empty(), &mut sealed).map_err(|_| Refused::Broken)?;
        let value = URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat());
        if value.len() > MAX_VALUE { Err(Refused::TokenTooLong) } else { Ok(value) }
    }

    /// The session; `None` where it was not sealed by us, or for another purpose.
    pub fn open(&self, value: &str) -> Option<Session> {
        let mut bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::empty(), sealed).ok()?;
        let Plain { id, csrf, who, token, began, seen } = serde_json::from_slice(plain).ok()?;
        Some(Session { id, csrf, who, token: token.map(SecretString::from), began, seen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::begin("ada".into(), Some("a token".to_owned().into()), 1000).expect("there is randomness")
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_secret_and_purpose_only() {
        let (sealer, session) = (Sealer::new(&[1; 32], b"token"), session());
        let value = sealer.seal(&session).expect("it is short");
        let opened = Sealer::new(&[1; 32], b"token").open(&value).expect("it is ours");
        assert_eq!((opened.id, opened.who, opened.began), (session.id, session.who, 1000));
        assert_eq!(opened.token.expect("it had one").expose_secret(), "a token");
        assert!(Sealer::new(&[2; 32], b"token").open(&value).is_none());
        assert!(Sealer::new(&[1; 32], b"basic").open(&value).is_none());
    }

    #[test]
    fn not_a_bit_of_it_can_be_changed() {
        let sealer = Sealer::new(&[1; 32], b"token");
        let value = sealer.seal(&session()).expect("it is short");
        let bytes = URL_SAFE_NO_PAD.decode(&value).expect("it is base64");
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert!(sealer.open(&URL_SAFE_NO_PAD.encode(bytes)).is_none(), "byte {at}");
        }
        for value in ["", "x", "AAAA", &value[1..]] {
            assert!(sealer.open(value).is_none(), "{value}");
        }
    }

    #[test]
    fn it_shows_nothing_of_the_token_and_no_two_are_alike() {
        let (sealer, session) = (Sealer::new(&[1; 32], b"token"), session());
        let values = [sealer.seal(&session).expect("short"), sealer.seal(&session).expect("short")];
        assert_ne!(values[0], values[1]);
        assert!(!format!("{session:?}").contains("a token"));
    }

    #[test]
    fn it_ends_by_age_and_by_idleness() {
        let mut session = session();
        assert!(!session.is_over(1000 + IDLE - 1));
        assert!(session.is_over(1000 + IDLE));
        session.seen = 1000 + LIFE - 10;
        assert!(!session.is_over(1000 + LIFE - 1));
        assert!(session.is_over(1000 + LIFE));
    }

    #[test]
    fn a_token_that_no_browser_would_keep_is_refused() {
        let long = Session { token: Some("x".repeat(4000).into()), ..session() };
        assert!(matches!(Sealer::new(&[1; 32], b"token").seal(&long), Err(Refused::TokenTooLong)));
    }
}
