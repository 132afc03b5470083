//! What is kept for how long. When days are over, and when space runs out, things go in the order of their worth: first the dialogues of
//! the oldest days, then what went well (if failures are to be kept longer), then whole days. Today is never touched.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::calendar::Calendar;
use super::day::Day;
use super::journal::{DayJournal, Form};
use super::live::Live;
use super::options::Options;
use super::thin;
use crate::trace::WallMicros;

/// A day being removed has this added to its name, so that a crash leaves no half of a day behind.
const REMOVED: &str = "removed";

/// A day as retention sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    day: Day,
    /// By which its age is told: a clock that was behind may have named the day.
    written: Day,
    octets: Octets,
    dialogues: Octets,
    /// There is a sealed file from which nothing was left out yet, and can be.
    is_whole: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Octets {
    all: u64,
    /// What the file system gets back by a removal: not what a backup beside the store links to as well.
    alone: u64,
}

/// Octets that must go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Excess {
    /// Of the store's own.
    over: u64,
    /// That the file system wants for.
    missing: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    DropDialogues(Day),
    /// Leave out all but failures.
    Thin(Day),
    Remove(Day),
}

/// Removes what is beyond the limits.
pub(super) struct Retention {
    live: Arc<Live>,
    calendar: Calendar,
    /// Files, by day and number, that can't be thinned: they are damaged, and left to people.
    unthinnable: BTreeSet<(Day, u32)>,
    /// It was said that no room can be made.
    said_linked: bool,
}

impl Retention {
    pub fn new(live: Arc<Live>) -> Self {
        Self { live, calendar: Calendar::default(), unthinnable: BTreeSet::new(), said_linked: false }
    }

    fn today(&mut self, now: WallMicros) -> Day {
        let (clock, journal) = (Day::of(now), &self.live.journal);
        let days = journal.days();
        let days = days.iter().filter(|day| journal.written_behind(day.day, clock).is_none());
        self.calendar.today(clock, days.map(|day| day.day), Instant::now())
    }

    /// Removes days that are beyond what is kept of anything: nothing else need be done with them.
    pub fn remove_old(&mut self, now: WallMicros) {
        let Options { keep_days, keep_failures_days, .. } = self.live.options;
        if keep_days == 0 && keep_failures_days == 0 {
            return;
        }
        let today = self.today(now);
        let mut days: Vec<Held> = self.live.journal.days().iter().map(|day| self.unmeasured(day, today)).collect();
        while let Some(Step::Remove(day)) = next_step(&days, (today, Day::of(now)), &self.live.options, Excess::default(), &BTreeSet::new())
        {
            if !self.live.journal.day(day).is_some_and(|day| self.remove(&day)) {
                break;
            }
            days.retain(|held| held.day != day);
        }
    }

    /// Whether there is more room than before.
    pub fn apply(&mut self, now: WallMicros) -> bool {
        let live = self.live.clone();
        let Options { keep_days, keep_failures_days, keep_dialogues_days, keep_octets, keep_free_octets, .. } = &live.options;
        let days_limited = [keep_days, keep_failures_days, keep_dialogues_days].into_iter().any(|&days| days != 0);
        if !days_limited && *keep_octets == 0 && *keep_free_octets == 0 {
            return false;
        }
        let today = self.today(now);
        let mut days: Vec<Held> = live.journal.days().iter().map(|day| self.held(day, today)).collect();
        let mut excess = excess(&live.options, days.iter().map(|held| held.octets.all).sum());
        let (mut failed, mut freed) = (BTreeSet::new(), 0);
        while let Some(step) = next_step(&days, (today, Day::of(now)), &live.options, excess, &failed) {
            if live.keeper.is_closed() {
                break;
            }
            let (Step::DropDialogues(day) | Step::Thin(day) | Step::Remove(day)) = step;
            let done = match (step, live.journal.day(day)) {
                (_, None) => false,
                (Step::DropDialogues(_), Some(day)) => drop_dialogues(&day),
                (Step::Thin(_), Some(day)) => self.thin(&day),
                (Step::Remove(_), Some(day)) => self.remove(&day),
            };
            if !done {
                failed.insert(step);
            }
            let left = live.journal.day(day).map(|day| self.held(&day, today));
            if let Some(at) = days.iter().position(|held| held.day == day) {
                // A file system may take its time to give space back: what was freed is counted, not measured.
                let (before, left_over) = (days[at].octets, left.map_or(Octets::default(), |left| left.octets));
                let alone = before.alone.saturating_sub(left_over.alone);
                excess.over = excess.over.saturating_sub(before.all.saturating_sub(left_over.all));
                excess.missing = excess.missing.saturating_sub(alone);
                freed += alone;
                match left {
                    Some(left) => days[at] = left,
                    None => drop(days.remove(at)),
                }
            }
        }
        let is_linked = |held: &Held| held.day < today && held.octets.all > 0 && !held.octets.are_worth_removing();
        let is_stuck = excess.missing > 0 && days.iter().any(is_linked);
        if is_stuck && !self.said_linked {
            tracing::warn!(
                missing = excess.missing,
                keep_free_octets,
                "the free space that `keep_free_size` asks for can't be made: a backup on the same file system has links to what could go, \
                 and removing it here would free nothing. Remove old backups, or keep them on another file system"
            );
        }
        self.said_linked = is_stuck;
        freed > 0
    }

    fn unmeasured(&self, day: &DayJournal, today: Day) -> Held {
        let written = self.live.journal.written_behind(day.day, today).unwrap_or(day.day);
        Held { day: day.day, written, octets: Octets::default(), dialogues: Octets::default(), is_whole: false }
    }

    fn held(&self, day: &DayJournal, today: Day) -> Held {
        let mut held = Held { octets: measured(&day.dir), ..self.unmeasured(day, today) };
        for file in day.files() {
            if let Form::Sealed(segment) = file.form() {
                held.dialogues.add(segment.dialogues_path().and_then(|path| fs::metadata(path).ok()));
                held.is_whole |= !segment.is_thinned() && !self.unthinnable.contains(&(day.day, file.file));
            }
        }
        held
    }

    /// Leaves the successes out of all sealed files of a day; false if that can't be done now.
    fn thin(&mut self, day: &DayJournal) -> bool {
        let amended = match thin::amended_since(&self.live.journal, day.day) {
            Ok(amended) => amended,
            Err(error) => {
                tracing::error!(day = %day.day, %error, "a day of traces could not be thinned out");
                return false;
            }
        };
        let (mut before, mut after, mut all) = (0, 0, true);
        for file in day.files() {
            let Form::Sealed(segment) = file.form() else { continue };
            if segment.is_thinned() || self.unthinnable.contains(&(day.day, file.file)) {
                continue;
            }
            if self.live.keeper.is_closed() {
                all = false;
                break;
            }
            match thin::thin(day, &file, &segment, &amended) {
                Ok(()) => (before, after) = (before + segment.records(), after + file.records()),
                Err(error) => {
                    tracing::error!(file = %segment.path().display(), %error, "successes could not be left out of a journal file");
                    if error.is_for_space() {
                        all = false;
                        break;
                    }
                    self.unthinnable.insert((day.day, file.file));
                }
            }
        }
        if before != after {
            self.live.index.make_anew(day.day);
            self.live.indexer.hurry();
            tracing::info!(day = %day.day, records = before, kept = after, "only what failed is kept of a day of traces from now on");
        }
        all
    }

    fn remove(&self, day: &Arc<DayJournal>) -> bool {
        let live = &self.live;
        let aside = day.dir.with_extension(REMOVED);
        let moved = match fs::rename(&day.dir, &aside) {
            // No room for another name.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => fs::remove_dir_all(&day.dir),
            Err(error) => Err(error),
            Ok(()) => {
                live.journal.forget(day.day);
                live.index.forget(day.day);
                fs::remove_dir_all(&aside)
            }
        };
        if !day.dir.exists() {
            live.journal.forget(day.day);
            live.index.forget(day.day);
        }
        match &moved {
            Ok(()) => tracing::info!(day = %day.day, "a day of traces was removed: it is beyond what is kept"),
            Err(error) => tracing::error!(day = %day.day, %error, "a day of traces could not be removed"),
        }
        moved.is_ok()
    }
}

fn drop_dialogues(day: &DayJournal) -> bool {
    let mut all = true;
    for file in day.files() {
        let Form::Sealed(segment) = file.form() else { continue };
        let Some(path) = segment.dialogues_path() else { continue };
        let dropped = file.exchange(|| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Form::Sealed(Arc::new(segment.without_dialogues()))),
        });
        if let Err(error) = dropped {
            tracing::error!(file = %path.display(), %error, "dialogues could not be removed");
            all = false;
        }
    }
    tracing::info!(day = %day.day, "the dialogues of a day of traces were removed: they are beyond what is kept");
    all
}

impl Octets {
    fn add(&mut self, file: Option<fs::Metadata>) {
        let octets = file.as_ref().map_or(0, fs::Metadata::len);
        self.all += octets;
        self.alone += if file.is_some_and(|file| file.nlink() > 1) { 0 } else { octets };
    }

    /// Whether a removal that is to make room makes some for what it costs.
    fn are_worth_removing(self) -> bool {
        self.alone > self.all / 2
    }
}

fn excess(options: &Options, held: u64) -> Excess {
    let over = if options.keep_octets == 0 { 0 } else { held.saturating_sub(options.keep_octets) };
    let missing = match options.keep_free_octets {
        0 => 0,
        wanted => free_octets(&options.dir).map_or(0, |free| wanted.saturating_sub(free)),
    };
    Excess { over, missing }
}

/// What the file system has left for us; `None` if it doesn't say.
fn free_octets(dir: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(dir).ok()?;
    Some(told.f_bavail.saturating_mul(told.f_frsize))
}

/// What has to go next, out of days in order. `today`: the day by which ages are told, and the clock's.
fn next_step(days: &[Held], (today, clock): (Day, Day), options: &Options, excess: Excess, failed: &BTreeSet<Step>) -> Option<Step> {
    let newest = days.last()?.day;
    let mut old: Vec<&Held> = days.iter().filter(|held| held.day < newest && held.day < clock).collect();
    old.sort_by_key(|held| held.written);
    let longest = if options.keep_failures_days == 0 { options.keep_days } else { options.keep_failures_days };
    let is_beyond = |held: &Held, days: u32| days != 0 && today.number().saturating_sub(held.written.number()) > days;
    let mut steps = old.iter().filter_map(|held| {
        if is_beyond(held, longest) {
            Some(Step::Remove(held.day))
        } else if is_beyond(held, options.keep_days) && held.is_whole {
            Some(Step::Thin(held.day))
        } else if is_beyond(held, options.keep_dialogues_days) && held.dialogues.all > 0 {
            Some(Step::DropDialogues(held.day))
        } else {
            None
        }
    });
    if let Some(step) = steps.find(|step| !failed.contains(step)) {
        return Some(step);
    }
    let helps = |octets: Octets| match excess {
        Excess { over: 1.., .. } => octets.all > 0,
        Excess { missing: 1.., .. } => octets.are_worth_removing(),
        _ => false,
    };
    let mut steps = old.iter().filter(|held| helps(held.dialogues)).map(|held| Step::DropDialogues(held.day)).chain(
        old.iter()
            .filter(|held| options.keep_failures_days != 0 && held.is_whole && helps(held.octets))
            .map(|held| Step::Thin(held.day))
            .chain(old.iter().filter(|held| helps(held.octets)).map(|held| Step::Remove(held.day))),
    );
    steps.find(|step| !failed.contains(step))
}

/// Removes what an earlier removal left behind.
pub(super) fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let is_day = path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.parse::<Day>().is_ok());
        if is_day && path.extension().is_some_and(|extension| extension == REMOVED) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Octets of all files below a directory.
pub(super) fn octets_in(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => octets_in(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The same, by whether others have them too.
fn measured(dir: &Path) -> Octets {
    let mut octets = Octets::default();
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                let Octets { all, alone } = measured(&entry.path());
                (octets.all, octets.alone) = (octets.all + all, octets.alone + alone);
            }
            metadata => octets.add(metadata.ok()),
        }
    }
    octets
}

/// Octets of a file.
pub(super) fn octets_of(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u64) -> Day {
        Day::of(number * 86_400_000_000)
    }

    fn octets(all: u64) -> Octets {
        Octets { all, alone: all }
    }

    fn held(no: u64, dialogues: u64) -> Held {
        Held { day: day(no), written: day(no), octets: octets(100), dialogues: octets(dialogues), is_whole: true }
    }

    const FULL: Excess = Excess { over: 1, missing: 0 };

    /// All steps, as if each did what it should: dialogues are a third of a day, failures a tenth.
    fn steps(days: &[u64], today: u64, options: &Options) -> Vec<Step> {
        let mut days: Vec<_> = days.iter().map(|&no| held(no, 33)).collect();
        let mut steps = Vec::new();
        loop {
            let held = days.iter().map(|held| held.octets.all).sum::<u64>();
            let excess = if options.keep_octets != 0 && held > options.keep_octets { FULL } else { Excess::default() };
            let Some(step) = next_step(&days, (day(today), day(today)), options, excess, &BTreeSet::new()) else { return steps };
            steps.push(step);
            let (Step::DropDialogues(of) | Step::Thin(of) | Step::Remove(of)) = step;
            let held = days.iter_mut().find(|held| held.day == of).unwrap();
            match step {
                Step::DropDialogues(_) => (held.octets, held.dialogues) = (octets(held.octets.all - held.dialogues.all), octets(0)),
                Step::Thin(_) => {
                    (held.octets, held.dialogues, held.is_whole) = (octets(held.octets.all / 10), octets(held.dialogues.all / 10), false);
                }
                Step::Remove(_) => days.retain(|held| held.day != of),
            }
        }
    }

    #[track_caller]
    fn check(options: Options, expected: &[Step]) {
        assert_eq!(steps(&[10, 11, 14, 15], 15, &options), expected, "{options:?}");
    }

    fn options() -> Options {
        Options { keep_days: 0, ..Options::new("/nowhere") }
    }

    #[test]
    fn days_go_by_age_and_today_never() {
        use Step::{DropDialogues, Remove, Thin};
        check(options(), &[]);
        check(Options { keep_days: 5, ..options() }, &[]);
        check(Options { keep_days: 4, ..options() }, &[Remove(day(10))]);
        check(Options { keep_days: 3, keep_failures_days: 4, ..options() }, &[Remove(day(10)), Thin(day(11))]);
        check(Options { keep_days: 1, keep_failures_days: 9, ..options() }, &[Thin(day(10)), Thin(day(11))]);
        check(Options { keep_dialogues_days: 1, ..options() }, &[DropDialogues(day(10)), DropDialogues(day(11))]);
        let all = Options { keep_dialogues_days: 1, keep_days: 3, keep_failures_days: 4, ..options() };
        check(all, &[Remove(day(10)), Thin(day(11)), DropDialogues(day(11))]);
    }

    #[test]
    fn space_is_made_by_dialogues_first_then_successes_then_days() {
        use Step::{DropDialogues, Remove, Thin};
        let budget = |octets, keep_failures_days| Options { keep_octets: octets, keep_failures_days, ..options() };
        check(budget(400, 0), &[]);
        check(budget(399, 0), &[DropDialogues(day(10))]);
        let dialogues = [DropDialogues(day(10)), DropDialogues(day(11)), DropDialogues(day(14))];
        check(budget(301, 0), &dialogues);
        check(budget(300, 0), &[dialogues.as_slice(), &[Remove(day(10))]].concat());
        check(budget(1, 0), &[dialogues.as_slice(), &[Remove(day(10)), Remove(day(11)), Remove(day(14))]].concat());
        check(budget(241, 99), &[dialogues.as_slice(), &[Thin(day(10))]].concat());
        check(budget(120, 99), &[dialogues.as_slice(), &[Thin(day(10)), Thin(day(11)), Thin(day(14))]].concat());
        let thinned = [Thin(day(10)), Thin(day(11)), Thin(day(14)), Remove(day(10))];
        check(budget(117, 99), &[dialogues.as_slice(), &thinned].concat());
    }

    #[test]
    fn what_can_not_be_done_is_passed_over() {
        let held = |no| held(no, 0);
        let options = Options { keep_failures_days: 99, ..options() };
        let failed = BTreeSet::from([Step::Thin(day(10))]);
        let next = |days: &[Held], failed| next_step(days, (day(15), day(15)), &options, FULL, failed);
        assert_eq!(next(&[held(10), held(11), held(15)], &failed), Some(Step::Thin(day(11))));
        assert_eq!(next(&[held(10), held(15)], &failed), Some(Step::Remove(day(10))));
        assert_eq!(next(&[held(15)], &failed), None);
        assert_eq!(next(&[], &failed), None);
    }

    #[test]
    fn room_is_made_by_what_no_backup_links_to() {
        let linked = |no, alone| Held { octets: Octets { all: 100, alone }, dialogues: Octets { all: 33, alone: 0 }, ..held(no, 0) };
        let missing = Excess { over: 0, missing: 1 };
        let next = |days: &[Held], excess| next_step(days, (day(15), day(15)), &options(), excess, &BTreeSet::new());
        assert_eq!(next(&[linked(10, 10), linked(11, 60), held(15, 0)], missing), Some(Step::Remove(day(11))));
        assert_eq!(next(&[linked(10, 10), held(15, 0)], missing), None, "little would be freed");
        assert_eq!(next(&[linked(10, 0), held(15, 0)], FULL), Some(Step::DropDialogues(day(10))), "the store's own size goes down");
    }

    #[test]
    fn a_day_that_a_clock_behind_named_is_as_old_as_what_was_there_before_it() {
        let behind = Held { written: day(14), ..held(0, 0) };
        let options = Options { keep_days: 3, ..options() };
        let next = |days: &[Held], today, excess| next_step(days, (day(today), day(today)), &options, excess, &BTreeSet::new());
        assert_eq!(next(&[behind, held(13, 0), held(17, 0)], 16, Excess::default()), None);
        assert_eq!(next(&[behind, held(13, 0), held(17, 0)], 16, FULL), Some(Step::Remove(day(13))));
        assert_eq!(next(&[behind, held(17, 0)], 18, Excess::default()), Some(Step::Remove(day(0))));
    }
}
