//! Styles of text. All output is styled; [`anstream`] removes the styles unless it is a terminal, or if `NO_COLOR` is set.

use anstyle::AnsiColor;
use maglev_model::printable::{escaped, is_unprintable};

/// The meaning of a text, as colour and weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    #[default]
    Plain,
    Good,
    /// Needs attention.
    Warn,
    /// A failure.
    Bad,
    /// Less important than its surroundings.
    Faint,
    Strong,
}

impl Style {
    fn ansi(self) -> anstyle::Style {
        let colour = |colour: AnsiColor| anstyle::Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => anstyle::Style::new(),
            Self::Good => colour(AnsiColor::Green),
            Self::Warn => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Faint => anstyle::Style::new().dimmed(),
            Self::Strong => anstyle::Style::new().bold(),
        }
    }

    /// `text` on one line with the escape sequences of this style, and without any of its own.
    pub fn paint(self, text: &str) -> String {
        let (style, text) = (self.ansi(), escaped(text));
        format!("{style}{text}{style:#}")
    }
}

/// `text` without control characters other than line breaks and the escape sequences of styles: the last defence, for
/// text that was not escaped where it was laid out.
pub fn guarded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c != '\n' && is_unprintable(c)) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = style_sequence(rest).unwrap_or(0);
        let (sequence, after) = rest.split_at(length);
        out.push_str(sequence);
        rest = after;
        if length == 0 {
            let end = rest.chars().next().map_or(0, char::len_utf8);
            out.push_str(&escaped(&rest[..end]));
            rest = &rest[end..];
        }
    }
    out + rest
}

/// The length of the sequence at the start of `text` that selects a style (SGR).
fn style_sequence(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[end..].starts_with('m').then_some(2 + end + 1)
}

pub fn strong(text: &str) -> String {
    Style::Strong.paint(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn painted_text_has_no_sequences_of_its_own() {
        assert_eq!(Style::Plain.paint("a\u{1b}[31mb\nc"), "a\\u{1b}[31mb\\u{a}c");
        assert!(Style::Bad.paint("\u{9b}2J").contains("\\u{9b}2J"));
    }

    #[test]
    fn only_styles_and_line_breaks_pass() {
        let styled = format!("{}\n{}", Style::Bad.paint("down"), Style::Faint.paint("-"));
        assert_eq!(guarded(&styled), styled);
        assert_eq!(guarded("\u{1b}[2J\u{1b}]0;title\u{7}\r\u{1b}"), "\\u{1b}[2J\\u{1b}]0;title\\u{7}\\u{d}\\u{1b}");
    }
}
