//! Tokens and authorities for a person's connections to agents. The person's own credentials never reach an agent: the API
//! server issues a token of a ServiceAccount with the agents' audience, if the person may request one.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, ServiceAccount},
};
use kube::{Api, Client, api::PostParams};
use maglev_auth::{AUDIENCE, SharedToken};
use maglev_net::{Backoff, error_chain};
use secrecy::SecretString;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Requested validity of a token, the shortest that the API server grants.
const LIFETIME: Duration = Duration::from_mins(10);
/// Time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Delays between failed requests.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));
/// ConfigMap with the authorities of agents' certificates, and its key.
pub const AUTHORITIES: (&str, &str) = ("maglev-ca", "ca.crt");

/// Requests a token of a ServiceAccount now, and renews the token until every receiver is dropped.
pub async fn agent_token(client: Client, namespace: &str, account: &str) -> SharedToken {
    let request = AccountToken { client, namespace: namespace.to_owned(), account: account.to_owned() };
    let first = request.send().await;
    let token = first.as_ref().map(|(token, _)| token.clone()).map_err(Clone::clone);
    let (token_tx, token_rx) = watch::channel(token);
    tokio::spawn(request.renew(first.map(|(_, expires)| expires), token_tx));
    token_rx
}

struct AccountToken {
    client: Client,
    namespace: String,
    account: String,
}

impl AccountToken {
    async fn send(&self) -> Result<(SecretString, Timestamp), String> {
        let Self { namespace, account, .. } = self;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let expiration_seconds = i64::try_from(LIFETIME.as_secs()).ok();
        let spec =
            TokenRequestSpec { audiences: vec![AUDIENCE.to_owned()], bound_object_ref: None, expiration_seconds };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let params = PostParams::default();
        let answer = timeout(TIMEOUT, accounts.create_token_request(account, &params, &request)).await;
        let failed = |error: &str| format!("cannot get a token of ServiceAccount {namespace}/{account}: {error}");
        let answer = answer.map_err(|_| failed("the API server did not answer in time"))?;
        let answer = answer.map_err(|error| failed(&error_chain(&error)))?;
        let status = answer.status.ok_or_else(|| failed("the answer has no token"))?;
        Ok((status.token.into(), status.expiration_timestamp.0))
    }

    /// Renews the token after four fifths of its validity.
    async fn renew(
        self,
        mut expires: Result<Timestamp, String>,
        token_tx: watch::Sender<Result<SecretString, String>>,
    ) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let delay = match &expires {
                Ok(expires) => {
                    let left = Duration::try_from(expires.duration_since(Timestamp::now())).unwrap_or_default();
                    left.mul_f64(0.8).max(RETRY.0)
                }
                Err(_) => backoff.next_delay(),
            };
            tokio::select! {
                () = sleep(delay) => {}
                () = token_tx.closed() => return,
            }
            match self.send().await {
                Ok((token, end)) => {
                    backoff.reset();
                    drop(token_tx.send_replace(Ok(token)));
                    expires = Ok(end);
                }
                Err(error) => {
                    // A token that may still be valid is kept.
                    if token_tx.borrow().is_err() {
                        drop(token_tx.send_replace(Err(error.clone())));
                    }
                    expires = Err(error);
                }
            }
        }
    }
}

/// The authorities of agents' certificates in PEM; `None` if this release has none.
///
/// # Errors
/// The API server's answer as text.
pub async fn agent_authorities(client: Client, namespace: &str) -> Result<Option<Vec<u8>>, String> {
    let (name, key) = AUTHORITIES;
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    let failed = |error: &str| format!("cannot read ConfigMap {namespace}/{name}: {error}");
    let answer = timeout(TIMEOUT, maps.get_opt(name)).await;
    let answer = answer.map_err(|_| failed("the API server did not answer in time"))?;
    let map = answer.map_err(|error| failed(&error_chain(&error)))?;
    Ok(map.map(|map| map.data.and_then(|mut data| data.remove(key)).unwrap_or_default().into_bytes()))
}
