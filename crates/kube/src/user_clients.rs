//! Clients with a user's token: the API server authorizes and audits each request as that user's.

use kube::{Client, Config, config::AuthInfo};
use secrecy::SecretString;

use super::{ClientOptions, Error, client};

/// Creates clients of one API server that carry a user's token and nothing of this process's identity.
#[derive(Clone, Debug)]
pub struct UserClients {
    config: Config,
}

impl UserClients {
    /// # Errors
    /// If there is no usable configuration.
    pub async fn new(options: ClientOptions) -> Result<Self, Error> {
        let mut config = client::config_with_timeouts(options).await?;
        config.auth_info = AuthInfo::default();
        config.headers.clear();
        Ok(Self { config })
    }

    /// A client with this token. An empty token would be the anonymous user: the caller must refuse it.
    ///
    /// # Errors
    /// If the token is not a valid header value.
    pub fn for_token(&self, token: SecretString) -> Result<Client, Error> {
        let mut config = self.config.clone();
        config.auth_info.token = Some(token);
        client::connect(config)
    }
}

/// HTTP status of the API server's refusal; `None` if there was no answer.
pub fn refusal_code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
