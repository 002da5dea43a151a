//! The regular expression that the body of a response must match: RE2 syntax, as the API server checks it on apply, with
//! the meaning that Go's `regexp` gives it.
//!
//! The expression is translated to the syntax of the crate `regex`, since some texts mean something else there: for
//! example, `{"status"` and `\<` are literal texts in RE2 only. Bytes that are not UTF-8 count as one character each
//! (U+FFFD), as in Go.

mod re2;

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

/// The maximum size of a compiled expression in bytes. The rules for `expectedBody` allow no larger ones.
const SIZE_LIMIT: usize = 32 << 20;
/// The maximum depth of nested groups; an expression of 1024 characters cannot exceed it.
const NEST_LIMIT: u32 = 2048;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct BodyPattern {
    regex: Regex,
    /// True if an assertion looks at the character after the match or at the end: `$`, `\z`, `\b` or `\B`.
    looks_ahead: bool,
}

/// The reason for which an expression cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatternError {
    /// The expression is not valid RE2, or has a part that is not supported.
    #[error("{0}")]
    Syntax(String),
    /// The compiled expression would be too large.
    #[error("is too large when its repetitions are expanded: use lower counts")]
    TooLarge,
}

impl BodyPattern {
    /// Compiles `source`.
    ///
    /// # Errors
    /// If `source` is not valid or too large.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        let re2::Translated { text, looks_ahead } = re2::translate(source).map_err(PatternError::Syntax)?;
        let compiled = RegexBuilder::new(&text).size_limit(SIZE_LIMIT).nest_limit(NEST_LIMIT).build();
        let regex = compiled.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
            other => PatternError::Syntax(last_line(&other.to_string())),
        })?;
        Ok(Self { regex, looks_ahead })
    }

    /// True if the expression matches anywhere in `body`. While the body has not ended, true only if it matches whatever
    /// follows.
    pub fn matches(&self, body: &[u8], has_ended: bool) -> bool {
        if has_ended {
            return self.regex.is_match(&decode(body));
        }
        let text = decode(without_partial_character(body));
        if !self.looks_ahead {
            return self.regex.is_match(&text);
        }
        self.regex.find(&text).is_some_and(|found| found.end() < text.len())
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
        BodyPattern::new(pattern).unwrap().matches(body.as_bytes(), has_ended)
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
        let pattern = BodyPattern::new("^..$|^ok..").unwrap();
        let euro = "ok€".as_bytes();
        assert!(!pattern.matches(&euro[..4], false), "the last two bytes are no two characters yet");
        assert!(!pattern.matches(euro, false));
        assert!(pattern.matches(&euro[..4], true), "at the end they are");
        assert!(pattern.matches(b"\xff\xfe", true));
        assert_eq!(without_partial_character(b"ab\xf0\x9f\x98"), b"ab");
        assert_eq!(without_partial_character("ab😀".as_bytes()), "ab😀".as_bytes());
        assert_eq!(without_partial_character(b"\xff"), b"\xff");
    }

    /// The largest expressions that the rules of `expectedBody` allow: 1024 characters, 8 counts up to 99, none on a
    /// group.
    #[test]
    fn largest_allowed_patterns_compile() {
        let class: String = ('\u{100}'..).step_by(3).take(990).collect();
        let nested = format!("{}a{}", "(".repeat(511), ")".repeat(511));
        let alternatives = format!("{}a{}", "(a|".repeat(255), ")".repeat(255));
        let optional = format!("{}a{}", "(".repeat(340), ")?".repeat(340));
        let patterns = [
            nested,
            alternatives,
            optional,
            "[^é]".repeat(256),
            format!("(?i){}", "[^é]".repeat(255)),
            format!("[{class}]{{99}}"),
            format!("(?i)[{class}]{{99}}"),
            format!("(?i)[^{class}]{{99}}"),
            "[^é]{99}".repeat(8) + &".".repeat(900),
            r"(?i)[\W]".repeat(100),
        ];
        for pattern in patterns {
            assert!(pattern.chars().count() <= 1024);
            let start: String = pattern.chars().take(20).collect();
            assert_eq!(BodyPattern::new(&pattern).err(), None, "{start}");
        }
        assert_eq!(BodyPattern::new("((.{99}){99}){99}").err(), Some(PatternError::TooLarge));
    }
}
