//! Reads the mounted Secrets.

use std::{fmt, fs, path::Path};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{Error, options::SignInOptions};

/// The username and password of mode `basic`.
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
        Ok(Self { user: read_line(&dir.join("username"))?, password: read_line(&dir.join("password"))? })
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// Compares both in constant time.
    pub fn matches(&self, user: &str, password: &str) -> bool {
        let same = |a: &str, b: &str| Sha256::digest(a).as_slice().ct_eq(Sha256::digest(b).as_slice());
        (same(&self.user, user) & same(&self.password, password)).into()
    }

    /// A hash of both.
    pub fn digest(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        for part in [&self.user, &self.password] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest.finalize().to_vec()
    }
}

/// Reads the secret that encrypts cookies.
pub fn read_key(path: &Path) -> Result<Vec<u8>, Error> {
    let key = fs::read(path).map_err(|source| Error::SignInFile { path: path.to_owned(), source })?;
    if key.len() < SignInOptions::KEY_BYTES {
        return Err(Error::SignInKey { path: path.to_owned(), length: key.len() });
    }
    Ok(key)
}

/// Reads a file without its final line break.
fn read_line(path: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::SignInFile { path: path.to_owned(), source })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Error::SignInEmpty { path: path.to_owned() });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), password: password.into() }
    }

    #[test]
    fn username_and_password_must_match() {
        let credentials = credentials("ada", "lovelace");
        assert!(credentials.matches("ada", "lovelace"));
        for (user, password) in [("ada", "lovelac"), ("ad", "lovelace"), ("", ""), ("lovelace", "ada")] {
            assert!(!credentials.matches(user, password), "{user} {password}");
        }
    }

    #[test]
    fn digest_depends_on_the_border_between_username_and_password() {
        assert_ne!(credentials("ab", "c").digest(), credentials("a", "bc").digest());
    }

    #[test]
    fn empty_password_and_short_key_are_rejected() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("username"), "ada\n").expect("the file is writable");
        fs::write(dir.path().join("password"), "\n").expect("the file is writable");
        let error = Credentials::read(dir.path()).expect_err("the password is empty");
        assert_eq!(error.reason(), "SignInFileEmpty");
        fs::write(dir.path().join("password"), "x\r\n").expect("the file is writable");
        assert!(Credentials::read(dir.path()).expect("both files exist").matches("ada", "x"));
        fs::write(dir.path().join("key"), [0; 31]).expect("the file is writable");
        assert_eq!(read_key(&dir.path().join("key")).expect_err("the key is too short").reason(), "SignInKeyTooShort");
        assert_eq!(
            read_key(&dir.path().join("none")).expect_err("the file does not exist").reason(),
            "SignInFileUnreadable"
        );
    }
}
