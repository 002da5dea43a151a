//! Rate-limits warnings: at most one per distinct cause per minute. Shared by the watches of all kinds, so an unreachable
//! API server is logged once, not once per kind.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Time during which a cause is not logged again.
const QUIET: Duration = Duration::from_mins(1);
/// Limit of remembered causes: more would mean that they contain something that always differs.
const REMEMBERED: usize = 64;

/// The causes logged within the last minute.
#[derive(Debug, Default)]
pub struct Causes(Mutex<HashMap<String, Instant>>);

impl Causes {
    /// True if `cause` should be logged now.
    pub fn is_news(&self, cause: &str) -> bool {
        let now = Instant::now();
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|_, at| now.duration_since(*at) < QUIET);
        if logged.contains_key(cause) || logged.len() >= REMEMBERED {
            return false;
        }
        logged.insert(cause.to_owned(), now);
        true
    }
}

/// An error with its sources, without a source that its parent repeats.
pub fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn cause_is_logged_once_a_minute() {
        let causes = Causes::default();
        assert!(causes.is_news("refused") && causes.is_news("forbidden"));
        assert!(!causes.is_news("refused"));
        tokio::time::advance(QUIET).await;
        assert!(causes.is_news("refused"));
    }

    #[tokio::test]
    async fn remembered_causes_are_limited() {
        let causes = Causes::default();
        let count = (0..1000).filter(|n| causes.is_news(&n.to_string())).count();
        assert_eq!(count, REMEMBERED);
    }
}
