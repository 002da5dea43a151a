//! The time limit of everything that a test waits for.

use std::time::Duration;

/// Far longer than anything takes, so that a slow machine fails no test.
const LIMIT: Duration = Duration::from_secs(30);

/// Awaits `future` for at most 30 s.
///
/// # Panics
/// If the time is over.
pub async fn within<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("the future completes within 30 s")
}
