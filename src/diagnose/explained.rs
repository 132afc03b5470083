//! A verdict with its reasons, for people.

use serde::{Serialize, Serializer};

use super::classify::Reading;
use super::rule::Rule;
use super::{Act, Cause, Facts, Permanence, Rules};
use crate::smtp::Stage;

/// Why a reply was taken for what it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    #[serde(serialize_with = "word")]
    pub cause: Cause,
    #[serde(serialize_with = "word")]
    pub act: Act,
    #[serde(serialize_with = "word")]
    pub permanence: Permanence,
    pub advice: String,
    /// The rule that decided.
    pub rule: String,
    /// Why it did, in a sentence.
    pub why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Spoken>,
    /// The text as the rules saw it.
    pub read_as: String,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "word_of_some")]
    pub stage: Option<Stage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhanced: Option<String>,
    /// Every rule that matched, the strongest first.
    pub matched: Vec<Matched>,
    pub rules_version: String,
}

/// Who spoke, and what gave it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spoken {
    pub id: String,
    pub name: String,
    pub known_by: &'static str,
}

/// A rule that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matched {
    pub rule: String,
    #[serde(serialize_with = "word")]
    pub cause: Cause,
    pub rank: i32,
    /// Of the admin's making.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
    /// The words of the text that it met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

/// The public word of a value.
fn word<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn word_of_some<T: std::fmt::Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

impl Rules {
    /// The same verdict as [`Rules::classify`], with its reasons.
    pub fn explain(&self, facts: &Facts<'_>) -> Explained {
        let verdict = self.classify(facts);
        let (reading, winner) = self.decide(facts);
        let matched: Vec<Matched> =
            self.rules.iter().filter(|rule| self.matches(rule, &reading)).map(|rule| self.matched(rule, &reading)).collect();
        let provider = reading.speakers.first.and_then(|(number, sign)| {
            let provider = self.providers.all.get(number)?;
            Some(Spoken { id: provider.id.clone(), name: provider.name.clone(), known_by: sign.words() })
        });
        Explained {
            cause: verdict.cause,
            act: verdict.act,
            permanence: verdict.permanence,
            advice: verdict.advice.to_owned(),
            rule: verdict.rule.to_owned(),
            why: why(winner, &matched),
            provider,
            stage: reading.stage,
            code: reading.code,
            enhanced: reading.enhanced.map(|(class, subject, detail)| format!("{class}.{subject}.{detail}")),
            read_as: reading.text,
            matched,
            rules_version: self.version.clone(),
        }
    }

    fn matched(&self, rule: &Rule, reading: &Reading) -> Matched {
        let found = rule.conditions.text.and_then(|pattern| self.patterns.find(pattern, &reading.text));
        let words = found.and_then(|range| reading.text.get(range)).filter(|words| !words.is_empty()).map(str::to_owned);
        Matched { rule: rule.id.clone(), cause: rule.cause, rank: rule.rank, own: rule.own, words }
    }
}

fn why(winner: Option<&Rule>, matched: &[Matched]) -> String {
    let (Some(winner), Some(first)) = (winner, matched.first()) else {
        return "no rule matched: neither the text nor the codes state a cause".to_owned();
    };
    let nothing = if matched.iter().any(|it| it.words.is_some()) { "" } else { "the text says nothing that a rule knows, so " };
    let met = match &first.words {
        Some(words) => format!("the text says \"{words}\""),
        None if !winner.conditions.enhanced.is_empty() => format!("{nothing}the enhanced status code decides"),
        None if !winner.conditions.codes.is_empty() => format!("{nothing}the reply code decides"),
        None => "the stage and who spoke decide".to_owned(),
    };
    match matched.get(1) {
        None => format!("{met}; no other rule matched"),
        Some(second) if second.rank < first.rank => {
            format!(
                "{met}; its rank {} is the highest of {} rules that matched, the next being {} (rank {})",
                first.rank,
                matched.len(),
                second.rule,
                second.rank
            )
        }
        Some(second) => format!("{met}; {} has the same rank {} and stands behind it", second.rule, second.rank),
    }
}
