//! The live table on a terminal. It is drawn from the top of the alternate screen, each line over its predecessor and in one
//! write, so nothing flickers, and a changed size leaves no remains.

use std::io::{self, Write as _};

use terminal_size::{Height, Width, terminal_size_of};

use super::table::{Line, Size};

/// Alternate screen, no cursor, no wrapping of long lines.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";
/// A terminal that knows synchronized updates shows the frame at once.
const BEGIN_FRAME: &str = "\u{1b}[?2026h\u{1b}[H";
/// Clears the rest of the screen.
const END_FRAME: &str = "\u{1b}[J\u{1b}[?2026l";
const END_LINE: &str = "\u{1b}[K";
/// For terminals without a size.
const FALLBACK: Size = Size { columns: 80, rows: 24 };

/// The alternate screen, until it is dropped.
#[derive(Debug)]
pub struct Screen {
    has_colour: bool,
}

impl Screen {
    /// Enters the alternate screen.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    pub fn enter(has_colour: bool) -> io::Result<Self> {
        write(ENTER)?;
        Ok(Self { has_colour })
    }

    /// The size of the terminal now.
    pub fn size() -> Size {
        match terminal_size_of(io::stdout()) {
            Some((Width(columns), Height(rows))) if columns > 0 && rows > 0 => {
                Size { columns: columns.into(), rows: rows.into() }
            }
            _ => FALLBACK,
        }
    }

    /// Draws a frame.
    ///
    /// # Errors
    /// The terminal cannot be written to.
    pub fn draw(&self, lines: &[Line], size: Size) -> io::Result<()> {
        write(&frame(lines, size, self.has_colour))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = write(LEAVE);
    }
}

fn frame(lines: &[Line], size: Size, has_colour: bool) -> String {
    let lines = lines.iter().take(size.rows).map(|line| line.render(size.columns, has_colour) + END_LINE);
    // No line break after the last line, which would scroll.
    format!("{BEGIN_FRAME}{}{END_FRAME}", lines.collect::<Vec<_>>().join("\r\n"))
}

/// Writes to standard output at once.
///
/// # Errors
/// Standard output is closed.
pub fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_overwrites_lines_without_clearing_the_screen_before() {
        let lines = vec![Line::default(); 5];
        let text = frame(&lines, Size { columns: 10, rows: 3 }, true);
        assert_eq!(text.matches(END_LINE).count(), 3, "only the rows of the terminal are drawn");
        assert!(!text.contains("\u{1b}[2J") && text.ends_with(END_FRAME) && !text.contains("\n\u{1b}[J"), "{text:?}");
    }
}
