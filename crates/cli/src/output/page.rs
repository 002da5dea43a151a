//! Text for a terminal: lines and styled columns. Styles do not count towards the width.

use std::fmt::{self, Write as _};

use crate::style::Style;
use maglev_model::printable::escaped;

/// Spaces between two columns.
const GAP: usize = 3;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell with `text` on one line, its unprintable characters escaped.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: escaped(&text.into()).into_owned(), style }
    }

    /// An absent value, shown as `-`.
    pub fn none() -> Self {
        Self::styled("-", Style::Faint)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::Plain)
    }
}

/// Rows below a header.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(head: impl IntoIterator<Item = &'static str>) -> Self {
        Self { rows: vec![head.into_iter().map(|name| Cell::styled(name, Style::Faint)).collect()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// True if there are no rows below the header.
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
            // No trailing spaces.
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
            for (column, cell) in row.iter().enumerate().take(last + 1) {
                f.write_str(&cell.style.paint(&cell.text))?;
                let space = if column < last { widths[column] - length(cell) + GAP } else { 0 };
                write!(f, "{:space$}", "")?;
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct Page(String);

impl Page {
    /// A line without a style, its unprintable characters escaped.
    pub fn line(&mut self, line: impl fmt::Display) {
        self.styled(Style::Plain, line);
    }

    /// A line with a style, its unprintable characters escaped.
    pub fn styled(&mut self, style: Style, line: impl fmt::Display) {
        let _ = writeln!(self.0, "{}", style.paint(&line.to_string()));
    }

    /// A line of a plain and a styled part.
    pub fn line_with(&mut self, plain: impl fmt::Display, style: Style, styled: &str) {
        let _ = writeln!(self.0, "{}{}", Style::Plain.paint(&plain.to_string()), style.paint(styled));
    }

    /// An empty line, unless the page is empty.
    pub fn gap(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
    }

    /// A heading after an empty line.
    pub fn heading(&mut self, text: &str) {
        self.gap();
        self.styled(Style::Strong, text);
    }

    /// Names and their values in two columns.
    pub fn fields(&mut self, fields: impl IntoIterator<Item = (&'static str, Cell)>) {
        let rows = fields.into_iter().map(|(name, value)| vec![Cell::styled(format!("{name}:"), Style::Faint), value]);
        let _ = write!(self.0, "{}", Table { rows: rows.collect() });
    }

    /// A table, or the text `none` if the table is empty.
    pub fn table(&mut self, table: &Table, none: &str) {
        if table.is_empty() {
            self.styled(Style::Faint, none);
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
    fn styles_do_not_affect_alignment() {
        let mut table = Table::new(["NAME", "STATE", "SINCE"]);
        table.row(["a".into(), Cell::styled("down", Style::Bad), "1s".into()]);
        table.row(["längst".into(), "up".into(), Cell::default()]);
        let text = table.to_string();
        assert!(text.contains("\u{1b}["), "the text is styled");
        assert_eq!(plain(&text), "NAME     STATE   SINCE\na        down    1s\nlängst   up\n");
    }

    #[test]
    fn cell_and_line_cannot_control_the_terminal_or_forge_a_line() {
        let mut table = Table::new(["NAME", "STATE"]);
        table.row(["a\u{1b}[2K\nforged".into(), "up".into()]);
        let mut page = Page::default();
        page.table(&table, "");
        page.line(format_args!("for {}", "x\u{9b}\nforged"));
        page.line_with("old -> ", Style::Strong, "\u{202e}new");
        assert_eq!(
            plain(&page.to_string()),
            "NAME                    STATE\na\\u{1b}[2K\\u{a}forged   up\nfor x\\u{9b}\\u{a}forged\nold -> \\u{202e}new\n"
        );
    }

    #[test]
    fn empty_table_is_replaced_by_its_text() {
        let mut page = Page::default();
        page.heading("Pools");
        page.table(&Table::new(["NAME"]), "no pools");
        page.gap();
        page.fields([("VIP", "192.0.2.1".into()), ("Protocol", Cell::none())]);
        assert_eq!(plain(&page.to_string()), "Pools\nno pools\n\nVIP:        192.0.2.1\nProtocol:   -\n");
    }
}
