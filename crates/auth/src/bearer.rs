//! The token that a client presents.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{sync::watch, time::Instant};

/// Time for which the content of a file is used. Kubernetes renews a token long before its end.
const REREAD: Duration = Duration::from_secs(10);

/// A token from another part of the program, or the reason why there is none.
pub type SharedToken = watch::Receiver<Result<SecretString, String>>;

/// The source of a client's token.
#[derive(Clone, Default)]
pub struct TokenSource(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    None,
    File(Arc<TokenFile>),
    Shared(SharedToken),
}

struct TokenFile {
    path: PathBuf,
    read: Mutex<Option<(Instant, Result<SecretString, String>)>>,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::None => f.write_str("None"),
            Source::File(file) => f.debug_tuple("File").field(&file.path).finish(),
            Source::Shared(_) => f.write_str("Shared"),
        }
    }
}

impl TokenSource {
    /// The token in a file, which is read again.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(Arc::new(TokenFile { path: path.into(), read: Mutex::default() })))
    }

    /// The token that another part of the program renews.
    pub fn shared(token_rx: SharedToken) -> Self {
        Self(Source::Shared(token_rx))
    }

    /// No token, for this reason.
    pub fn missing(problem: String) -> Self {
        Self(Source::Shared(watch::Sender::new(Err(problem)).subscribe()))
    }

    /// The value of the header `authorization`; `None` without a token.
    pub fn authorization(&self) -> Option<SecretString> {
        let token = self.token()?.ok()?;
        Some(SecretString::from(format!("Bearer {}", token.expose_secret())))
    }

    /// The reason why there is no token although there should be one.
    pub fn problem(&self) -> Option<String> {
        self.token()?.err()
    }

    fn token(&self) -> Option<Result<SecretString, String>> {
        match &self.0 {
            Source::None => None,
            Source::File(file) => Some(file.token()),
            Source::Shared(token_rx) => Some(token_rx.borrow().clone()),
        }
    }
}

impl TokenFile {
    fn token(&self) -> Result<SecretString, String> {
        let now = Instant::now();
        let mut read = self.read.lock();
        match &*read {
            Some((at, token)) if now.duration_since(*at) < REREAD => token.clone(),
            _ => {
                let token = self.read_file();
                *read = Some((now, token.clone()));
                token
            }
        }
    }

    fn read_file(&self) -> Result<SecretString, String> {
        let path = self.path.display();
        let text =
            std::fs::read_to_string(&self.path).map_err(|error| format!("cannot read the token {path}: {error}"));
        let token = text?.trim().to_owned();
        if token.is_empty() { Err(format!("the token file {path} is empty")) } else { Ok(token.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(source: &TokenSource) -> Option<String> {
        source.authorization().map(|header| header.expose_secret().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn renewed_token_is_read_again_from_its_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        let source = TokenSource::file(&path);
        assert_eq!(header(&source), None);
        assert!(source.problem().is_some_and(|problem| problem.contains("cannot read the token")));
        for token in ["one", "two"] {
            std::fs::write(&path, format!("{token}\n")).expect("the directory is writable");
            tokio::time::advance(REREAD).await;
            assert_eq!(header(&source), Some(format!("Bearer {token}")));
        }
        assert_eq!(source.problem(), None);
        assert!(!format!("{source:?}").contains("two"));
    }

    #[test]
    fn shared_token_is_the_latest_one() {
        let (token_tx, token_rx) = watch::channel(Err("forbidden".to_owned()));
        let source = TokenSource::shared(token_rx);
        assert_eq!((header(&source), source.problem()), (None, Some("forbidden".to_owned())));
        drop(token_tx.send_replace(Ok("one".to_owned().into())));
        assert_eq!((header(&source), source.problem()), (Some("Bearer one".to_owned()), None));
        assert_eq!((header(&TokenSource::default()), TokenSource::default().problem()), (None, None));
    }
}
