//! The search for `expectedText` or `expectedBody` in the body of a response.
//!
//! The body is searched while it arrives, so that a match counts although the body never ends, is cut off or is reset.

use std::time::Duration;

use memchr::memmem;
use tokio::time::{Instant, timeout_at};

use maglev_model::{body_pattern::BodyPattern, config::Http};

use super::{
    pattern_matcher::{MatchThreads, PatternMatcher},
    progress::ProbeProgress,
};

/// The part of a body, in bytes, that is searched for a text.
const TEXT_LIMIT: usize = 64 * 1024;
/// The minimum time between two searches in a body that goes on. Bounds the CPU time for bodies that arrive in small
/// pieces.
const SEARCH_INTERVAL: Duration = Duration::from_millis(10);

/// The expected part of a body.
#[derive(Debug)]
pub enum ExpectedBody {
    Text(Box<memmem::Finder<'static>>),
    Pattern(PatternMatcher),
}

/// A body that arrives in pieces.
pub trait ResponseBody {
    /// Appends the next piece to `into`. Loses nothing if dropped.
    ///
    /// # Errors
    /// Human-readable message if the body does not end as it should.
    async fn read(&mut self, into: &mut Vec<u8>) -> Result<More, String>;
}

/// The state of a body after a piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    Follows,
    Ended,
}

/// The result of a search, with the number of bytes that were read.
#[derive(Debug, PartialEq, Eq)]
pub enum SearchResult {
    Found(usize),
    NotFound(usize),
    /// Not found in a body that did not end as it should, for this reason.
    Incomplete(String),
    /// This node could not search, for this reason.
    NotSearched(String),
}

impl ExpectedBody {
    /// Prepares the expectation of a HealthCheck of `namespace`, if it has one.
    ///
    /// # Errors
    /// Human-readable message if the pattern is not valid.
    pub fn new(http: &Http, namespace: &str, threads: &MatchThreads) -> Result<Option<Self>, String> {
        if let Some(text) = &http.expected_text {
            return Ok(Some(Self::Text(Box::new(memmem::Finder::new(text).into_owned()))));
        }
        let Some(pattern) = &http.expected_body else { return Ok(None) };
        pattern.compiled().map_err(|error| format!("expectedBody: {error}"))?;
        Ok(Some(Self::Pattern(threads.matcher(namespace, pattern.clone()))))
    }

    /// The name of the field in the HealthCheck.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Text(_) => "expectedText",
            Self::Pattern(_) => "expectedBody",
        }
    }

    /// The part of a body, in bytes, that is searched.
    pub fn limit(&self) -> usize {
        match self {
            Self::Text(_) => TEXT_LIMIT,
            Self::Pattern(_) => BodyPattern::BODY_LIMIT,
        }
    }

    async fn matches(&self, body: &[u8], has_ended: bool, progress: &ProbeProgress<'_>) -> Result<bool, String> {
        match self {
            Self::Text(text) => Ok(text.find(body).is_some()),
            Self::Pattern(matcher) => progress.while_busy(matcher.matches(body, has_ended)).await,
        }
    }

    /// Reads `body` until a match, its end, or [`limit`](Self::limit).
    pub async fn search(&self, body: &mut impl ResponseBody, progress: &ProbeProgress<'_>) -> SearchResult {
        let limit = self.limit();
        let mut read = Vec::new();
        let mut searched = 0;
        let mut next_search = Instant::now();
        loop {
            let piece = if searched == read.len() {
                body.read(&mut read).await
            } else if let Ok(piece) = timeout_at(next_search, body.read(&mut read)).await {
                piece
            } else {
                Ok(More::Follows)
            };
            read.truncate(limit);
            let has_ended = piece == Ok(More::Ended) || read.len() == limit;
            let now = Instant::now();
            if has_ended || piece.is_err() || now >= next_search {
                match self.matches(&read, has_ended, progress).await {
                    Ok(true) => return SearchResult::Found(read.len()),
                    Ok(false) => {}
                    Err(reason) => return SearchResult::NotSearched(reason),
                }
                (searched, next_search) = (read.len(), Instant::now() + SEARCH_INTERVAL);
            }
            match piece {
                _ if has_ended => return SearchResult::NotFound(read.len()),
                Err(reason) => return SearchResult::Incomplete(reason),
                Ok(_) => {}
            }
        }
    }
}
