//! Tells of failures without repeating them: one warning per distinct cause per minute. Shared by
//! the watches of all kinds, so an API server that is away is told of once, not once per kind.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long a cause is not repeated.
const QUIET: Duration = Duration::from_mins(1);
/// Causes remembered: more would mean that they carry something that always differs.
const REMEMBERED: usize = 64;

/// The causes told of within the last minute.
#[derive(Debug, Default)]
pub struct Causes(Mutex<HashMap<String, Instant>>);

impl Causes {
    /// Whether `cause` should be told of now.
    pub fn is_news(&self, cause: &str) -> bool {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| now.duration_since(*at) < QUIET);
        if told.contains_key(cause) || told.len() >= REMEMBERED {
            return false;
        }
        told.insert(cause.to_owned(), now);
        true
    }
}

/// An error with its sources; one that its parent repeats is left out.
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
    async fn a_cause_is_told_once_a_minute() {
        let causes = Causes::default();
        assert!(causes.is_news("refused") && causes.is_news("forbidden"));
        assert!(!causes.is_news("refused"));
        tokio::time::advance(QUIET).await;
        assert!(causes.is_news("refused"));
    }

    #[tokio::test]
    async fn causes_that_always_differ_do_not_pile_up() {
        let causes = Causes::default();
        let told = (0..1000).filter(|n| causes.is_news(&n.to_string())).count();
        assert_eq!(told, REMEMBERED);
    }
}
