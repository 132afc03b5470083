//! Guesses which word was meant.

/// The nearest of `known`, if it is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = word.chars().count();
    let allowed = (letters / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        // Of a single letter nothing would be left.
        .filter(|&(distance, _)| distance <= allowed && distance < letters)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace or swap with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let of = |up: usize, left: usize| -> usize {
                let Some(above) = (i + 1).checked_sub(up) else { return usize::MAX / 2 };
                let Some(at) = (j + 1).checked_sub(left) else { return usize::MAX / 2 };
                if up == 0 { row.get(at) } else { rows.get(above).and_then(|row| row.get(at)) }.copied().unwrap_or(usize::MAX / 2)
            };
            let replaced = of(1, 1) + usize::from(x != y);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            let best = (of(1, 0) + 1).min(of(0, 1) + 1).min(replaced).min(if swapped { of(2, 2) + 1 } else { usize::MAX });
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("tls", "tls", 0),
            ("tsl", "tls", 1),
            ("lsten", "listen", 1),
            ("host", "hosts", 1),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_near_words_are_guessed() {
        let known = ["listen", "listener", "upstream", "tls"];
        assert_eq!(nearest("lisen", known), Some("listen"));
        assert_eq!(nearest("Upstream", known), Some("upstream"));
        assert_eq!(nearest("certificate", known), None);
        assert_eq!(nearest("a", ["x"]), None);
        assert_eq!(nearest("xy", known), None);
    }
}
