//! Servers that were recognised a moment ago, by name and greeting, so that the next session with one needs no patterns.

use std::sync::Mutex;

/// How many are remembered; a greeting with the time of day in it is asked for once, and makes room again.
const MOST: usize = 16;

#[derive(Debug, PartialEq, Eq)]
struct Known {
    host: Option<Box<str>>,
    banner: Option<Box<str>>,
    provider: Option<usize>,
}

impl Known {
    fn is(&self, host: Option<&str>, banner: Option<&str>) -> bool {
        self.banner.as_deref() == banner && self.host.as_deref() == host
    }
}

/// The answers given last, the newest first.
#[derive(Debug, Default)]
pub(super) struct Greeted(Mutex<Vec<Known>>);

impl Greeted {
    /// What was answered before, or what `ask` says.
    pub(super) fn answer(&self, host: Option<&str>, banner: Option<&str>, ask: impl FnOnce() -> Option<usize>) -> Option<usize> {
        if let Ok(mut known) = self.0.lock()
            && let Some(place) = known.iter().position(|it| it.is(host, banner))
        {
            if let Some(newer) = known.get_mut(..=place) {
                newer.rotate_right(1);
            }
            return known.first().and_then(|it| it.provider);
        }
        let provider = ask();
        if let Ok(mut known) = self.0.lock() {
            known.truncate(MOST.saturating_sub(1));
            known.insert(0, Known { host: host.map(Into::into), banner: banner.map(Into::into), provider });
        }
        provider
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_once_for_each_server_and_keeps_few() {
        let greeted = Greeted::default();
        assert_eq!(greeted.answer(Some("mx"), Some("220 a"), || Some(3)), Some(3));
        assert_eq!(greeted.answer(Some("mx"), Some("220 b"), || None), None);
        assert_eq!(greeted.answer(None, Some("220 a"), || Some(4)), Some(4), "another host");
        assert_eq!(greeted.answer(Some("mx"), Some("220 a"), || None), Some(3), "not asked again");
        assert_eq!(greeted.answer(Some("mx"), Some("220 b"), || Some(9)), None, "nobody is an answer too");
        for number in 0..MOST * 2 {
            let banner = format!("220 at {number}");
            greeted.answer(Some("mx"), Some(&banner), || Some(number));
            greeted.answer(Some("mx"), Some("220 a"), || None);
        }
        assert_eq!(greeted.answer(Some("mx"), Some("220 a"), || None), Some(3), "what is asked for stays");
        assert_eq!(greeted.answer(Some("mx"), Some("220 b"), || Some(5)), Some(5), "what isn't makes room");
        assert_eq!(greeted.0.lock().map(|known| known.len()).ok(), Some(MOST));
    }
}
