//! The regular expression that the body of a response must match: RE2 syntax, as the API server checks it on apply, with
//! the meaning that Go's `regexp` gives it.
//!
//! The expression is translated to the syntax of the crate `regex`, since some texts mean something else there: for
//! example, `{"status"` and `\<` are literal texts in RE2 only. Bytes that are not UTF-8 count as one character each
//! (U+FFFD), as in Go.

mod re2;

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use regex::{Regex, RegexBuilder, bytes};

/// The maximum size of a compiled expression in bytes, and of the states that are cached while it is matched. Together
/// with [`BodyPattern::BODY_LIMIT`] it bounds the time of a match to some 20 ms (`soak_expensive_patterns…` measures it).
const SIZE_LIMIT: usize = 16 << 10;
/// The maximum depth of nested groups; an expression of 1024 characters cannot exceed it.
const NEST_LIMIT: u32 = 2048;
/// Stands for every character outside of ASCII where all of them are alike.
const OTHER_CHARACTER: u8 = 0xFF;

/// An expression, compiled once at its first use. Clones share the compiled form; equality is that of the text.
#[derive(Clone)]
pub struct BodyPattern(Arc<Pattern>);

struct Pattern {
    source: Box<str>,
    compiled: OnceLock<Result<CompiledPattern, PatternError>>,
}

/// A compiled expression.
#[derive(Debug)]
pub struct CompiledPattern {
    matcher: Matcher,
    /// True if an assertion looks at the character after the match or at the end: `$`, `\z`, `\b` or `\B`.
    looks_ahead: bool,
}

#[derive(Debug)]
enum Matcher {
    /// All characters outside of ASCII are alike: the text has one byte for each character, which keeps `.` and `[^"]`
    /// small.
    Ascii(bytes::Regex),
    Unicode(Regex),
}

/// The reason for which an expression cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatternError {
    /// The expression is not valid RE2, or has a part that is not supported.
    #[error("{0}")]
    Syntax(String),
    /// The compiled expression would be too large.
    #[error(
        "needs more than {} KiB when its repetitions are expanded: use lower counts, fewer repetitions or shorter \
         alternatives, or expectedText",
        SIZE_LIMIT >> 10
    )]
    TooLarge,
}

impl BodyPattern {
    /// The part of a body, in bytes, that is searched.
    pub const BODY_LIMIT: usize = 8 << 10;

    /// The expression `source`, which need not be valid.
    pub fn new(source: &str) -> Self {
        Self(Arc::new(Pattern { source: source.into(), compiled: OnceLock::new() }))
    }

    /// The text of the expression.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The compiled expression. The first call compiles, which takes up to some milliseconds.
    ///
    /// # Errors
    /// If the expression is not valid or too large.
    pub fn compiled(&self) -> Result<&CompiledPattern, PatternError> {
        self.0.compiled.get_or_init(|| CompiledPattern::new(&self.0.source)).as_ref().map_err(Clone::clone)
    }
}

impl PartialEq for BodyPattern {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for BodyPattern {}

impl fmt::Debug for BodyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.source(), f)
    }
}

impl CompiledPattern {
    fn new(source: &str) -> Result<Self, PatternError> {
        let re2::Translated { text, looks_ahead, is_ascii } = re2::translate(source).map_err(PatternError::Syntax)?;
        let matcher = if is_ascii {
            let mut builder = bytes::RegexBuilder::new(&text);
            builder.unicode(false).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).nest_limit(NEST_LIMIT);
            builder.build().map(Matcher::Ascii)
        } else {
            let mut builder = RegexBuilder::new(&text);
            builder.size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).nest_limit(NEST_LIMIT);
            builder.build().map(Matcher::Unicode)
        };
        let matcher = matcher.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
            other => PatternError::Syntax(last_line(&other.to_string())),
        })?;
        Ok(Self { matcher, looks_ahead })
    }

    /// True if the expression matches anywhere in `body`. While the body has not ended, true only if it matches whatever
    /// follows.
    pub fn matches(&self, body: &[u8], has_ended: bool) -> bool {
        let body = if has_ended { body } else { without_partial_character(body) };
        let is_final = has_ended || !self.looks_ahead;
        match &self.matcher {
            Matcher::Ascii(regex) => {
                let text = one_byte_per_character(body);
                if is_final {
                    return regex.is_match(&text);
                }
                regex.find(&text).is_some_and(|found| found.end() < text.len())
            }
            Matcher::Unicode(regex) => {
                let text = decode(body);
                if is_final {
                    return regex.is_match(&text);
                }
                regex.find(&text).is_some_and(|found| found.end() < text.len())
            }
        }
    }
}

/// The explanation of an error of the crate `regex`, without the drawing that points into the translated expression.
fn last_line(error: &str) -> String {
    let line = error.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// The characters of `body`. Each byte that is not part of one is U+FFFD.
fn decode(body: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(body) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(body.len() + 64);
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

/// The characters of `body` in one byte each: [`OTHER_CHARACTER`] for those outside of ASCII and for bytes that are not
/// part of one.
fn one_byte_per_character(body: &[u8]) -> Cow<'_, [u8]> {
    if body.is_ascii() {
        return Cow::Borrowed(body);
    }
    let mut text = Vec::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.extend(
            chunk.valid().chars().map(|next| u8::try_from(next).ok().filter(u8::is_ascii).unwrap_or(OTHER_CHARACTER)),
        );
        text.extend(chunk.invalid().iter().map(|_| OTHER_CHARACTER));
    }
    Cow::Owned(text)
}

/// `body` without the first bytes of a character at its end.
fn without_partial_character(body: &[u8]) -> &[u8] {
    let longest = body.len().saturating_sub(3);
    let partial = (longest..body.len()).find(|&at| {
        body[at] >= 0xC0 && std::str::from_utf8(&body[at..]).is_err_and(|error| error.error_len().is_none())
    });
    &body[..partial.unwrap_or(body.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, body: &str, has_ended: bool) -> bool {
        BodyPattern::new(pattern).compiled().unwrap().matches(body.as_bytes(), has_ended)
    }

    #[test]
    fn match_before_the_end_holds_whatever_follows() {
        let table = [
            ("ok", "ok", true),
            ("ok$", "ok", false),
            ("ok$", "ok\n", false),
            (r"ok\b", "ok", false),
            (r"ok\b", "ok.", true),
            (r"\bok\b", "data: ok\n", true),
            ("(?m)^ok$", "ok\n", true),
            ("(?m)^ok$", "ok", false),
            (r"ok\z", "ok", false),
        ];
        for (pattern, body, expected) in table {
            assert_eq!(matches(pattern, body, false), expected, "{pattern} in {body:?}, which goes on");
        }
        assert!(matches("ok$", "ok", true) && !matches("ok$", "ok\n", true));
    }

    #[test]
    fn partial_character_at_the_end_counts_once_it_is_complete() {
        let pattern = BodyPattern::new("^..$|^ok..");
        let pattern = pattern.compiled().unwrap();
        let euro = "ok€".as_bytes();
        assert!(!pattern.matches(&euro[..4], false), "the last two bytes are no two characters yet");
        assert!(!pattern.matches(euro, false));
        assert!(pattern.matches(&euro[..4], true), "at the end they are");
        assert!(pattern.matches(b"\xff\xfe", true));
        assert_eq!(without_partial_character(b"ab\xf0\x9f\x98"), b"ab");
        assert_eq!(without_partial_character("ab😀".as_bytes()), "ab😀".as_bytes());
        assert_eq!(without_partial_character(b"\xff"), b"\xff");
    }

    #[test]
    fn characters_outside_of_ascii_count_as_one_each() {
        for (pattern, body, expected) in [
            ("^[^\"]{2}$", "äö".as_bytes(), true),
            ("^.{3}$", b"\xff\xe2\x82", true),
            (r"^\W{2}$", "€-".as_bytes(), true),
            ("^..$", "é".as_bytes(), false),
            (r"\B", "aéa".as_bytes(), false),
            ("(?i)^k$", "\u{212a}".as_bytes(), true),
            ("^k$", "\u{212a}".as_bytes(), false),
            ("^[^é]$", "ä".as_bytes(), true),
            ("^[^é]$", "é".as_bytes(), false),
        ] {
            let found = BodyPattern::new(pattern).compiled().unwrap().matches(body, true);
            assert_eq!(found, expected, "{pattern} in {body:?}");
        }
    }

    #[test]
    fn clones_share_the_compiled_form() {
        let pattern = BodyPattern::new("ok");
        let clone = pattern.clone();
        assert!(std::ptr::eq(pattern.compiled().unwrap(), clone.compiled().unwrap()));
        assert_eq!(pattern, BodyPattern::new("ok"));
        assert_ne!(pattern, BodyPattern::new("up"));
    }

    #[test]
    fn usual_patterns_are_within_the_size_limit() {
        for pattern in [
            r#"(?i)"status"\s*:\s*"(up|ok|healthy)""#,
            r#""version":"[^"]{1,64}","commit":"[0-9a-f]{40}""#,
            r"(?s)^<html>.*</html>\s*$",
            r"(?m)^ready: (true|yes)$",
            r".{1,99}",
            r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$",
            "(?i)läuft|größer",
        ] {
            assert_eq!(BodyPattern::new(pattern).compiled().err(), None, "{pattern}");
        }
    }

    #[test]
    fn patterns_whose_match_would_take_long_are_too_large() {
        for pattern in [
            format!("{}c", "[ab]{0,900}a".repeat(80)),
            format!("{}c", "[ab]{0,99}a".repeat(8)),
            format!("{}c", "(a|b)?".repeat(170)),
            format!("(?i){}", "[^é]".repeat(255)),
            "((.{99}){99}){99}".to_owned(),
        ] {
            let start: String = pattern.chars().take(20).collect();
            assert_eq!(BodyPattern::new(&pattern).compiled().err(), Some(PatternError::TooLarge), "{start}");
        }
    }
}
