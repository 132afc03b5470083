//! Logs that grow, are rotated in every way, and are followed by somebody who comes and goes: each line once.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::options;
use super::source::bzip2;
use crate::import::{Cursor, Follower, Format, News};

/// A log, whoever writes it, and whoever follows it.
struct Scene {
    dir: tempfile::TempDir,
    log: PathBuf,
    written: u32,
    /// Queue ids in the order in which they were read.
    read: Vec<String>,
    follower: Option<Follower>,
    cursor: Option<Cursor>,
    news: Vec<News>,
    ticks: u64,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("mail.log");
        Self { dir, log, written: 0, read: Vec::new(), follower: None, cursor: None, news: Vec::new(), ticks: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The clock of the file system is too coarse for tests.
    fn touch(&mut self, path: &Path) {
        self.ticks += 1;
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(UNIX_EPOCH + Duration::from_secs(1_795_000_000 + self.ticks))
            .unwrap();
    }

    fn write(&mut self, octets: &[u8]) {
        let log = self.log.clone();
        File::options().append(true).create(true).open(&log).unwrap().write_all(octets).unwrap();
        self.touch(&log);
    }

    fn line(&mut self) -> String {
        self.written += 1;
        format!("2026-11-26T10:02:03Z mail postfix/qmgr[1]: {}: removed\n", id(self.written))
    }

    fn append(&mut self, lines: u32) {
        let text: String = (0..lines).map(|_| self.line()).collect();
        self.write(text.as_bytes());
    }

    /// Each file a number further, plain or not.
    fn shift(&self) {
        for number in (1..50).rev() {
            for end in ["", ".gz"] {
                let _ = fs::rename(self.path(&format!("mail.log.{number}{end}")), self.path(&format!("mail.log.{}{end}", number + 1)));
            }
        }
    }

    fn rotate_by_name(&mut self) {
        self.shift();
        let _ = fs::rename(&self.log, self.path("mail.log.1"));
        self.write(b"");
    }

    fn rotate_by_copy(&mut self) {
        self.shift();
        if self.log.exists() {
            let (log, copy) = (self.log.clone(), self.path("mail.log.1"));
            fs::copy(&log, &copy).unwrap();
            self.touch(&copy);
            File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
            self.touch(&log);
        }
    }

    fn compress(&mut self, number: u32) {
        let (plain, packed) = (self.path(&format!("mail.log.{number}")), self.path(&format!("mail.log.{number}.gz")));
        if let Ok(octets) = fs::read(&plain) {
            let modified = fs::metadata(&plain).unwrap().modified().unwrap();
            let mut encoder = GzEncoder::new(File::create(&packed).unwrap(), Compression::fast());
            encoder.write_all(&octets).unwrap();
            encoder.finish().unwrap().set_modified(modified).unwrap();
            fs::remove_file(plain).unwrap();
        }
    }

    /// Reads all that is there, as it would within some seconds.
    fn follow(&mut self) {
        let mut idle = 0;
        while idle < 4 {
            idle = if self.look().unwrap() { 0 } else { idle + 1 };
        }
    }

    /// Reads a piece, at most; whether there may be more.
    fn look(&mut self) -> std::io::Result<bool> {
        if self.follower.is_none() {
            self.follower = Some(Follower::start(&self.log, options(Format::Postfix), self.cursor.take(), &mut self.news).unwrap());
        }
        let mut entries = Vec::new();
        let is_more = self.follower.as_mut().unwrap().read(&mut entries, &mut self.news);
        self.read.extend(entries.into_iter().map(|it| it.entry.queue_id.unwrap()));
        is_more
    }

    /// Whoever follows ends, and keeps the place.
    fn leave(&mut self) {
        if let Some(follower) = self.follower.take() {
            self.cursor = follower.cursor();
        }
    }

    fn has_read_nothing(&self) -> bool {
        let cursor = self.follower.as_ref().map_or(self.cursor.clone(), Follower::cursor);
        cursor.is_none_or(|cursor| cursor.head.octets == 0)
    }

    #[track_caller]
    fn check(&self) {
        let expected: Vec<String> = (1..=self.written).map(id).collect();
        assert_eq!(self.read, expected, "{:?}", self.news);
    }
}

fn id(number: u32) -> String {
    format!("4F1A2B{number:04X}")
}

#[test]
fn half_a_line_waits_for_its_other_half() {
    let mut scene = Scene::new();
    let line = scene.line();
    let (half, rest) = line.split_at(30);
    scene.write(half.as_bytes());
    scene.follow();
    assert_eq!(scene.read, [""; 0]);
    // Whoever comes anew reads it from its beginning.
    scene.leave();
    scene.follow();
    scene.write(rest.as_bytes());
    scene.follow();
    scene.check();
}

#[test]
fn a_renamed_log_is_read_to_its_end() {
    let mut scene = Scene::new();
    scene.append(3);
    scene.follow();
    scene.append(2);
    fs::rename(&scene.log, scene.path("mail.log.1")).unwrap();
    scene.follow();
    // The writer still holds the old one, though the new one is there.
    scene.write(b"");
    scene.follow();
    let late = scene.line();
    File::options().append(true).open(scene.path("mail.log.1")).unwrap().write_all(late.as_bytes()).unwrap();
    scene.follow();
    scene.append(2);
    scene.follow();
    scene.check();
    assert!(scene.news.contains(&News::Rotated { path: scene.log.clone() }), "{:?}", scene.news);
}

#[test]
fn what_came_while_nobody_followed_is_found_in_the_rotated_files() {
    let mut scene = Scene::new();
    scene.append(3);
    scene.follow();
    scene.leave();
    for _ in 0..3 {
        scene.append(2);
        scene.rotate_by_name();
    }
    scene.append(1);
    [3, 2].iter().for_each(|number| scene.compress(*number));
    scene.news.clear();
    scene.follow();
    scene.check();
    let rest = News::Rest { path: scene.path("mail.log.3.gz"), at: scene.line().len() as u64 * 3 };
    assert_eq!(scene.news.first(), Some(&rest), "{:?}", scene.news);
}

#[test]
fn what_is_rotated_while_it_waits_to_be_read_is_found() {
    let mut scene = Scene::new();
    scene.append(3);
    scene.follow();
    scene.leave();
    for _ in 0..4 {
        scene.append(2);
        scene.rotate_by_name();
    }
    scene.append(1);
    // The first is being read, and the others wait.
    scene.look().unwrap();
    scene.rotate_by_name();
    scene.append(1);
    [3, 4].iter().for_each(|number| scene.compress(*number));
    scene.follow();
    scene.check();
}

#[test]
fn a_file_that_cannot_be_opened_waits_until_it_can() {
    let mut scene = Scene::new();
    scene.append(1);
    scene.follow();
    scene.leave();
    scene.rotate_by_name();
    // Without a year all of it is read for New Year before it is read, and half of what was compressed has no end.
    let lines: String = (0..3_000).map(|_| scene.line().replace("2026-11-26T10:02:03Z", "Nov 26 10:02:03")).collect();
    scene.write(lines.as_bytes());
    scene.rotate_by_name();
    scene.compress(1);
    scene.append(1);
    let packed = scene.path("mail.log.1.gz");
    let whole = fs::read(&packed).unwrap();
    fs::write(&packed, whole.get(..whole.len() / 2).unwrap()).unwrap();
    scene.touch(&packed);
    scene.touch(&scene.log.clone());
    let failed = (0..4).find_map(|_| scene.look().err()).unwrap();
    assert!(failed.to_string().contains("mail.log.1.gz"), "{failed}");
    assert!(scene.look().is_err());
    fs::write(&packed, whole).unwrap();
    scene.touch(&packed);
    scene.follow();
    scene.check();
}

#[test]
fn a_file_that_is_gone_before_its_turn_is_told() {
    let mut scene = Scene::new();
    scene.append(1);
    scene.follow();
    scene.leave();
    for _ in 0..2 {
        scene.append(1);
        scene.rotate_by_name();
    }
    scene.append(1);
    scene.look().unwrap();
    fs::remove_file(scene.path("mail.log.1")).unwrap();
    scene.follow();
    assert_eq!(scene.read, [1, 2, 4].map(id));
    assert!(scene.news.contains(&News::Gone { path: scene.path("mail.log.1") }), "{:?}", scene.news);
}

#[test]
fn rotated_files_are_unpacked_or_told() {
    let mut scene = Scene::new();
    scene.append(2);
    scene.follow();
    scene.leave();
    scene.append(2);
    scene.rotate_by_name();
    let plain = fs::read(scene.path("mail.log.1")).unwrap();
    let packed = scene.path("mail.log.1.zst");
    fs::write(&packed, zstd::encode_all(plain.as_slice(), 3).unwrap()).unwrap();
    fs::remove_file(scene.path("mail.log.1")).unwrap();
    scene.touch(&packed);
    let lost = scene.path("mail.log.2.bz2");
    fs::write(&lost, bzip2()).unwrap();
    scene.touch(&lost);
    scene.append(1);
    scene.follow();
    scene.check();
    let told: Vec<_> =
        scene.news.iter().filter_map(|it| if let News::Packed { path, why } = it { Some((path, why)) } else { None }).collect();
    assert!(matches!(told.as_slice(), [(path, why)] if **path == lost && why.contains("bzcat")), "{:?}", scene.news);
}

#[test]
fn what_cannot_be_unpacked_is_not_the_newest_of_a_pattern() {
    let mut scene = Scene::new();
    scene.append(2);
    let packed = scene.path("mail.log.1.bz2");
    fs::write(&packed, bzip2()).unwrap();
    scene.touch(&packed);
    scene.log = scene.path("mail.*");
    scene.follow();
    scene.check();
}

#[test]
fn an_emptied_log_is_noticed() {
    let mut scene = Scene::new();
    scene.append(3);
    scene.follow();
    scene.append(2);
    scene.rotate_by_copy();
    scene.append(1);
    scene.follow();
    scene.check();
    assert!(scene.news.contains(&News::Truncated { path: scene.log.clone() }), "{:?}", scene.news);
}

#[test]
fn what_is_missed_is_told() {
    let mut scene = Scene::new();
    scene.append(3);
    scene.follow();
    scene.leave();
    fs::remove_file(&scene.log).unwrap();
    scene.append(1);
    scene.follow();
    scene.check();
    assert!(
        matches!(scene.news.as_slice(), [News::Began { at: 0, .. }, News::Missed { at: 189 }, News::Began { at: 0, .. }]),
        "{:?}",
        scene.news
    );
}

#[test]
fn a_log_that_is_yet_to_come_is_waited_for() {
    let mut scene = Scene::new();
    scene.follow();
    assert_eq!(scene.news, [News::Absent]);
    scene.append(2);
    scene.follow();
    scene.check();
}

#[test]
fn of_a_pattern_the_newest_grows() {
    let mut scene = Scene::new();
    let log = |hour: u32| scene.dir.path().join(format!("MSGTRK202611261{hour}-1.LOG"));
    let head = "#Fields: date-time,event-id,source,internal-message-id\r\n";
    let line = |id: u32| format!("2026-11-26T10:02:03.000Z,SEND,SMTP,{id}\r\n");
    let files = [log(0), log(1)];
    fs::write(&files[0], format!("{head}{}", line(1))).unwrap();
    let pattern = scene.dir.path().join("MSGTRK2*.LOG");
    let mut news = Vec::new();
    let mut follower = Follower::start(&pattern, options(Format::Exchange), None, &mut news).unwrap();
    let mut ids = Vec::new();
    let mut read = |follower: &mut Follower, news: &mut Vec<News>| {
        let mut entries = Vec::new();
        for _ in 0..6 {
            follower.read(&mut entries, news).unwrap();
        }
        ids.extend(entries.into_iter().map(|it| it.entry.queue_id.unwrap()));
    };
    read(&mut follower, &mut news);
    // From the cursor on the columns are known though they stand at the beginning.
    let cursor = follower.cursor();
    let mut follower = Follower::start(&pattern, options(Format::Exchange), cursor, &mut news).unwrap();
    File::options().append(true).open(&files[0]).unwrap().write_all(line(2).as_bytes()).unwrap();
    scene.touch(&files[0]);
    read(&mut follower, &mut news);
    fs::write(&files[1], format!("{head}{}", line(3))).unwrap();
    read(&mut follower, &mut news);
    assert_eq!((ids, follower.counts().unreadable), (vec!["1".to_owned(), "2".to_owned(), "3".to_owned()], 0), "{news:?}");
}

#[test]
fn a_pattern_that_fits_two_sequences_reads_no_line_twice_and_says_so() {
    let mut scene = Scene::new();
    let (kept, other) = (scene.path("MSGTRK2026112610-1.LOG"), scene.path("MSGTRKMD2026112610-1.LOG"));
    let pattern = scene.path("MSGTRK*.LOG");
    let mut follower: Option<Follower> = None;
    let (mut ids, mut news) = (Vec::new(), Vec::new());
    for (number, path) in (1..).zip([&kept, &other, &kept, &other, &kept]) {
        let head = if path.exists() {
            String::new()
        } else {
            format!("#Date: {number}\r\n#Fields: date-time,event-id,source,internal-message-id\r\n")
        };
        let line = format!("{head}2026-11-26T10:02:03.000Z,SEND,SMTP,{number}\r\n");
        File::options().append(true).create(true).open(path).unwrap().write_all(line.as_bytes()).unwrap();
        scene.touch(path);
        let follower = follower.get_or_insert_with(|| Follower::start(&pattern, options(Format::Exchange), None, &mut news).unwrap());
        let mut entries = Vec::new();
        for _ in 0..6 {
            follower.read(&mut entries, &mut news).unwrap();
        }
        ids.extend(entries.into_iter().map(|it| it.entry.queue_id.unwrap()));
    }
    assert_eq!(ids, ["1", "2", "4"], "{news:?}");
    let returned = news.iter().filter(|it| **it == News::Returned { path: kept.clone() }).count();
    assert_eq!(returned, 1, "{news:?}");
}

#[test]
fn the_place_is_kept_whole() {
    let mut scene = Scene::new();
    scene.append(2);
    scene.follow();
    let cursor = scene.follower.as_ref().and_then(Follower::cursor).unwrap();
    let file = Cursor::file(scene.dir.path(), &scene.log);
    assert_eq!(Cursor::load(&file).unwrap(), None);
    cursor.save(&file).unwrap();
    assert_eq!(Cursor::load(&file).unwrap(), Some(cursor));
    fs::write(&file, "{").unwrap();
    assert!(Cursor::load(&file).is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Append(u32),
    RotateByName,
    RotateByCopy,
    Compress(u32),
    Follow,
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u32..6).prop_map(Step::Append),
        2 => Just(Step::RotateByName),
        1 => Just(Step::RotateByCopy),
        2 => (1u32..4).prop_map(Step::Compress),
        4 => Just(Step::Follow),
        2 => Just(Step::Leave),
    ]
}

fn move_or_look() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u32..6).prop_map(Step::Append),
        3 => Just(Step::RotateByName),
        2 => (1u32..6).prop_map(Step::Compress),
        6 => Just(Step::Follow),
        1 => Just(Step::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// One who came before the first rotation gets each line once, in order, whatever is done to the files.
    #[test]
    fn every_line_is_read_once(steps in proptest::collection::vec(step(), 1..30)) {
        let mut scene = Scene::new();
        scene.append(1);
        scene.follow();
        for step in steps {
            match step {
                Step::Append(lines) => scene.append(lines),
                Step::RotateByName => scene.rotate_by_name(),
                Step::RotateByCopy => {
                    // Of a file that was empty when it was left, and is emptied again, nothing tells that there was something in it.
                    if scene.has_read_nothing() {
                        scene.follow();
                    }
                    scene.rotate_by_copy();
                }
                Step::Compress(number) => scene.compress(number),
                Step::Follow => scene.follow(),
                Step::Leave => scene.leave(),
            }
        }
        // Rotation is noticed once the new file grows.
        scene.append(1);
        scene.follow();
        scene.check();
    }
    /// The same where files are renamed and compressed while others wait to be read.
    #[test]
    fn every_line_is_read_once_while_files_move(steps in proptest::collection::vec(move_or_look(), 1..40)) {
        let mut scene = Scene::new();
        scene.append(1);
        scene.follow();
        for step in steps {
            match step {
                Step::Append(lines) => scene.append(lines),
                Step::RotateByName => scene.rotate_by_name(),
                Step::Compress(number) => scene.compress(number),
                Step::Leave => scene.leave(),
                _ => {
                    scene.look().unwrap();
                }
            }
        }
        scene.append(1);
        scene.follow();
        scene.check();
    }
}
