//! One rule: what it asks of a reply, and what it says.

use crate::smtp::Stage;

use super::{Act, Cause, Permanence};

/// A rule as it is asked. Patterns are places in the rule set's `Patterns`.
#[derive(Debug)]
pub(super) struct Rule {
    pub id: String,
    pub cause: Cause,
    /// The highest rank that matches decides; of equals the one that stands first.
    pub rank: i32,
    pub conditions: Conditions,
    pub act: Act,
    pub permanence: Permanence,
    /// Where this rule knows more than the cause's advice says.
    pub advice: Option<String>,
    /// Of the admin's making.
    pub own: bool,
}

/// All must hold; an empty one always does.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub text: Option<u32>,
    pub also: Option<u32>,
    pub unless: Option<u32>,
    pub codes: Vec<CodeMask>,
    pub enhanced: Vec<EnhancedMask>,
    pub stages: Vec<Stage>,
    /// A set of providers, one bit each; 0 is any.
    pub providers: u128,
}

/// The rank of a rule that states none: text says more than a code, and it says more where it's known who speaks.
pub(super) fn default_rank(conditions: &Conditions) -> i32 {
    let base = match () {
        () if conditions.text.is_some() => 50,
        () if !conditions.enhanced.is_empty() => 30,
        () => 10,
    };
    base + if conditions.providers == 0 { 0 } else { 10 }
}

/// A reply code, or all of a kind: `550`, `55x`, `5xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CodeMask {
    least: u16,
    most: u16,
}

impl CodeMask {
    pub(super) fn read(word: &str) -> Option<Self> {
        let digits = word.trim_end_matches('x');
        let open = word.len().checked_sub(digits.len())?;
        if word.len() != 3 || digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
            return None;
        }
        let span = 10_u16.pow(open as u32);
        let least = digits.parse::<u16>().ok()? * span;
        (200..600).contains(&least).then_some(Self { least, most: least + span - 1 })
    }

    pub(super) fn holds(self, code: u16) -> bool {
        (self.least..=self.most).contains(&code)
    }
}

/// An enhanced status code; `x` in a place is any, and `5xx` in the last one 500 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EnhancedMask {
    class: Option<u8>,
    subject: Option<u16>,
    /// The least and the most.
    detail: (u16, u16),
}

impl EnhancedMask {
    pub(super) fn read(word: &str) -> Option<Self> {
        let mut parts = word.split('.');
        let mut part = || match parts.next()? {
            "x" => Some(None),
            number => number.parse::<u16>().ok().map(Some),
        };
        let (class, subject) = (part()?, part()?);
        let detail = match parts.next()? {
            "x" => (0, u16::MAX),
            word => match word.strip_suffix("xx") {
                Some(hundreds) => {
                    let least = hundreds.parse::<u16>().ok().filter(|it| (1..10).contains(it))? * 100;
                    (least, least + 99)
                }
                None => word.parse::<u16>().ok().map(|number| (number, number))?,
            },
        };
        let class = class.map(u8::try_from).transpose().ok()?;
        let known = class.is_none_or(|class| matches!(class, 2 | 4 | 5));
        (parts.next().is_none() && known).then_some(Self { class, subject, detail })
    }

    pub(super) fn holds(self, (class, subject, detail): (u8, u16, u16)) -> bool {
        self.class.is_none_or(|it| it == class)
            && self.subject.is_none_or(|it| it == subject)
            && (self.detail.0..=self.detail.1).contains(&detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_hold_what_they_say() {
        assert!(CodeMask::read("5xx").unwrap().holds(550) && !CodeMask::read("5xx").unwrap().holds(450));
        assert!(CodeMask::read("55x").unwrap().holds(552) && !CodeMask::read("55x").unwrap().holds(535));
        for wrong in ["", "x", "55", "5555", "x50", "5x0", "150", "abc", "9xx"] {
            assert_eq!(CodeMask::read(wrong), None, "{wrong}");
        }
        assert!(EnhancedMask::read("x.1.1").unwrap().holds((4, 1, 1)));
        assert!(!EnhancedMask::read("5.1.1").unwrap().holds((5, 1, 10)));
        assert!(EnhancedMask::read("5.7.x").unwrap().holds((5, 7, 26)));
        let hundred = EnhancedMask::read("4.7.5xx").unwrap();
        assert_eq!([499, 500, 599, 600].map(|detail| hundred.holds((4, 7, detail))), [false, true, true, false]);
        for wrong in ["", "5", "5.1", "5.1.1.1", "3.1.1", "y.1.1", "5.1.70000", "5.1.xx", "5.1.0xx", "5.1.12xx", "5.1xx.1"] {
            assert_eq!(EnhancedMask::read(wrong), None, "{wrong}");
        }
    }
}
