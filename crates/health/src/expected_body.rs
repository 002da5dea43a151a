//! The search for `expectedText` or `expectedBody` in the body of a response.
//!
//! The body is searched while it arrives, so that a match counts although the body never ends, is cut off or is reset.

use std::time::Duration;

use memchr::memmem;
use tokio::time::{Instant, timeout_at};

use maglev_model::{body_pattern::BodyPattern, config::Http};

/// The part of a body, in bytes, that is searched.
const BODY_LIMIT: usize = 64 * 1024;
/// The minimum time between two searches in a body that goes on. Bounds the CPU time for bodies that arrive in small
/// pieces.
const SEARCH_INTERVAL: Duration = Duration::from_millis(10);

/// The expected part of a body.
#[derive(Debug)]
pub enum ExpectedBody {
    Text(Box<memmem::Finder<'static>>),
    Pattern(BodyPattern),
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
}

impl ExpectedBody {
    /// Prepares the expectation of a HealthCheck, if it has one.
    ///
    /// # Errors
    /// Human-readable message if the pattern is not valid.
    pub fn new(http: &Http) -> Result<Option<Self>, String> {
        if let Some(text) = &http.expected_text {
            return Ok(Some(Self::Text(Box::new(memmem::Finder::new(text).into_owned()))));
        }
        let pattern = http.expected_body.as_deref().map(BodyPattern::new).transpose();
        Ok(pattern.map_err(|error| format!("expectedBody: {error}"))?.map(Self::Pattern))
    }

    /// The name of the field in the HealthCheck.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Text(_) => "expectedText",
            Self::Pattern(_) => "expectedBody",
        }
    }

    fn matches(&self, body: &[u8], has_ended: bool) -> bool {
        match self {
            Self::Text(text) => text.find(body).is_some(),
            Self::Pattern(pattern) => pattern.matches(body, has_ended),
        }
    }

    /// Reads `body` until a match, its end, or [`BODY_LIMIT`].
    pub async fn search(&self, body: &mut impl ResponseBody) -> SearchResult {
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
            read.truncate(BODY_LIMIT);
            let has_ended = piece == Ok(More::Ended) || read.len() == BODY_LIMIT;
            let now = Instant::now();
            if has_ended || piece.is_err() || now >= next_search {
                if self.matches(&read, has_ended) {
                    return SearchResult::Found(read.len());
                }
                (searched, next_search) = (read.len(), now + SEARCH_INTERVAL);
            }
            match piece {
                _ if has_ended => return SearchResult::NotFound(read.len()),
                Err(reason) => return SearchResult::Incomplete(reason),
                Ok(_) => {}
            }
        }
    }
}
