//! A domain that mail passes for: what of it is watched, and how mail fares there.

use serde::{Deserialize, Serialize};

use super::failing::{self, Failing};
use super::known::Known;
use super::{Question, Sort};
use crate::anomaly::window::DAY;
use crate::trace::{RecordId, WallMicros};

/// A domain without mail for so long is watched no more.
pub(super) const INTEREST: u64 = 7 * DAY;
/// Selectors watched of one domain.
const MOST_SELECTORS: usize = 8;

/// A domain that mail passes for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Domain {
    /// When mail last passed.
    pub interest: WallMicros,
    /// Mail of ours comes from it: what vouches for senders is watched too.
    pub sends: bool,
    /// Of its DKIM keys, and when each was last seen.
    pub selectors: Vec<(String, WallMicros)>,
    pub published: Vec<(Question, Known)>,
    /// Mail to it fails, since the last that passed.
    pub failing: Option<Failing>,
    /// Mail from it is refused because of SPF, DKIM or DMARC.
    pub refused: Option<Failing>,
}

/// A domain as version 2 had it: nobody knew when a selector was last seen.
#[derive(Deserialize)]
pub(super) struct Domain2 {
    interest: WallMicros,
    sends: bool,
    selectors: Vec<String>,
    published: Vec<(Question, Known)>,
    failing: Option<Failing>,
    refused: Option<Failing>,
}

impl From<Domain2> for Domain {
    fn from(it: Domain2) -> Self {
        let selectors = it.selectors.into_iter().map(|selector| (selector, it.interest)).collect();
        let (interest, sends, published, failing, refused) = (it.interest, it.sends, it.published, it.failing, it.refused);
        Self { interest, sends, selectors, published, failing, refused }
    }
}

impl Domain {
    /// A recipient of it isn't reached.
    pub fn fails(&mut self, at: WallMicros, id: RecordId) {
        let pause = failing::note(&mut self.failing, at, id);
        self.look_again(at, pause);
    }

    /// Somebody refuses mail from it for what it publishes.
    pub fn is_refused(&mut self, at: WallMicros, id: RecordId) {
        let pause = failing::note(&mut self.refused, at, id);
        self.look_again(at, pause);
    }

    fn look_again(&mut self, at: WallMicros, pause: u64) {
        self.published.iter_mut().for_each(|(_, known)| known.sooner(at, pause));
    }

    /// Mail signed with that key passed.
    pub fn signs(&mut self, selector: &str, at: WallMicros) {
        if let Some((_, last)) = self.selectors.iter_mut().find(|(it, _)| it == selector) {
            *last = (*last).max(at);
            return;
        }
        if self.selectors.len() >= MOST_SELECTORS
            && let Some(oldest) = self.selectors.iter().enumerate().min_by_key(|(_, (_, last))| *last).map(|(at, _)| at)
        {
            let (gone, _) = self.selectors.swap_remove(oldest);
            self.published.retain(|(question, _)| question.selector.as_ref() != Some(&gone));
        }
        self.selectors.push((selector.to_owned(), at));
    }

    /// A key that no mail is signed with any more may go.
    pub fn retire(&mut self, now: WallMicros) {
        let is_used = |last: WallMicros| last.saturating_add(INTEREST) > now;
        if self.selectors.iter().all(|(_, last)| is_used(*last)) {
            return;
        }
        self.selectors.retain(|(_, last)| is_used(*last));
        let Self { selectors, published, .. } = self;
        published.retain(|(question, _)| question.selector.as_ref().is_none_or(|of| selectors.iter().any(|(it, _)| it == of)));
    }

    /// Has a place for each thing that is to be watched.
    pub fn complete(&mut self, of: &str) {
        // Asked every second of every domain: most often nothing is new.
        let most = if self.sends { 4 + self.selectors.len() } else { 2 };
        if self.published.len() >= most {
            return;
        }
        let mut wanted = vec![(Sort::Mx, None), (Sort::Ns, None)];
        if self.sends {
            wanted.extend([(Sort::Spf, None), (Sort::Dmarc, None)]);
            wanted.extend(self.selectors.iter().map(|(selector, _)| (Sort::Dkim, Some(selector.clone()))));
        }
        for (sort, selector) in wanted {
            self.slot(&Question { sort, of: of.to_owned(), selector });
        }
    }

    /// Whether it is still asked for: a key that was retired meanwhile isn't.
    pub fn watches(&self, question: &Question) -> bool {
        question.selector.as_ref().is_none_or(|selector| self.selectors.iter().any(|(it, _)| it == selector))
    }

    pub fn slot(&mut self, question: &Question) -> &mut Known {
        let at = match self.published.iter().position(|(it, _)| it == question) {
            Some(at) => at,
            None => {
                self.published.push((question.clone(), Known::default()));
                self.published.len() - 1
            }
        };
        &mut self.published[at].1
    }
}
