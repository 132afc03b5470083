//! Tables that fit the terminal: columns as wide as their cells, the widest giving way first.

use super::screen::{Look, Screen, Style, columns, fit, visible};

/// A cell: its text is made visible when it is put in.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub fn styled(style: Style, text: impl AsRef<str>) -> Self {
        Self { text: visible(text.as_ref()).into_owned(), style }
    }

    /// Draws the cell alone, exactly so wide.
    pub fn draw(&self, screen: &mut Screen, width: usize) {
        let text = fit(&self.text, width);
        screen.styled(self.style, &text).pad(width.saturating_sub(columns(&text)));
    }

    /// Draws the cell alone, whole, at least so wide.
    pub fn draw_whole(&self, screen: &mut Screen, width: usize) {
        screen.styled(self.style, &self.text).pad(width.saturating_sub(columns(&self.text)));
    }

    /// Draws the last cell of a line, at most so wide.
    pub fn draw_rest(&self, screen: &mut Screen, width: Option<usize>) {
        let text = width.map_or_else(|| self.text.clone(), |width| fit(&self.text, width));
        screen.styled(self.style, &text);
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(Style::Plain, text)
    }
}

/// Rows under a head. A column is never made narrower than its least width.
#[derive(Debug)]
pub struct Table {
    head: Vec<(&'static str, usize)>,
    rows: Vec<Vec<Cell>>,
}

const BETWEEN: usize = 2;

impl Table {
    /// Columns with the least width that each may be cut to.
    pub fn new(head: &[(&'static str, usize)]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Draws the table, `indent` columns from the left.
    pub fn draw(&self, screen: &mut Screen, look: &Look, indent: usize) {
        let widths = self.widths(look.width.map(|width| width.saturating_sub(indent)));
        screen.pad(indent);
        for (index, ((name, _), width)) in self.head.iter().zip(&widths).enumerate() {
            screen.pad(if index == 0 { 0 } else { BETWEEN }).styled(Style::Faint, &fit(name, *width));
            screen.pad(width.saturating_sub(columns(name)));
        }
        screen.newline();
        for row in &self.rows {
            screen.pad(indent);
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                screen.pad(if index == 0 { 0 } else { BETWEEN });
                cell.draw(screen, *width);
            }
            screen.newline();
        }
    }

    fn widths(&self, room: Option<usize>) -> Vec<usize> {
        let widest = |index: usize| self.rows.iter().filter_map(|row| row.get(index)).map(|cell| columns(&cell.text)).max().unwrap_or(0);
        let mut widths: Vec<usize> = self.head.iter().enumerate().map(|(index, (name, _))| columns(name).max(widest(index))).collect();
        let Some(room) = room else { return widths };
        let gaps = BETWEEN * widths.len().saturating_sub(1);
        // The column with the most to give gives one, until it fits or nobody can.
        while widths.iter().sum::<usize>() + gaps > room {
            let spare = |(index, width): (usize, &usize)| width.saturating_sub(self.head.get(index).map_or(0, |(_, least)| *least));
            let Some(index) = (0..widths.len()).max_by_key(|&index| widths.get(index).map_or(0, |width| spare((index, width)))) else {
                break;
            };
            match widths.get_mut(index) {
                Some(width) if spare((index, width)) > 0 => *width -= 1,
                _ => break,
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Clock;

    fn drawn(width: Option<usize>) -> String {
        let look = Look { colours: false, width, clock: Clock::utc(), again: String::new() };
        let mut table = Table::new(&[("ADDRESS", 10), ("STATE", 5), ("WHY", 8)]);
        table.row(["bob@example.org", "accepted", "250 2.0.0 Ok: queued as 4F1C21A0B7"].map(Cell::from));
        table.row(["eve\u{1b}[2J@example.org", "rejected", "550 5.1.1 No such user\r\nhere"].map(Cell::from));
        let mut screen = Screen::new(&look);
        table.draw(&mut screen, &look, 2);
        screen.as_str().to_owned()
    }

    #[test]
    fn a_table_fits_its_terminal() {
        for width in 60..200 {
            for line in drawn(Some(width)).lines() {
                assert!(columns(line) <= width, "{width}: {line}");
            }
        }
        assert!(drawn(None).contains("550 5.1.1 No such user\\r\\nhere"));
        assert!(drawn(Some(80)).contains("eve\\x1b[2J@"));
    }

    #[test]
    fn least_widths_hold() {
        assert!(drawn(Some(10)).contains("STATE"));
    }
}
