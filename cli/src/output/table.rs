//! Tables for people.

use super::safe;

/// Between columns.
const GAP: &str = "  ";

/// Rows under a heading. Cells hold one line each, whatever was put into them.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(heading: &[&'static str]) -> Self {
        Self { heading: heading.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; cells beyond the heading are left out.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().take(self.heading.len());
        self.rows.push(cells.map(|cell| safe::line(&cell).into_owned()).collect());
    }

    /// The heading, padded.
    pub(super) fn heading(&self) -> String {
        self.padded(self.heading.iter().copied())
    }

    /// The rows, padded.
    pub(super) fn rows(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|row| self.padded(row.iter().map(String::as_str)))
    }

    fn padded<'c>(&self, cells: impl Iterator<Item = &'c str>) -> String {
        let padded =
            cells.enumerate().map(|(column, cell)| format!("{cell:width$}", width = self.width(column)));
        padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let heading = self.heading.get(column).map_or(0, |name| name.chars().count());
        cells.fold(heading, usize::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "UNITS"]);
        table.row(["a".into(), "1/100".into()]);
        table.row(["longer name".into(), "2".into(), "left out".into()]);
        table.row(["\u{1b}[31mred\n".into()]);
        let lines: Vec<_> = std::iter::once(table.heading()).chain(table.rows()).collect();
        assert_eq!(lines, ["NAME         UNITS", "a            1/100", "longer name  2", "�[31mred�"]);
    }
}
