//! Colour and weight of words. Every text of ours bears them; what is no terminal, or has NO_COLOR set, gets them
//! taken out on the way ([`anstream`]).

use anstyle::{AnsiColor, Style};

/// What a word says about the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Look at it.
    Warn,
    /// Something is wrong.
    Bad,
    /// Less important than the rest.
    Faint,
    Strong,
}

impl Tone {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Good => colour(AnsiColor::Green),
            Self::Warn => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
        }
    }

    /// `text` in this tone.
    pub fn paint(self, text: &str) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

pub fn strong(text: &str) -> String {
    Tone::Strong.paint(text)
}
