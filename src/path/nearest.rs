//! How far two words are apart, and which known one is nearest.

/// Words longer than this are compared by their beginning: the cost grows with the square.
const LONGEST: usize = 128;

/// Single-letter changes between two words: added, left out, replaced, or two neighbours swapped. Case doesn't count.
pub fn distance(one: &str, other: &str) -> usize {
    strsim::osa_distance(&letters(one).collect::<String>(), &letters(other).collect::<String>())
}

fn letters(word: &str) -> impl Iterator<Item = char> {
    word.chars().flat_map(char::to_lowercase).take(LONGEST)
}

/// How many changes a slip of the fingers in a word of this length can explain.
pub fn tolerance(word: &str) -> usize {
    match word.chars().count() {
        0..=3 => 1,
        4..=11 => 2,
        _ => 3,
    }
}

/// The known word that was probably meant.
pub fn nearest_word<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known.iter().map(|known| (distance(word, known), *known)).filter(|(far, _)| *far <= tolerance(word)).min().map(|(_, known)| known)
}

/// How far two addresses are apart, each part within what a slip can explain.
pub fn address_distance(one: &str, other: &str) -> Option<usize> {
    let (one_local, one_domain) = one.rsplit_once('@')?;
    let (other_local, other_domain) = other.rsplit_once('@')?;
    Some(distance_within(one_local, other_local)? + distance_within(one_domain, other_domain)?)
}

fn distance_within(one: &str, other: &str) -> Option<usize> {
    let most = tolerance(one);
    // Mostly the lengths tell already.
    if letters(one).count().abs_diff(letters(other).count()) > most {
        return None;
    }
    Some(distance(one, other)).filter(|far| *far <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near() {
        let cases = [
            ("bob", "bob", 0),
            ("bob", "BOB", 0),
            ("bob", "bbo", 1),
            ("exmaple", "example", 1),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
        ];
        for (one, other, expected) in cases {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn strangers_are_not_offered() {
        assert_eq!(address_distance("bob@exmaple.org", "bob@example.org"), Some(1));
        assert_eq!(address_distance("bop@exmaple.org", "bob@example.org"), Some(2));
        assert_eq!(address_distance("bob@example.org", "erwin@example.org"), None);
        assert_eq!(address_distance("bob@example.org", "bob@elsewhere.net"), None);
        assert_eq!(address_distance("bob", "bob@example.org"), None);
    }

    #[test]
    fn fields_are_guessed() {
        assert_eq!(nearest_word("subjct", &["from", "subject"]), Some("subject"));
        assert_eq!(nearest_word("zzz", &["from", "subject"]), None);
    }
}
