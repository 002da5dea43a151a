//! Reads the keys with which the API server signs tokens of ServiceAccounts. Every ServiceAccount may read them.
//!
//! While the API server is away, the verifier keeps the last keys.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use http::Request;
use jiff::Timestamp;
use kube::Client;
use maglev_auth::{AUDIENCE, Guard, KeySet, KeysError, Verifier};
use maglev_net::{Backoff, LogThrottle, error_chain};
use prometheus::Registry;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Interval of reading the keys.
const INTERVAL: Duration = Duration::from_mins(10);
/// Minimum time between two attempts that tokens with unknown keys cause.
const MIN_PAUSE: Duration = Duration::from_mins(1);
/// Delays between failed attempts.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Time limit of one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The loop that reads the keys.
pub struct TokenKeys {
    client: Client,
    verifier: Verifier,
    /// The issuer; `None` reads it from the API server.
    issuer: Option<String>,
    throttle: LogThrottle,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("cannot read {path} from the API server")]
    Api {
        path: &'static str,
        #[source]
        source: Box<kube::Error>,
    },
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("the API server did not answer within {} s", TIMEOUT.as_secs())]
    Late,
    #[error("the API server's issuer is malformed")]
    Issuer(#[source] serde_json::Error),
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

/// The decision on scrapes, and the loop that reads the keys for it; `None` without viewers, because everybody may then
/// read.
///
/// # Errors
/// If the metrics are already registered.
pub fn scrape_guard(
    client: &Client,
    viewers: &[String],
    registry: &Registry,
) -> Result<(Guard, Option<TokenKeys>), prometheus::Error> {
    let verifier = Verifier::new(AUDIENCE, Arc::new(Timestamp::now));
    let guard = Guard::for_scrapes(viewers, verifier.clone(), registry)?;
    let keys = (!viewers.is_empty()).then(|| TokenKeys::new(client.clone(), verifier, None));
    Ok((guard, keys))
}

impl TokenKeys {
    /// Keeps the keys of `verifier` up to date. `issuer` replaces the issuer that the API server names.
    pub fn new(client: Client, verifier: Verifier, issuer: Option<String>) -> Self {
        Self { client, verifier, issuer, throttle: LogThrottle::default() }
    }

    /// Reads until `shutdown`.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            tokio::select! {
                () = self.read_forever() => {}
                () = shutdown.cancelled() => {}
            }
        }
        .boxed()
    }

    async fn read_forever(&self) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1).with_jitter();
        loop {
            let began = Instant::now();
            let next = if self.read().await {
                backoff.reset();
                INTERVAL
            } else {
                backoff.next_delay()
            };
            tokio::select! {
                () = sleep_until(began + next) => {}
                () = self.verifier.refresh_wanted() => sleep_until(began + MIN_PAUSE.min(next)).await,
            }
        }
    }

    /// Reads once. Returns true on success.
    async fn read(&self) -> bool {
        let read = timeout(TIMEOUT, self.fetch()).await;
        match read.unwrap_or(Err(ReadError::Late)) {
            Ok((issuer, keys)) => {
                self.verifier.set_keys(issuer, keys);
                self.throttle.reset();
                true
            }
            Err(error) => {
                self.verifier.read_failed();
                let error = error_chain(&error);
                if let Some(suppressed) = self.throttle.admit(&error) {
                    tracing::warn!(
                        error,
                        suppressed,
                        "the keys of tokens are not renewed; the last ones stay in force"
                    );
                }
                false
            }
        }
    }

    async fn fetch(&self) -> Result<(String, KeySet), ReadError> {
        let issuer = match &self.issuer {
            Some(issuer) => issuer.clone(),
            None => {
                let text = self.get("/.well-known/openid-configuration").await?;
                serde_json::from_str::<Discovery>(&text).map_err(ReadError::Issuer)?.issuer
            }
        };
        // The same path on every API server; the URL in the discovery document may be one for other networks.
        let keys = self.get("/openid/v1/jwks").await?;
        Ok((issuer, KeySet::from_json(&keys)?))
    }

    async fn get(&self, path: &'static str) -> Result<String, ReadError> {
        let request = Request::get(path).body(Vec::new()).expect("the path is a valid URI");
        self.client.request_text(request).await.map_err(|source| ReadError::Api { path, source: Box::new(source) })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use http::Response;
    use kube::client::Body;
    use maglev_testkit::tokens::{ISSUER, TokenIssuer};

    use super::*;

    /// An API server that counts the reads of its keys.
    struct Server {
        issuer: TokenIssuer,
        away: AtomicBool,
        reads: AtomicUsize,
    }

    impl Server {
        fn new() -> Arc<Self> {
            let (issuer, away, reads) = (TokenIssuer::new("own"), AtomicBool::new(false), AtomicUsize::new(0));
            Arc::new(Self { issuer, away, reads })
        }

        fn answer(&self, path: &str) -> Response<Body> {
            if self.away.load(Ordering::Relaxed) {
                self.reads.fetch_add(1, Ordering::Relaxed);
                return Response::builder().status(503).body(Body::empty()).expect("a response");
            }
            let text = if path == "/openid/v1/jwks" {
                self.reads.fetch_add(1, Ordering::Relaxed);
                self.issuer.jwks()
            } else {
                format!(r#"{{"issuer": "{ISSUER}"}}"#)
            };
            Response::new(text.into_bytes().into())
        }

        fn client(self: &Arc<Self>) -> Client {
            let server = Arc::clone(self);
            let service = tower::service_fn(move |request: Request<Body>| {
                let response = server.answer(request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            });
            Client::new(service, "default")
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::Relaxed)
        }
    }

    async fn run_for(time: Duration) {
        tokio::time::sleep(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_read_every_ten_minutes_and_unknown_keys_once_a_minute() {
        let server = Server::new();
        let verifier = Verifier::new(AUDIENCE, Arc::new(Timestamp::now));
        let task = tokio::spawn(TokenKeys::new(server.client(), verifier.clone(), None).run(CancellationToken::new()));
        run_for(Duration::from_secs(1)).await;
        assert_eq!(server.reads(), 1);
        let claims = TokenIssuer::claims("s", AUDIENCE, Timestamp::now().as_second());
        assert!(verifier.verify(&server.issuer.sign("ES256", &claims)).is_ok());
        run_for(INTERVAL * 6).await;
        assert_eq!(server.reads(), 7);

        let unknown = TokenIssuer::new("other").sign("ES256", &claims);
        for _ in 0..100 {
            assert!(verifier.verify(&unknown).is_err());
            run_for(Duration::from_secs(3)).await;
        }
        assert!((11..=13).contains(&server.reads()), "{} reads in five minutes more", server.reads());

        server.away.store(true, Ordering::Relaxed);
        let before = server.reads();
        run_for(Duration::from_hours(2)).await;
        assert!(verifier.verify(&server.issuer.sign("ES256", &claims)).is_ok(), "the last keys stay in force");
        let failed = server.reads() - before;
        assert!((100..=250).contains(&failed), "{failed} attempts in two hours");
        task.abort();
    }
}
