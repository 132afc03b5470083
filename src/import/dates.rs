//! Which of day and month comes first in dates with slashes: one line alone may not tell, another one of the log does.

use crate::vocabulary::vocabulary;

vocabulary! {
    /// What stands first.
    DateOrder {
        DayFirst = "dmy",
        MonthFirst = "mdy",
    }
}

/// What is known of a log's order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dates {
    /// Whoever runs the import said so, or the whole file was looked at.
    given: Option<DateOrder>,
    /// By the latest line that could be read one way only.
    shown: Option<DateOrder>,
    /// There was such a date, whatever it showed.
    pub met: bool,
    /// Dates that were taken to have the month first, because nothing had decided.
    pub guessed: u64,
}

impl Dates {
    pub fn new(given: Option<DateOrder>) -> Self {
        Self { given, ..Self::default() }
    }

    /// For the next file of the log.
    pub fn go_on(&self, given: Option<DateOrder>) -> Self {
        Self { given: given.or(self.given), ..*self }
    }

    pub fn order(&self) -> Option<DateOrder> {
        self.given.or(self.shown)
    }

    /// Month and day.
    pub fn month_and_day(&mut self, first: i64, second: i64) -> (i64, i64) {
        self.met = true;
        let order = match (first > 12, second > 12) {
            (true, false) => *self.shown.insert(DateOrder::DayFirst),
            (false, true) => *self.shown.insert(DateOrder::MonthFirst),
            _ => self.order().unwrap_or_else(|| {
                self.guessed += u64::from(first != second);
                DateOrder::MonthFirst
            }),
        };
        if order == DateOrder::DayFirst { (second, first) } else { (first, second) }
    }
}
