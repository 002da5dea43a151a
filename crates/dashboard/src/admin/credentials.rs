//! What stands in the Secrets that are mounted.

use std::{fmt, fs, path::Path};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{super::Error, AdminOptions};

/// The one user of the mode `basic`.
pub struct Credentials {
    user: String,
    password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the files `username` and `password`, the keys of a Secret of type kubernetes.io/basic-auth.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        Ok(Self { user: line(&dir.join("username"))?, password: line(&dir.join("password"))? })
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether it is them, in a time that does not tell where they differ.
    pub fn are(&self, user: &str, password: &str) -> bool {
        let same = |ours: &str, theirs: &str| Sha256::digest(ours).as_slice().ct_eq(Sha256::digest(theirs).as_slice());
        (same(&self.user, user) & same(&self.password, password)).into()
    }

    /// Differs for other credentials.
    pub fn digest(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        for part in [&self.user, &self.password] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().to_vec()
    }
}

/// The secret that cookies are sealed with.
pub fn key(path: &Path) -> Result<Vec<u8>, Error> {
    let key = fs::read(path).map_err(|source| Error::AdminFile { path: path.to_owned(), source })?;
    if key.len() < AdminOptions::KEY_BYTES {
        return Err(Error::AdminKey { path: path.to_owned(), found: key.len() });
    }
    Ok(key)
}

/// A file without the line's end that an editor leaves.
fn line(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::AdminFile { path: path.to_owned(), source })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Error::AdminEmpty { path: path.to_owned() });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), password: password.into() }
    }

    #[test]
    fn both_have_to_be_right() {
        let credentials = of("ada", "lovelace");
        assert!(credentials.are("ada", "lovelace"));
        for (user, password) in [("ada", "lovelac"), ("ad", "lovelace"), ("", ""), ("lovelace", "ada")] {
            assert!(!credentials.are(user, password), "{user} {password}");
        }
    }

    #[test]
    fn no_two_credentials_have_the_same_digest_for_their_border() {
        assert_ne!(of("ab", "c").digest(), of("a", "bc").digest());
    }

    #[test]
    fn an_empty_password_and_a_short_key_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("username"), "ada\n").expect("it can be written");
        fs::write(dir.path().join("password"), "\n").expect("it can be written");
        let error = Credentials::read(dir.path()).expect_err("there is no password");
        assert_eq!(error.reason(), "AdminFileEmpty");
        fs::write(dir.path().join("password"), "x\r\n").expect("it can be written");
        assert!(Credentials::read(dir.path()).expect("both are there").are("ada", "x"));
        fs::write(dir.path().join("key"), [0; 31]).expect("it can be written");
        assert_eq!(key(&dir.path().join("key")).expect_err("it is short").reason(), "AdminKeyTooShort");
        assert_eq!(key(&dir.path().join("none")).expect_err("it is not there").reason(), "AdminFileUnreadable");
    }
}
