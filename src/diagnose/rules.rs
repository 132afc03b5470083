//! The rule set: built from the files compiled in, and from the admin's own.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use toml::Spanned;

use super::advice::Advice;
use super::file::{RulesError, Source, Written, WrittenProvider, WrittenRule};
use super::greeted::Greeted;
use super::normal::Known;
use super::patterns::{self, Patterns};
use super::provider::{MOST_PROVIDERS, Provider, Providers};
use super::rule::{Conditions, Rule, default_rank};
use super::words::{self, Lists};

/// Raised with each change of the built-in rules; records keep it.
const VERSION: &str = "6";

/// Own rules stand above all built-in ones.
const OWN_RANK: i32 = 1000;

pub(super) const BUILTIN: &[Source<'_>] = &[
    Source { name: "words.toml", text: include_str!("rules/words.toml") },
    Source { name: "providers.toml", text: include_str!("rules/providers.toml") },
    Source { name: "recipient.toml", text: include_str!("rules/recipient.toml") },
    Source { name: "sender.toml", text: include_str!("rules/sender.toml") },
    Source { name: "machine.toml", text: include_str!("rules/machine.toml") },
    Source { name: "message.toml", text: include_str!("rules/message.toml") },
    Source { name: "server.toml", text: include_str!("rules/server.toml") },
    Source { name: "microsoft.toml", text: include_str!("rules/microsoft.toml") },
    Source { name: "services.toml", text: include_str!("rules/services.toml") },
    Source { name: "software.toml", text: include_str!("rules/software.toml") },
    Source { name: "phrases.toml", text: include_str!("rules/phrases.toml") },
    Source { name: "own.toml", text: include_str!("rules/own.toml") },
    Source { name: "advice.toml", text: include_str!("rules/advice.toml") },
    Source { name: "codes.toml", text: include_str!("rules/codes.toml") },
];

static RULES: LazyLock<Rules> = LazyLock::new(|| Builder::default().all(BUILTIN, &[]).unwrap_or_else(|_| Rules::empty()));

/// Everything that is known about replies, ready to be asked.
#[derive(Debug)]
pub struct Rules {
    pub(super) version: String,
    /// By rank, the highest first.
    pub(super) rules: Vec<Rule>,
    pub(super) patterns: Patterns,
    pub(super) providers: Providers,
    pub(super) advice: Advice,
    pub(super) known_hosts: Known,
    greeted: Greeted,
}

impl Rules {
    /// The rules that are compiled in.
    pub fn builtin() -> &'static Self {
        &RULES
    }

    /// The built-in rules with the admin's own before them, each as file name and TOML text.
    ///
    /// # Errors
    /// What is wrong with the first file that can't be used, with its line.
    pub fn with_own(own: &[(String, String)]) -> Result<Self, RulesError> {
        let own: Vec<Source<'_>> = own.iter().map(|(name, text)| Source { name, text }).collect();
        Builder::default().all(BUILTIN, &own)
    }

    /// Of the rule set; with own rules it ends with a digest of theirs.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The provider that a host name or a greeting gives away, by its id.
    /// Each session asks this of its server, and there are few of these: what was answered last is remembered.
    pub fn provider(&self, host: Option<&str>, banner: Option<&str>) -> Option<&str> {
        let number = self.greeted.answer(host, banner, || {
            let facts = super::Facts { host, banner, ..super::Facts::default() };
            self.speakers_of(&facts).first.map(|(number, _)| number)
        });
        number.and_then(|number| self.providers.id(number))
    }

    /// What to do about a cause, in a provider's own terms where they are known.
    pub fn advice(&self, cause: super::Cause, provider: Option<&str>) -> &str {
        self.advice.of(cause, provider.and_then(|id| self.providers.number(id)))
    }

    /// Ids and causes of all rules, the strongest first.
    pub fn listed(&self) -> impl Iterator<Item = (&str, super::Cause)> {
        self.rules.iter().map(|rule| (rule.id.as_str(), rule.cause))
    }

    fn empty() -> Self {
        Self {
            version: VERSION.to_owned(),
            rules: Vec::new(),
            patterns: Patterns::new(Vec::new()),
            providers: Providers::default(),
            advice: Advice::default(),
            known_hosts: Known::new(),
            greeted: Greeted::default(),
        }
    }
}

#[derive(Default)]
struct Builder {
    lists: Lists,
    sources: Vec<String>,
    ids: HashSet<String>,
    rules: Vec<Rule>,
    providers: Providers,
    advice: Advice,
    known_hosts: Known,
}

impl Builder {
    fn all(mut self, builtin: &[Source<'_>], own: &[Source<'_>]) -> Result<Rules, RulesError> {
        let read = |sources: &[Source<'_>]| sources.iter().map(|source| source.read()).collect::<Result<Vec<Written>, _>>();
        let (of_builtin, of_own) = (read(builtin)?, read(own)?);
        let files: Vec<(&Source<'_>, Written, bool)> = builtin
            .iter()
            .zip(of_builtin)
            .map(|(source, it)| (source, it, false))
            .chain(own.iter().zip(of_own).map(|(source, it)| (source, it, true)))
            .collect();
        for (_, written, _) in &files {
            self.lists.extend(written.words.iter().map(|(name, words)| (name.clone(), words.clone())));
            self.known_hosts.extend(written.known_hosts.iter().map(|host| host.to_lowercase()));
        }
        for (source, written, own) in &files {
            for provider in &written.provider {
                self.provider(source, provider, *own)?;
            }
        }
        for (source, written, own) in &files {
            for advice in &written.advice {
                let cause = source.cause(&advice.cause)?;
                let provider = advice.provider.as_ref().map(|id| self.provider_number(source, id)).transpose()?;
                self.advice.add(cause, provider, advice.text.clone());
            }
            for rule in &written.rule {
                self.rule(source, rule, *own)?;
            }
        }
        self.rules.sort_by_key(|rule| std::cmp::Reverse(rule.rank)); // stable: of equals the first stays first
        Ok(Rules {
            version: version(own),
            rules: self.rules,
            patterns: Patterns::new(self.sources),
            providers: self.providers,
            advice: self.advice,
            known_hosts: self.known_hosts,
            greeted: Greeted::default(),
        })
    }

    fn provider(&mut self, source: &Source<'_>, written: &WrittenProvider, own: bool) -> Result<(), RulesError> {
        let number = self.providers.all.len();
        if self.providers.number(written.id.get_ref()).is_some() {
            return Err(source.wrong(&written.id, format!("provider `{}` is there already", written.id.get_ref())));
        }
        if number >= MOST_PROVIDERS {
            return Err(source.wrong(&written.id, format!("there are {MOST_PROVIDERS} providers already, which is the most")));
        }
        let banner = self.pattern(source, &written.banner, own)?;
        let text = self.pattern(source, &written.text, own)?;
        for host in &written.hosts {
            self.providers.hosts.insert(host.to_lowercase(), number);
        }
        for alias in written.aliases.iter().chain([written.id.get_ref(), &written.name]) {
            self.providers.aliases.insert(alias.to_lowercase(), number);
        }
        self.providers.all.push(Provider {
            id: written.id.get_ref().clone(),
            name: written.name.clone(),
            software: written.software,
            banner,
            text,
        });
        Ok(())
    }

    fn provider_number(&self, source: &Source<'_>, id: &Spanned<String>) -> Result<usize, RulesError> {
        self.providers.number(id.get_ref()).ok_or_else(|| {
            let near = words::nearest(id.get_ref(), self.providers.all.iter().map(|it| it.id.as_str()));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            source.wrong(id, format!("there is no provider `{}`{hint}", id.get_ref()))
        })
    }

    /// Makes one pattern of several alternatives.
    fn pattern(&mut self, source: &Source<'_>, written: &[Spanned<String>], own: bool) -> Result<Option<u32>, RulesError> {
        let mut alternatives = Vec::with_capacity(written.len());
        for pattern in written {
            let expanded = words::expand(pattern.get_ref(), &self.lists).map_err(|why| source.wrong(pattern, why))?;
            if own {
                patterns::check(&expanded).map_err(|why| source.wrong(pattern, format!("not a pattern: {why}")))?;
            }
            alternatives.push(expanded);
        }
        if alternatives.is_empty() {
            return Ok(None);
        }
        let whole = if let [one] = alternatives.as_slice() { one.clone() } else { format!("(?:{})", alternatives.join("|")) };
        if let (true, Some(first)) = (own, written.first()) {
            patterns::check(&whole).map_err(|why| source.wrong(first, format!("not a pattern: {why}")))?;
        }
        self.sources.push(whole);
        Ok(u32::try_from(self.sources.len() - 1).ok())
    }

    fn rule(&mut self, source: &Source<'_>, written: &WrittenRule, own: bool) -> Result<(), RulesError> {
        let id = written.id.get_ref();
        if id.is_empty() || id.len() > 80 || !id.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(source.wrong(&written.id, "an id is a word of up to 80 letters without spaces, as \"own/partner-quota\""));
        }
        if !self.ids.insert(id.clone()) {
            return Err(source.wrong(&written.id, format!("rule `{id}` is there already; ids of your own best begin with `own/`")));
        }
        let cause = source.cause(&written.cause)?;
        let mut providers = 0;
        for provider in &written.provider {
            providers |= 1 << self.provider_number(source, provider)?;
        }
        let conditions = Conditions {
            text: self.pattern(source, &written.text, own)?,
            also: self.pattern(source, &written.also, own)?,
            unless: self.pattern(source, &written.unless, own)?,
            codes: written.code.iter().map(|code| source.code(code)).collect::<Result<_, _>>()?,
            enhanced: written.enhanced.iter().map(|code| source.enhanced(code)).collect::<Result<_, _>>()?,
            stages: written.stage.iter().map(|stage| source.stage(stage)).collect::<Result<_, _>>()?,
            providers,
        };
        let asks_nothing = conditions.text.is_none() && conditions.codes.is_empty() && conditions.enhanced.is_empty();
        if asks_nothing && conditions.stages.is_empty() && providers == 0 {
            return Err(source.wrong(
                &written.id,
                format!(
                    "rule `{id}` has no condition, so it would match every reply: give it `text`, `code`, `enhanced`, `stage` or `provider`"
                ),
            ));
        }
        let rank = written.rank.unwrap_or_else(|| default_rank(&conditions)).saturating_add(if own { OWN_RANK } else { 0 });
        self.rules.push(Rule {
            id: id.clone(),
            cause,
            rank,
            conditions,
            act: written.act.as_ref().map(|act| source.act(act)).transpose()?.unwrap_or_else(|| cause.act()),
            permanence: written.permanence.as_ref().map(|it| source.permanence(it)).transpose()?.unwrap_or_else(|| cause.permanence()),
            advice: written.advice.clone(),
            own,
        });
        Ok(())
    }
}

fn version(own: &[Source<'_>]) -> String {
    if own.is_empty() {
        return VERSION.to_owned();
    }
    let by_name: BTreeMap<&str, &str> = own.iter().map(|source| (source.name, source.text)).collect();
    let mut digest = blake3::Hasher::new();
    for (name, text) in by_name {
        digest.update(name.as_bytes()).update(&[0]).update(text.as_bytes()).update(&[0]);
    }
    let hex = digest.finalize().to_hex();
    format!("{VERSION}+own.{}", hex.get(..8).unwrap_or_default())
}
