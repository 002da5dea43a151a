//! A client that does not start watches without a pause.
//!
//! kube starts a watch again at once after the server has ended it. An API server, or a proxy before it, that ends every
//! watch at once would otherwise be asked without a pause.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use http::Request;
use kube::{Client, client::Body};
use maglev_net::KeyedRateLimit;
use tokio::time::sleep;
use tower::service_fn;

/// Starts of one watch without a pause.
const BURST: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
/// Interval of further starts. An agent has up to eight watches, so all of them together start less than twice a second.
const INTERVAL: Duration = Duration::from_secs(5);
/// Watched paths; a program has fewer.
const MAX_PATHS: usize = 64;

/// A client whose starts of each watch are limited. Other requests are not.
pub fn pace_watches(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let limit = Arc::new(KeyedRateLimit::new(BURST, INTERVAL, MAX_PATHS));
    let send = move |request: Request<Body>| {
        let (client, limit) = (client.clone(), Arc::clone(&limit));
        async move {
            if is_watch(&request) {
                while let Err(wait) = limit.allow(&request.uri().path().to_owned()) {
                    sleep(wait).await;
                }
            }
            client.send(request).await
        }
    };
    Client::new(service_fn(send), namespace)
}

fn is_watch(request: &Request<Body>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|parameter| parameter == "watch=true"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;
    use http::Response;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn starts_of_each_watch_are_limited_and_other_requests_are_not() {
        let sent = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&sent);
        let count = move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, std::io::Error>(Response::new(Body::empty())) }
        };
        let client = pace_watches(Client::new(service_fn(count), "default"));
        let request = |path: &str| Request::get(path.to_owned()).body(Body::empty()).unwrap();
        let begin = Instant::now();
        for _ in 0..100 {
            client.send(request("/api/v1/nodes?limit=500")).await.unwrap();
        }
        for path in ["/api/v1/nodes?&watch=true&resourceVersion=7", "/api/v1/pods?watch=true"] {
            for _ in 0..BURST.get() {
                client.send(request(path)).await.unwrap();
            }
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
        join_all((0..10).map(|_| client.send(request("/api/v1/nodes?watch=true")))).await;
        assert_eq!(begin.elapsed().as_secs(), 10 * INTERVAL.as_secs());
        assert_eq!(sent.load(Ordering::Relaxed), 100 + 2 * BURST.get() + 10);
    }
}
