//! The right to read, which the API server decides on with the user's own token.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kube::Client;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::session::Session;
use crate::request_error::RequestError;
use maglev_kube::{refusal_code, unlisted_resource};

/// Time in seconds for which a decision is used.
const MAX_AGE: i64 = 60;
/// Time limit of a check. While the API server is away, users who have signed in may go on reading.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The time of a session's last check. Locked during a check, so that simultaneous requests wait for one check.
type LastCheck = Arc<tokio::sync::Mutex<Option<i64>>>;

/// The last checks by session, until the sessions end.
#[derive(Default)]
pub struct ReadAccess(Mutex<HashMap<String, (i64, LastCheck)>>);

impl ReadAccess {
    /// Checks that the user of `session` may read, unless that was checked a short time ago.
    pub async fn check(
        &self,
        session: &Session,
        now: i64,
        client: impl FnOnce() -> Result<Client, RequestError>,
    ) -> Result<(), RequestError> {
        let last = self.last_check(session, now);
        let mut last = last.lock().await;
        if last.is_some_and(|checked| (0..MAX_AGE).contains(&(now - checked))) {
            return Ok(());
        }
        match timeout(TIMEOUT, check_reader(&client()?, &session.user)).await {
            Ok(Err(error @ (RequestError::NotAllowedToRead { .. } | RequestError::NotSignedIn))) => return Err(error),
            Ok(Err(error)) => tracing::warn!(who = session.user, %error, "right to read not checked"),
            Err(_) => tracing::warn!(who = session.user, "right to read not checked: the API server does not answer"),
            Ok(Ok(())) => {}
        }
        *last = Some(now);
        Ok(())
    }

    /// Records that the user of a new session may read.
    pub async fn checked(&self, session: &Session, now: i64) {
        *self.last_check(session, now).lock().await = Some(now);
    }

    fn last_check(&self, session: &Session, now: i64) -> LastCheck {
        let mut checks = self.0.lock();
        checks.retain(|_, (ends, _)| *ends > now);
        Arc::clone(&checks.entry(session.id.clone()).or_insert_with(|| (session.ends(), LastCheck::default())).1)
    }
}

/// Checks with the API server that the user of `client` may read.
pub async fn check_reader(client: &Client, user: &str) -> Result<(), RequestError> {
    match unlisted_resource(client).await {
        Ok(None) => Ok(()),
        Ok(Some(resource)) => Err(RequestError::NotAllowedToRead { user: user.to_owned(), resource }),
        Err(error) if refusal_code(&error) == Some(401) => Err(RequestError::NotSignedIn),
        Err(error) => Err(RequestError::Unreachable(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU16, AtomicUsize, Ordering},
    };

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    /// An API server that answers every review with `status`, or that reading is allowed (200) or not (0).
    #[derive(Default)]
    struct Server {
        status: AtomicU16,
        reviews: AtomicUsize,
    }

    impl Server {
        fn answer(&self) -> Response<Body> {
            self.reviews.fetch_add(1, Ordering::Relaxed);
            let status = self.status.load(Ordering::Relaxed);
            let body = match status {
                0 | 200 => format!(r#"{{"spec": {{}}, "status": {{"allowed": {}}}}}"#, status == 200),
                code => format!(r#"{{"kind": "Status", "status": "Failure", "message": "no", "code": {code}}}"#),
            };
            let response = Response::builder().status(if status == 0 { 200 } else { status });
            response.body(body.into_bytes().into()).expect("a response")
        }

        fn client(self: &Arc<Self>) -> Client {
            let server = Arc::clone(self);
            let service = tower::service_fn(move |_: Request<Body>| {
                let response = server.answer();
                async move { Ok::<_, Infallible>(response) }
            });
            Client::new(service, "default")
        }
    }

    #[tokio::test]
    async fn decision_is_used_for_a_minute_and_stays_while_the_api_server_does_not_decide() {
        let (server, access) = (Arc::new(Server::default()), ReadAccess::default());
        let session = Session::start("ada".into(), None, 1000).expect("random numbers are available");
        let check = async |now| access.check(&session, now, || Ok(server.client())).await;
        let answers = |status| server.status.store(status, Ordering::Relaxed);
        answers(200);
        assert!(check(1000).await.is_ok());
        let reviews = server.reviews.load(Ordering::Relaxed);
        answers(0);
        assert!(check(1059).await.is_ok());
        assert_eq!(server.reviews.load(Ordering::Relaxed), reviews, "the decision is used again");
        let refused = check(1060).await;
        assert!(matches!(refused, Err(RequestError::NotAllowedToRead { .. })), "{refused:?}");
        answers(503);
        assert!(check(1060).await.is_ok(), "no decision");
        answers(401);
        assert!(matches!(check(1120).await, Err(RequestError::NotSignedIn)), "the token has expired");
    }
}
