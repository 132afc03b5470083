//! Room in a table that is full: those that were quiet longest are forgotten, and counted.

use hashbrown::HashMap;

use crate::trace::WallMicros;

/// Forgets the tenth that was quiet longest: so much at once, that this is rare. How many that were.
pub fn make<K, V>(table: &mut HashMap<K, V>, last: impl Fn(&V) -> WallMicros) -> u64 {
    let mut times: Vec<WallMicros> = table.values().map(&last).collect();
    if times.is_empty() {
        return 0;
    }
    let tenth = times.len() / 10;
    let (_, &mut edge, _) = times.select_nth_unstable(tenth);
    let before = table.len();
    table.retain(|_, value| last(value) > edge);
    (before - table.len()) as u64
}

/// The same where only those may go of which that is true. How many that were.
pub fn drop_where<K, V>(table: &mut HashMap<K, V>, mut goes: impl FnMut(&mut V) -> bool) -> u64 {
    let before = table.len();
    table.retain(|_, value| !goes(value));
    (before - table.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_tenth_goes() {
        let mut table: HashMap<u64, u64> = (0..100).map(|no| (no, no)).collect();
        assert_eq!(make(&mut table, |last| *last), 11);
        assert!(!table.contains_key(&10) && table.contains_key(&11));
        assert_eq!(drop_where(&mut table, |last| *last < 20), 9);
        assert_eq!(make(&mut HashMap::<u64, u64>::new(), |last| *last), 0);
    }
}
