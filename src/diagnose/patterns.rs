//! Many regular expressions asked at once: only those whose words occur in the text are run.
//!
//! From each expression the words are read that a match can't do without. One pass of Aho-Corasick over the text finds which of all these words
//! occur; an expression is run only if every group of its words is met.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

/// More alternatives than this are not multiplied out.
const MOST_ALTERNATIVES: usize = 96;

/// Words shorter than this occur everywhere and sift nothing.
const SHORTEST_WORD: usize = 3;

/// An expression grows at most to this, in octets, when compiled.
const MOST_COMPILED: usize = 4 << 20;

/// What an expression can't match without. Octets, for alternatives may part within a character.
type Word = Vec<u8>;

/// Expressions with what sifts them. An expression is known by its place.
#[derive(Debug)]
pub(super) struct Patterns {
    patterns: Vec<Pattern>,
    words: Option<AhoCorasick>,
    /// For each word the groups that it meets.
    meets: Vec<Vec<u32>>,
    /// For each group the expressions that need it.
    needed_by: Vec<Vec<u32>>,
    /// Expressions without any group: run always.
    always: Vec<u32>,
}

#[derive(Debug)]
struct Pattern {
    source: String,
    regex: OnceLock<Option<Regex>>,
    groups: u16,
}

/// Which expressions may match a text. Kept apart so that none is run before it is asked for.
#[derive(Debug)]
pub(super) struct Sifted {
    possible: Vec<u64>,
}

impl Sifted {
    pub(super) fn may_match(&self, pattern: u32) -> bool {
        self.possible.get(pattern as usize / 64).is_some_and(|word| word & (1 << (pattern % 64)) != 0)
    }
}

/// Says why an expression can't be used.
pub(super) fn check(source: &str) -> Result<(), String> {
    compile(source).map(|_| ()).map_err(|error| match error {
        regex::Error::Syntax(text) => text.lines().last().unwrap_or("not a regular expression").trim_start_matches("error: ").to_owned(),
        regex::Error::CompiledTooBig(_) => "it grows too big: fewer or shorter repetitions".to_owned(),
        other => other.to_string(),
    })
}

fn compile(source: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source).unicode(false).size_limit(MOST_COMPILED).build()
}

impl Patterns {
    /// Takes expressions that [`check`] has passed.
    pub(super) fn new(sources: Vec<String>) -> Self {
        let mut words: HashMap<Word, usize> = HashMap::new();
        let mut groups: HashMap<BTreeSet<Word>, u32> = HashMap::new();
        let (mut meets, mut needed_by, mut always) = (Vec::<Vec<u32>>::new(), Vec::<Vec<u32>>::new(), Vec::new());
        let mut patterns = Vec::with_capacity(sources.len());
        for (place, source) in (0_u32..).zip(sources) {
            let needs: BTreeSet<BTreeSet<Word>> = parse(&source).map(|hir| needed_words(&hir).into_iter().collect()).unwrap_or_default();
            if needs.is_empty() {
                always.push(place);
            }
            for need in &needs {
                let number = *groups.entry(need.clone()).or_insert_with(|| {
                    needed_by.push(Vec::new());
                    needed_by.len() as u32 - 1
                });
                for word in need {
                    let known = words.len();
                    let word = *words.entry(word.clone()).or_insert(known);
                    meets.resize_with(meets.len().max(word + 1), Vec::new);
                    if let Some(met) = meets.get_mut(word).filter(|met| !met.contains(&number)) {
                        met.push(number);
                    }
                }
                if let Some(list) = needed_by.get_mut(number as usize) {
                    list.push(place);
                }
            }
            patterns.push(Pattern { source, regex: OnceLock::new(), groups: needs.len() as u16 });
        }
        let mut in_order: Vec<(usize, Word)> = words.into_iter().map(|(word, place)| (place, word)).collect();
        in_order.sort_unstable();
        let words = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(in_order.into_iter().map(|(_, word)| word)).ok();
        Self { patterns, words, meets, needed_by, always }
    }

    /// Which expressions may match, found in one pass over the text.
    pub(super) fn sift(&self, text: &str) -> Sifted {
        let mut possible = vec![0_u64; self.patterns.len() / 64 + 1];
        let mut mark = |place: u32| {
            if let Some(word) = possible.get_mut(place as usize / 64) {
                *word |= 1 << (place % 64);
            }
        };
        self.always.iter().copied().for_each(&mut mark);
        let Some(words) = &self.words else {
            (0..self.patterns.len() as u32).for_each(mark); // too many words for the automaton: every expression is run
            return Sifted { possible };
        };
        let mut seen_words = vec![0_u64; self.meets.len() / 64 + 1];
        let mut met = vec![0_u64; self.needed_by.len() / 64 + 1];
        let mut counts = vec![0_u16; self.patterns.len()];
        for found in words.find_overlapping_iter(text) {
            let word = found.pattern().as_usize();
            if !first_time(&mut seen_words, word) {
                continue;
            }
            for &group in self.meets.get(word).into_iter().flatten() {
                if !first_time(&mut met, group as usize) {
                    continue;
                }
                for &place in self.needed_by.get(group as usize).into_iter().flatten() {
                    let (Some(count), Some(pattern)) = (counts.get_mut(place as usize), self.patterns.get(place as usize)) else {
                        continue;
                    };
                    *count += 1;
                    if *count == pattern.groups {
                        mark(place);
                    }
                }
            }
        }
        Sifted { possible }
    }

    /// The source of an expression that nothing sifts: asked of a rule's text it's run on every reply.
    #[cfg(test)]
    pub(super) fn unsifted(&self, pattern: u32) -> Option<&str> {
        let source = self.patterns.get(pattern as usize)?.source.as_str();
        self.always.contains(&pattern).then_some(source)
    }

    /// Where an expression matches.
    pub(super) fn find(&self, pattern: u32, text: &str) -> Option<std::ops::Range<usize>> {
        let pattern = self.patterns.get(pattern as usize)?;
        pattern.regex.get_or_init(|| compile(&pattern.source).ok()).as_ref()?.find(text.as_bytes()).map(|found| found.range())
    }

    pub(super) fn matches(&self, pattern: u32, text: &str) -> bool {
        let Some(pattern) = self.patterns.get(pattern as usize) else { return false };
        pattern.regex.get_or_init(|| compile(&pattern.source).ok()).as_ref().is_some_and(|regex| regex.is_match(text.as_bytes()))
    }
}

/// Sets a bit; whether it was not set before.
fn first_time(bits: &mut [u64], place: usize) -> bool {
    let Some(word) = bits.get_mut(place / 64) else { return false };
    let bit = 1 << (place % 64);
    let new = *word & bit == 0;
    *word |= bit;
    new
}

fn parse(source: &str) -> Option<Hir> {
    regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(source).ok()
}

/// Groups of words: whatever matches has at least one word of each group.
fn needed_words(hir: &Hir) -> Vec<BTreeSet<Word>> {
    let Words { exact, mut groups } = words_of(hir);
    groups.extend(exact.and_then(group_of));
    groups
}

#[derive(Default)]
struct Words {
    /// All that can match here, where that's few.
    exact: Option<BTreeSet<Word>>,
    groups: Vec<BTreeSet<Word>>,
}

fn group_of(exact: BTreeSet<Word>) -> Option<BTreeSet<Word>> {
    exact.iter().all(|word| word.len() >= SHORTEST_WORD).then_some(exact)
}

fn words_of(hir: &Hir) -> Words {
    let exactly = |words: BTreeSet<Word>| Words { exact: Some(words), groups: Vec::new() };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => exactly(BTreeSet::from([Word::new()])),
        HirKind::Literal(literal) => exactly(BTreeSet::from([literal.0.to_vec()])),
        HirKind::Class(class) => few_characters(class).map(exactly).unwrap_or_default(),
        HirKind::Capture(capture) => words_of(&capture.sub),
        HirKind::Repetition(repetition) => {
            let inner = words_of(&repetition.sub);
            match (repetition.min, repetition.max) {
                (0, Some(1)) => Words {
                    exact: inner.exact.map(|mut words| {
                        words.insert(Word::new());
                        words
                    }),
                    groups: Vec::new(),
                },
                (0, _) => Words::default(),
                (1, Some(1)) => inner,
                _ => Words { exact: None, groups: inner.groups.into_iter().chain(inner.exact.and_then(group_of)).collect() },
            }
        }
        HirKind::Concat(parts) => {
            let (mut groups, mut run) = (Vec::new(), BTreeSet::from([Word::new()]));
            let mut whole = true;
            for part in parts {
                let inner = words_of(part);
                groups.extend(inner.groups);
                match inner.exact {
                    Some(words) if run.len() * words.len() <= MOST_ALTERNATIVES => {
                        run = run.iter().flat_map(|before| words.iter().map(move |word| [before.as_slice(), word].concat())).collect();
                    }
                    next => {
                        whole = false;
                        groups.extend(group_of(std::mem::take(&mut run)));
                        run = next.unwrap_or_else(|| BTreeSet::from([Word::new()]));
                    }
                }
            }
            if whole {
                return Words { exact: Some(run), groups };
            }
            groups.extend(group_of(run));
            Words { exact: None, groups }
        }
        HirKind::Alternation(branches) => alternation(branches.iter().map(words_of)),
    }
}

/// One of several: what all of them need is one word out of one group of each.
fn alternation(branches: impl Iterator<Item = Words>) -> Words {
    let (mut exact, mut group) = (Some(BTreeSet::new()), Some(BTreeSet::new()));
    for branch in branches {
        match (&mut exact, &branch.exact) {
            (Some(all), Some(words)) => all.extend(words.iter().cloned()),
            _ => exact = None,
        }
        let best = branch.groups.into_iter().chain(branch.exact.and_then(group_of)).max_by_key(|words| words.iter().map(Vec::len).min());
        match (&mut group, best) {
            (Some(all), Some(words)) => all.extend(words),
            _ => group = None,
        }
    }
    match exact {
        Some(words) if words.len() <= MOST_ALTERNATIVES => Words { exact: Some(words), groups: Vec::new() },
        _ => Words { exact: None, groups: group.into_iter().collect() },
    }
}

fn few_characters(class: &Class) -> Option<BTreeSet<Word>> {
    let Class::Bytes(class) = class else { return None };
    let octets: Vec<u8> = class.iter().flat_map(|range| range.start()..=range.end()).take(5).collect();
    (octets.len() <= 4).then(|| octets.into_iter().map(|octet| vec![octet]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn needs(source: &str, expected: &[&[&str]]) {
        let text = |word: Word| String::from_utf8_lossy(&word).into_owned();
        let found = needed_words(&parse(source).unwrap()).into_iter().map(|group| group.into_iter().map(text).collect());
        let found: Vec<Vec<String>> = found.collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn the_words_that_a_match_needs() {
        needs("user unknown", &[&["user unknown"]]);
        needs("(?:user|mailbox).{0,40}(?:full|over quota)", &[&["mailbox", "user"], &["full", "over quota"]]);
        needs("users? is (?:over|above)", &[&["user is above", "user is over", "users is above", "users is over"]]);
        needs("quota|limit.*reached", &[&["quota", "reached"]]);
        needs(r"\bno\b.*mail", &[&["mail"]]);
        needs(".*", &[]);
        needs("full|.*", &[]);
        needs("(?:mail )+loop", &[&["mail "], &["loop"]]);
        needs("(?:\u{7528}\u{6237}|\u{7528}\u{7bb1}).*", &[&["\u{7528}\u{6237}", "\u{7528}\u{7bb1}"]]);
    }

    #[test]
    fn what_may_match_is_asked_and_nothing_else() {
        let patterns = Patterns::new(vec!["user.{0,9}unknown".into(), "mailbox full".into(), "^x.".into()]);
        let text = "no such user: unknown";
        let sifted = patterns.sift(text);
        let possible: Vec<u32> = (0..3).filter(|&pattern| sifted.may_match(pattern)).collect();
        assert_eq!(possible, [0, 2]);
        assert!(patterns.matches(0, text) && !patterns.matches(2, text));
        assert_eq!(patterns.find(0, text), Some(8..21));
    }

    #[test]
    fn a_bad_expression_says_why() {
        assert_eq!(check("(open").unwrap_err(), "unclosed group");
        assert!(check("(?:a{1000}){1000}").unwrap_err().contains("too big"));
    }
}
