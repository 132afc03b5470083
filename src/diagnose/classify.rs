//! How a winner is found: unwrap, recognise who spoke, and ask the rules by rank.

use crate::smtp::Stage;

use super::normal::{self, Normal};
use super::patterns::Sifted;
use super::provider::{Sign, Speakers};
use super::rule::Rule;
use super::wrapped::{self, Quoted};
use super::{Cause, Facts, Rules, Verdict};

/// The rule id of a verdict that no rule made.
const NO_RULE: &str = "none";

/// A rule below this rank had only codes to go by: the words around a quoted reply may know more.
const BY_TEXT: i32 = 40;

/// One text that the rules are asked about, with all that belongs to it.
#[derive(Debug)]
pub(super) struct Reading {
    pub text: String,
    pub code: Option<u16>,
    pub enhanced: Option<(u8, u16, u16)>,
    pub stage: Option<Stage>,
    pub speakers: Speakers,
    sifted: Sifted,
}

impl Rules {
    /// Why it was refused. Never fails: what no rule knows is [`Cause::Unclassified`].
    pub fn classify<'r>(&'r self, facts: &Facts<'_>) -> Verdict<'r> {
        let (reading, rule) = self.decide(facts);
        let first = reading.speakers.first.map(|(number, _)| number);
        let provider = first.and_then(|number| self.providers.id(number));
        match rule {
            Some(rule) => Verdict {
                cause: rule.cause,
                act: rule.act,
                permanence: rule.permanence,
                rule: &rule.id,
                provider,
                advice: rule.advice.as_deref().unwrap_or_else(|| self.advice.of(rule.cause, first)),
            },
            None => Verdict {
                cause: Cause::Unclassified,
                act: Cause::Unclassified.act(),
                permanence: Cause::Unclassified.permanence(),
                rule: NO_RULE,
                provider,
                advice: self.advice.of(Cause::Unclassified, first),
            },
        }
    }

    /// The reading that decides, and the rule that won in it.
    pub(super) fn decide(&self, facts: &Facts<'_>) -> (Reading, Option<&Rule>) {
        let quoted = wrapped::innermost(facts.text);
        let Some(quoted) = quoted else {
            let reading = self.whole(facts);
            let winner = self.winner(&reading);
            return (reading, winner);
        };
        // Who quotes another's reply didn't say it: that one's codes don't mean what they would mean from here.
        let facts = if quoted.host.is_some() { &Facts { host: None, banner: None, ..*facts } } else { facts };
        let inner = self.inner(facts, &quoted);
        let won_inside = self.winner(&inner);
        if won_inside.is_some_and(|rule| rule.rank >= BY_TEXT) {
            return (inner, won_inside);
        }
        let text = wrapped::without_command(facts.text);
        let outer = self.whole(&Facts { text, stage: inner.stage, code: inner.code, enhanced: inner.enhanced, ..*facts });
        match self.winner(&outer) {
            Some(rule) if won_inside.is_none_or(|inside| rule.rank > inside.rank) => (outer, Some(rule)),
            _ => (inner, won_inside),
        }
    }

    fn whole(&self, facts: &Facts<'_>) -> Reading {
        let Normal { text, code, enhanced } = normal::normal(facts.text, &self.known_hosts);
        let sifted = self.patterns.sift(&text);
        let speakers = self.speakers(&text, &sifted, None, facts);
        Reading { text, code: facts.code.or(code), enhanced: facts.enhanced.or(enhanced), stage: facts.stage, speakers, sifted }
    }

    fn inner(&self, facts: &Facts<'_>, quoted: &Quoted<'_>) -> Reading {
        let Normal { text, code, enhanced } = normal::normal(quoted.text, &self.known_hosts);
        let sifted = self.patterns.sift(&text);
        let speakers = self.speakers(&text, &sifted, quoted.host, facts);
        Reading {
            text,
            code: quoted.code.or(code).or(facts.code),
            enhanced: quoted.enhanced.or(enhanced).or(facts.enhanced),
            stage: quoted.stage.or(facts.stage),
            speakers,
            sifted,
        }
    }

    /// Who spoke, where only names are known.
    pub(super) fn speakers_of(&self, facts: &Facts<'_>) -> Speakers {
        let sifted = self.patterns.sift("");
        self.speakers("", &sifted, None, facts)
    }

    fn speakers(&self, text: &str, sifted: &Sifted, quoted_host: Option<&str>, facts: &Facts<'_>) -> Speakers {
        let mut speakers = Speakers::default();
        let providers = &self.providers;
        if let Some(number) = quoted_host.and_then(|host| providers.of_host(host)) {
            speakers.add(providers, number, Sign::QuotedHost);
        }
        for (number, provider) in providers.all.iter().enumerate() {
            if provider.text.is_some_and(|pattern| sifted.may_match(pattern) && self.patterns.matches(pattern, text)) {
                speakers.add(providers, number, Sign::Text);
            }
        }
        if let Some(number) = facts.host.and_then(|host| providers.of_host(host)) {
            speakers.add(providers, number, Sign::Host);
        }
        if let Some(banner) = facts.banner.filter(|banner| !banner.is_empty()) {
            let banner = normal::normal(banner, &self.known_hosts).text;
            let sifted = self.patterns.sift(&banner);
            for (number, provider) in providers.all.iter().enumerate() {
                if provider.banner.is_some_and(|pattern| sifted.may_match(pattern) && self.patterns.matches(pattern, &banner)) {
                    speakers.add(providers, number, Sign::Banner);
                }
            }
        }
        speakers
    }

    fn winner(&self, reading: &Reading) -> Option<&Rule> {
        self.rules.iter().find(|rule| self.matches(rule, reading))
    }

    pub(super) fn matches(&self, rule: &Rule, reading: &Reading) -> bool {
        let conditions = &rule.conditions;
        let found = |pattern: u32| reading.sifted.may_match(pattern) && self.patterns.matches(pattern, &reading.text);
        conditions.text.is_none_or(|pattern| reading.sifted.may_match(pattern))
            && (conditions.providers == 0 || conditions.providers & reading.speakers.set != 0)
            && (conditions.codes.is_empty() || reading.code.is_some_and(|code| conditions.codes.iter().any(|mask| mask.holds(code))))
            && (conditions.enhanced.is_empty() || reading.enhanced.is_some_and(|it| conditions.enhanced.iter().any(|mask| mask.holds(it))))
            && (conditions.stages.is_empty() || reading.stage.is_some_and(|stage| conditions.stages.contains(&stage)))
            && conditions.text.is_none_or(found)
            && conditions.also.is_none_or(found)
            && !conditions.unless.is_some_and(found)
    }
}
