//! Who spoke: the provider or server software that a host name, a greeting or the form of a reply gives away.

use std::collections::HashMap;

/// Providers by number; a number is a bit in a rule's set.
#[derive(Debug, Default)]
pub(super) struct Providers {
    pub all: Vec<Provider>,
    /// Domain, in small letters → number.
    pub hosts: HashMap<String, usize>,
    /// Other names → number.
    pub aliases: HashMap<String, usize>,
}

#[derive(Debug)]
pub(super) struct Provider {
    pub id: String,
    pub name: String,
    pub software: bool,
    /// Places of its patterns among the rule set's.
    pub banner: Option<u32>,
    pub text: Option<u32>,
}

/// At most so many: a rule's set of them is a number of 128 bits.
pub(super) const MOST_PROVIDERS: usize = 128;

/// What gave a provider away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    QuotedHost,
    Text,
    Host,
    Banner,
}

impl Sign {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::QuotedHost => "the host that the text quotes",
            Self::Text => "the form of the reply",
            Self::Host => "the host's name",
            Self::Banner => "the greeting",
        }
    }
}

/// Whom the signs point to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Speakers {
    pub set: u128,
    /// The one to be named, and what gave it away.
    pub first: Option<(usize, Sign)>,
}

impl Speakers {
    pub(super) fn add(&mut self, providers: &Providers, number: usize, sign: Sign) {
        self.set |= 1 << number;
        let software = |number: usize| providers.all.get(number).is_some_and(|it| it.software);
        match self.first {
            Some((first, _)) if !software(first) || software(number) => {}
            _ => self.first = Some((number, sign)),
        }
    }
}

impl Providers {
    /// The provider whose host this is: by its domain, or by a name that stands for it.
    pub(super) fn of_host(&self, host: &str) -> Option<usize> {
        let host: String = host.trim().trim_end_matches('.').chars().take(255).collect::<String>().to_lowercase();
        let mut rest = host.as_str();
        loop {
            if let Some(&number) = self.hosts.get(rest) {
                return Some(number);
            }
            match rest.split_once('.') {
                Some((_, behind)) => rest = behind,
                None => break,
            }
        }
        self.aliases.get(host.as_str()).or_else(|| host.split('/').find_map(|name| self.aliases.get(name.trim()))).copied()
    }

    pub(super) fn number(&self, id: &str) -> Option<usize> {
        self.all.iter().position(|provider| provider.id == id)
    }

    pub(super) fn id(&self, number: usize) -> Option<&str> {
        self.all.get(number).map(|provider| provider.id.as_str())
    }
}
