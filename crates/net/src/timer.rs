//! A timer that may be unset.

use tokio::time::Instant;

/// Sleeps until `deadline`; without one, forever.
pub async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
