//! Text for terminals. Names, messages and annotations come from other people, and a control character in them could
//! move the cursor, hide a line or forge one.

use std::{borrow::Cow, fmt::Write as _};

/// True for characters that no output contains as they are: control characters (C0, DEL, C1), line and paragraph
/// separators, and controls of the writing direction.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// `text` on one line, with unprintable characters as `\u{1b}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, is_unprintable, |out, c| write!(out, "\\u{{{:x}}}", u32::from(c)))
}

/// Like [`escaped`], but keeps line breaks.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| c != '\n' && is_unprintable(c), |out, c| write!(out, "\\u{{{:x}}}", u32::from(c)))
}

/// A JSON text with unprintable characters as `\u001b`, except the line breaks between its values. JSON requires this
/// only of C0.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    replaced(json, |c| c != '\n' && is_unprintable(c), |out, c| write!(out, "\\u{:04x}", u32::from(c)))
}

fn replaced(
    text: &str,
    is_replaced: impl Fn(char) -> bool,
    replace: impl Fn(&mut String, char) -> std::fmt::Result,
) -> Cow<'_, str> {
    if !text.contains(&is_replaced) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_replaced(c) {
            // Writing to a String never fails.
            let _ = replace(&mut out, c);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_are_escaped() {
        assert_eq!(escaped("web-1 \u{1b}[31mdown\r\n\t\u{7f}"), "web-1 \\u{1b}[31mdown\\u{d}\\u{a}\\u{9}\\u{7f}");
        assert_eq!(escaped("\u{9b}2J \u{85} \u{202e}nwod\u{2066}\u{200f}\u{61c}\u{2028}"), {
            "\\u{9b}2J \\u{85} \\u{202e}nwod\\u{2066}\\u{200f}\\u{61c}\\u{2028}"
        });
        assert!(matches!(escaped("längst 🚦 \u{a0}"), Cow::Borrowed(_)), "other text is not changed");
    }

    #[test]
    fn line_breaks_are_kept_only_between_lines() {
        assert_eq!(escaped_lines("one\ntwo\u{1b}"), "one\ntwo\\u{1b}");
        assert_eq!(escaped_json("{\n  \"a\": \"\u{9b}\u{202e}\"\n}"), "{\n  \"a\": \"\\u009b\\u202e\"\n}");
    }
}
