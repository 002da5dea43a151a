//! The time limit of waits in tests.

use std::time::Duration;

/// Far longer than necessary, so that tests pass on slow machines.
const LIMIT: Duration = Duration::from_secs(30);

/// Awaits `future` for at most 30 s.
///
/// # Panics
/// The future does not complete in time.
pub async fn within<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("the future completes within 30 s")
}
