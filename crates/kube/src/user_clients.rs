//! Clients that are somebody else: what they ask and write, the API server decides and audits as that user's.

use kube::{Client, Config, config::AuthInfo};
use secrecy::SecretString;

use super::{ClientOptions, Error, client};

/// Makes clients of the same API server, each with the token of a user and with nothing of our own identity.
#[derive(Clone, Debug)]
pub struct UserClients {
    config: Config,
}

impl UserClients {
    /// For the API server that `options` lead to.
    ///
    /// # Errors
    /// If there is no usable configuration.
    pub async fn new(options: ClientOptions) -> Result<Self, Error> {
        let mut config = client::bounded(options).await?;
        config.auth_info = AuthInfo::default();
        config.headers.clear();
        Ok(Self { config })
    }

    /// A client with this token. An empty one would be an anonymous user: that is the caller's to refuse.
    ///
    /// # Errors
    /// If the token cannot stand in a header.
    pub fn of(&self, token: SecretString) -> Result<Client, Error> {
        let mut config = self.config.clone();
        config.auth_info.token = Some(token);
        client::connect(config)
    }
}

/// With which HTTP status the API server said no; `None` where it did not answer.
pub fn refusal_code(err: &kube::Error) -> Option<u16> {
    match err {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
