//! Tables for a terminal.

use std::fmt::Write as _;

/// Rows under headings; a column is as wide as its widest cell.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<const COLUMNS: usize>(headings: [&str; COLUMNS]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).to_vec()] }
    }

    pub(super) fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.to_vec());
    }

    /// The table, each line behind `indent`; nothing if it has no rows.
    pub(super) fn render(&self, indent: &str) -> String {
        let mut text = String::new();
        if self.rows.len() == 1 {
            return text;
        }
        let columns = self.rows[0].len();
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let _ = writeln!(text, "{indent}{}", cells.join("  ").trim_end());
        }
        text
    }
}

/// Text from a client, safe for a terminal.
pub(super) fn safe(text: &str) -> String {
    text.chars()
        .flat_map(|letter| {
            if letter.is_control() {
                Escaped::Yes(letter.escape_default())
            } else {
                Escaped::No(Some(letter))
            }
        })
        .collect()
}

/// A letter as it is, or escaped.
enum Escaped {
    Yes(std::char::EscapeDefault),
    No(Option<char>),
}

impl Iterator for Escaped {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Self::Yes(letters) => letters.next(),
            Self::No(letter) => letter.take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut table = Table::new(["client", "messages"]);
        assert_eq!(table.render(""), "");
        table.row(["ünï".to_owned(), "1".to_owned()]);
        table.row(["a longer one".to_owned(), "12345678901".to_owned()]);
        assert_eq!(
            table.render(" "),
            " client        messages\n ünï           1\n a longer one  12345678901\n"
        );
        assert_eq!(safe("a\u{1b}[2J\tß"), "a\\u{1b}[2J\\tß");
    }
}
