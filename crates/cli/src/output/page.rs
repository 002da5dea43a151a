//! Text for a terminal: lines and columns. Words keep their tone; widths are those of what is seen.

use std::fmt::{self, Write as _};

use crate::paint::Tone;

/// Between two columns.
const GAP: usize = 3;

/// A word in a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// In this tone.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    /// What is not there.
    pub fn none() -> Self {
        Self::toned("-", Tone::Faint)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Rows under a head.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// With these columns.
    pub fn new(head: impl IntoIterator<Item = &'static str>) -> Self {
        Self { rows: vec![head.into_iter().map(|name| Cell::toned(name, Tone::Faint)).collect()] }
    }

    /// One more row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there is no row under the head.
    pub fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let length = |cell: &Cell| cell.text.chars().count();
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(length).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            // Nothing trails after the last word.
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
            for (column, cell) in row.iter().enumerate().take(last + 1) {
                f.write_str(&cell.tone.paint(&cell.text))?;
                let space = if column < last { widths[column] - length(cell) + GAP } else { 0 };
                write!(f, "{:space$}", "")?;
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

/// A text in parts.
#[derive(Clone, Debug, Default)]
pub struct Page(String);

impl Page {
    /// One more line.
    pub fn line(&mut self, line: impl fmt::Display) {
        let _ = writeln!(self.0, "{line}");
    }

    /// An empty line, unless the page is empty.
    pub fn gap(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
    }

    /// A heading, apart from what was before.
    pub fn heading(&mut self, text: &str) {
        self.gap();
        self.line(Tone::Strong.paint(text));
    }

    /// Names and their values in two columns.
    pub fn fields(&mut self, fields: impl IntoIterator<Item = (&'static str, Cell)>) {
        let rows = fields.into_iter().map(|(name, value)| vec![Cell::toned(format!("{name}:"), Tone::Faint), value]);
        let _ = write!(self.0, "{}", Table { rows: rows.collect() });
    }

    /// A table, or `none` where it has no rows.
    pub fn table(&mut self, table: &Table, none: &str) {
        if table.is_empty() {
            self.line(Tone::Faint.paint(none));
        } else {
            let _ = write!(self.0, "{table}");
        }
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn columns_line_up_whatever_their_colours() {
        let mut table = Table::new(["NAME", "STATE", "SINCE"]);
        table.row(["a".into(), Cell::toned("down", Tone::Bad), "1s".into()]);
        table.row(["längst".into(), "up".into(), Cell::default()]);
        let text = table.to_string();
        assert!(text.contains("\u{1b}["), "there is colour in it");
        assert_eq!(plain(&text), "NAME     STATE   SINCE\na        down    1s\nlängst   up\n");
    }

    #[test]
    fn a_table_without_rows_says_what_there_is_none_of() {
        let mut page = Page::default();
        page.heading("Pools");
        page.table(&Table::new(["NAME"]), "no pools");
        page.gap();
        page.fields([("VIP", "192.0.2.1".into()), ("Protocol", Cell::none())]);
        assert_eq!(plain(&page.to_string()), "Pools\nno pools\n\nVIP:        192.0.2.1\nProtocol:   -\n");
    }
}
