//! The session of a signed-in user.

use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::SecretString;

use crate::request_error::RequestError;

/// Seconds after which a session ends, even if the user is active.
pub const LIFETIME: i64 = 8 * 60 * 60;
/// Seconds without activity after which a session ends.
pub const IDLE_TIMEOUT: i64 = 30 * 60;

#[derive(Clone, Debug)]
pub struct Session {
    /// A random id, for revocation at sign-out.
    pub(crate) id: String,
    /// A random value that requests must repeat in a header.
    pub(crate) csrf: String,
    pub(crate) user: String,
    /// The user's Kubernetes token, in mode `token`.
    pub(crate) token: Option<SecretString>,
    /// Sign-in, in seconds of Unix time.
    pub(crate) began: i64,
    /// Last activity, in seconds of Unix time.
    pub(crate) last_active: i64,
}

impl Session {
    pub fn start(user: String, token: Option<SecretString>, now: i64) -> Result<Self, RequestError> {
        Ok(Self { id: random()?, csrf: random()?, user, token, began: now, last_active: now })
    }

    pub fn is_over(&self, now: i64) -> bool {
        now >= self.ends()
    }

    pub fn is_idle(&self, now: i64) -> bool {
        now >= self.last_active.saturating_add(IDLE_TIMEOUT)
    }

    /// Latest end, in seconds of Unix time.
    pub fn ends(&self) -> i64 {
        self.began.saturating_add(LIFETIME)
    }
}

/// 128 random bits as hexadecimal digits.
fn random() -> Result<String, RequestError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| RequestError::Internal)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ends_by_age_and_by_inactivity() {
        let mut session = Session::start("ada".into(), None, 1000).expect("random numbers are available");
        assert!(!session.is_idle(1000 + IDLE_TIMEOUT - 1));
        assert!(session.is_idle(1000 + IDLE_TIMEOUT) && !session.is_over(1000 + IDLE_TIMEOUT));
        session.last_active = 1000 + LIFETIME - 10;
        assert!(!session.is_over(1000 + LIFETIME - 1));
        assert!(session.is_over(1000 + LIFETIME));
    }

    #[test]
    fn debug_output_does_not_contain_the_token() {
        let session = Session::start("ada".into(), Some("a token".to_owned().into()), 1000);
        assert!(!format!("{session:?}").contains("a token"));
    }
}
