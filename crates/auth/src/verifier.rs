//! Verification of tokens with the API server's keys, which are kept while the API server is away.

use std::{collections::HashMap, fmt, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use tokio::sync::Notify;

use crate::{Claims, keys::KeySet, token::Token};

/// Tolerated difference of clocks.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// Time after its end for which a token is valid while the API server, which would issue another one, is away.
const GRACE: SignedDuration = SignedDuration::from_hours(24);
/// Limit of remembered verdicts.
const MAX_VERDICTS: usize = 1024;
/// Longest text of a token in an error.
const MAX_TEXT: usize = 100;

/// The current time. A parameter, so that tests can move it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Verifies tokens. Clones share the keys and the verdicts.
#[derive(Clone)]
pub struct Verifier(Arc<Shared>);

struct Shared {
    audience: String,
    clock: Clock,
    state: Mutex<State>,
    refresh: Notify,
}

#[derive(Default)]
struct State {
    /// `None` until the API server has been read.
    keys: Option<(String, KeySet)>,
    /// Time at which the keys were read.
    read_at: Option<Timestamp>,
    /// True if the last attempt to read the keys failed.
    away: bool,
    /// Verdicts that do not depend on the time, by the token's hash.
    verdicts: HashMap<[u8; 32], Result<Arc<Claims>, Denial>>,
}

/// A token that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The API server's keys have not been read since the start.
    #[error("the API server's keys have not been read yet; try again")]
    NoKeys,
    /// The text is not a token.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// The token's algorithm is not that of its key.
    #[error("the token's algorithm is {found:?}; allowed for its key is {allowed}")]
    Algorithm {
        /// The algorithm in the token's header.
        found: String,
        /// The algorithm of the key.
        allowed: &'static str,
    },
    /// No key of the API server has the token's key id.
    #[error("the token is signed by the key {0:?}, which is not a key of this cluster's API server")]
    UnknownKey(String),
    /// The signature does not verify.
    #[error("the token's signature is wrong")]
    Signature,
    /// The token is of another issuer.
    #[error("the token's issuer is {found:?}; allowed is {allowed:?}")]
    Issuer {
        /// The token's issuer.
        found: String,
        /// The API server's issuer.
        allowed: String,
    },
    /// The token is for other servers.
    #[error("the token is for the audience {found:?}; allowed is {allowed:?}")]
    Audience {
        /// The token's audiences.
        found: String,
        /// The audience of this server.
        allowed: String,
    },
    /// The token's validity has ended.
    #[error("the token expired at {0:.0}")]
    Expired(Timestamp),
    /// The token's validity has not begun.
    #[error("the token is not valid before {0:.0}")]
    NotYetValid(Timestamp),
}

impl Denial {
    /// A fixed PascalCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoKeys => "NoKeys",
            Self::Malformed(_) => "Malformed",
            Self::Algorithm { .. } => "WrongAlgorithm",
            Self::UnknownKey(_) => "UnknownKey",
            Self::Signature => "WrongSignature",
            Self::Issuer { .. } => "WrongIssuer",
            Self::Audience { .. } => "WrongAudience",
            Self::Expired(_) => "Expired",
            Self::NotYetValid(_) => "NotYetValid",
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("audience", &self.0.audience).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier of tokens for `audience`, without keys.
    pub fn new(audience: impl Into<String>, clock: Clock) -> Self {
        let (audience, state, refresh) = (audience.into(), Mutex::default(), Notify::new());
        Self(Arc::new(Shared { audience, clock, state, refresh }))
    }

    /// Replaces the keys and the issuer by those that the API server has now.
    pub fn set_keys(&self, issuer: String, keys: KeySet) {
        let now = (self.0.clock)();
        let mut state = self.0.state.lock();
        let keys = Some((issuer, keys));
        if state.keys != keys {
            state.keys = keys;
            state.verdicts.clear();
        }
        (state.read_at, state.away) = (Some(now), false);
    }

    /// Records that the API server's keys could not be read. The last ones stay in force.
    pub fn read_failed(&self) {
        self.0.state.lock().away = true;
    }

    /// Waits until a token suggests that the keys should be read: its key is unknown, or it has expired since they were
    /// read. The caller limits the rate.
    pub async fn refresh_wanted(&self) {
        self.0.refresh.notified().await;
    }

    /// The claims of a token that is valid now.
    ///
    /// # Errors
    /// [`Denial`].
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, Denial> {
        let now = (self.0.clock)();
        let mut state = self.0.state.lock();
        let verdict = self.verdict(&mut state, token);
        let claims = verdict.and_then(|claims| {
            let checked = self.check_time(&state, &claims, now);
            checked.map(|()| claims)
        });
        drop(state);
        if let Err(Denial::UnknownKey(_) | Denial::NoKeys) = &claims {
            self.0.refresh.notify_one();
        }
        claims
    }

    /// The part of the verdict that does not depend on the time.
    fn verdict(&self, state: &mut State, token: &str) -> Result<Arc<Claims>, Denial> {
        let hash: [u8; 32] = digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes");
        if let Some(verdict) = state.verdicts.get(&hash) {
            return verdict.clone();
        }
        let (issuer, keys) = state.keys.as_ref().ok_or(Denial::NoKeys)?;
        let verdict = self.check(token, issuer, keys).map(Arc::new);
        // An unknown key may become known, so that verdict is not remembered.
        if !matches!(verdict, Err(Denial::UnknownKey(_))) {
            if state.verdicts.len() >= MAX_VERDICTS {
                state.verdicts.retain(|_, verdict| verdict.is_ok());
            }
            if state.verdicts.len() >= MAX_VERDICTS {
                state.verdicts.clear();
            }
            state.verdicts.insert(hash, verdict.clone());
        }
        verdict
    }

    fn check(&self, text: &str, issuer: &str, keys: &KeySet) -> Result<Claims, Denial> {
        let token = Token::parse(text).map_err(Denial::Malformed)?;
        let id = token.header.kid.as_deref().unwrap_or_default();
        let key = keys.find(id).ok_or_else(|| Denial::UnknownKey(cut(id)))?;
        if token.header.alg != key.algorithm() {
            return Err(Denial::Algorithm { found: cut(&token.header.alg), allowed: key.algorithm() });
        }
        if !key.verifies(token.signed, &token.signature) {
            return Err(Denial::Signature);
        }
        let claims = token.claims;
        if claims.iss != issuer {
            return Err(Denial::Issuer { found: cut(&claims.iss), allowed: issuer.to_owned() });
        }
        if !claims.aud.contains(&self.0.audience) {
            return Err(Denial::Audience { found: cut(&claims.aud.join(", ")), allowed: self.0.audience.clone() });
        }
        Ok(claims)
    }

    fn check_time(&self, state: &State, claims: &Claims, now: Timestamp) -> Result<(), Denial> {
        let expires = timestamp(claims.exp);
        if let Some(begin) = claims.nbf.map(timestamp).filter(|begin| now < saturating(*begin, -LEEWAY)) {
            return Err(Denial::NotYetValid(begin));
        }
        if now <= saturating(expires, LEEWAY) {
            return Ok(());
        }
        // The API server has not been reached since the token was valid, so its holder could not renew it either.
        let unread_since = state.read_at.is_none_or(|read_at| read_at < expires);
        if unread_since && state.away && now <= saturating(expires, GRACE) {
            return Ok(());
        }
        if unread_since && !state.away {
            self.0.refresh.notify_one();
        }
        Err(Denial::Expired(expires))
    }
}

/// Beyond the range of timestamps, the end of the range.
fn timestamp(seconds: i64) -> Timestamp {
    let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(end)
}

fn saturating(time: Timestamp, duration: SignedDuration) -> Timestamp {
    let end = if duration.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    time.checked_add(duration).unwrap_or(end)
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests;
