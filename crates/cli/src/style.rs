//! Styles of text. All output is styled; [`anstream`] removes the styles unless it is a terminal, or if `NO_COLOR` is set.

use anstyle::AnsiColor;

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

    /// `text` with the escape sequences of this style.
    pub fn paint(self, text: &str) -> String {
        let style = self.ansi();
        format!("{style}{text}{style:#}")
    }
}

pub fn strong(text: &str) -> String {
    Style::Strong.paint(text)
}
