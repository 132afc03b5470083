//! Named lists of words: a pattern says `{user}` and means all the words for it.

use std::collections::BTreeMap;

/// What a `~` in a pattern stands for: some words between, or none.
const GAP: &str = ".{0,50}?";

/// Lists by name, as the rules files write them.
pub(super) type Lists = BTreeMap<String, Vec<String>>;

/// A pattern with its lists written out, in small letters, as a regular expression.
///
/// `{name}` is a list, `~` a gap of up to fifty characters, all else regular expression. Lists may use lists.
pub(super) fn expand(pattern: &str, lists: &Lists) -> Result<String, String> {
    within(pattern, lists, 0)
}

fn within(pattern: &str, lists: &Lists, depth: usize) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '~', '\\']) {
        let (before, from) = rest.split_at(at);
        out.push_str(&before.to_lowercase());
        if let Some(behind) = from.strip_prefix('~') {
            out.push_str(GAP);
            rest = behind;
        } else if from.starts_with('\\') {
            let end = from.chars().take(2).map(char::len_utf8).sum();
            out.push_str(from.get(..end).unwrap_or_default());
            rest = from.get(end..).unwrap_or_default();
        } else {
            let (name, behind) = from.get(1..).and_then(|inner| inner.split_once('}')).ok_or("a `{` has no `}`")?;
            if name.starts_with(|first: char| first.is_ascii_digit()) {
                out.push_str(&format!("{{{name}}}")); // a repetition
            } else {
                let list = lists.get(name).ok_or_else(|| unknown(name, lists))?;
                if depth > 3 {
                    return Err(format!("the list {{{name}}} leads back to itself"));
                }
                let words: Result<Vec<String>, String> = list.iter().map(|word| within(word, lists, depth + 1)).collect();
                out.push_str(&format!("(?:{})", words?.join("|")));
            }
            rest = behind;
        }
    }
    out.push_str(&rest.to_lowercase());
    Ok(out)
}

fn unknown(name: &str, lists: &Lists) -> String {
    match nearest(name, lists.keys().map(String::as_str)) {
        Some(near) => format!("there is no list of words {{{name}}}; did you mean {{{near}}}?"),
        None => format!("there is no list of words {{{name}}}"),
    }
}

/// The known word that was probably meant.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let allowed = (word.chars().count() / 3).clamp(1, 4);
    let word: String = word.to_lowercase().chars().take(64).collect();
    let by_distance = known.map(|known| (strsim::osa_distance(&word, known), known));
    by_distance.filter(|&(distance, _)| distance <= allowed).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        BTreeMap::from([
            ("user".to_owned(), vec!["user".to_owned(), "mail ?box".to_owned()]),
            ("whose".to_owned(), vec!["{user}'s".to_owned()]),
            ("loop".to_owned(), vec!["{loop}".to_owned()]),
        ])
    }

    #[test]
    fn lists_and_gaps_are_written_out() {
        let expanded = |pattern| expand(pattern, &lists());
        assert_eq!(expanded("{user}~Full").unwrap(), "(?:user|mail ?box).{0,50}?full");
        assert_eq!(expanded(r"a{2}\S\{").unwrap(), r"a{2}\S\{");
        assert_eq!(expanded("{whose}").unwrap(), "(?:(?:user|mail ?box)'s)");
        assert_eq!(expanded("{usr}").unwrap_err(), "there is no list of words {usr}; did you mean {user}?");
        assert_eq!(expanded("{loop}").unwrap_err(), "the list {loop} leads back to itself");
    }
}
