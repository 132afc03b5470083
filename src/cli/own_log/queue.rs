//! Lines of the log on their way to standard error. One thread writes them, so that a reader that stands still (a container's log driver, a
//! terminal after Ctrl-S, a disk that hangs) costs lines of the log, and keeps nothing waiting that serves mail.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::not_taken;

/// Octets that wait at most, beside as many that are being written.
const ROOM: usize = 1 << 20;

/// A line of its own with these words, in the log's form.
pub(super) type Note = fn(&str) -> String;

/// Where lines are handed in. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines for which there was no room, and which nobody was told of.
    lost: u64,
    is_writing: bool,
}

impl State {
    fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.lost == 0 && !self.is_writing
    }
}

impl Queue {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn start(out: impl Write + Send + 'static, note: Note) -> io::Result<Self> {
        let queue = Self::default();
        let theirs = queue.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || theirs.serve(out, note))?;
        Ok(queue)
    }

    /// One line, or several that belong together. Waits for nobody.
    fn put(&self, line: &[u8]) {
        let mut state = self.state();
        if state.waiting.len() + line.len() > ROOM {
            state.lost += lines(line);
        } else {
            state.waiting.extend_from_slice(line);
        }
        drop(state);
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, but not for ever; whether it is.
    pub fn settle(&self, limit: Duration) -> bool {
        let settled = self.0.changed.wait_timeout_while(self.state(), limit, |state| !state.is_settled());
        settled.unwrap_or_else(PoisonError::into_inner).0.is_settled()
    }

    fn serve(&self, mut out: impl Write, note: Note) {
        let (mut batch, mut untold) = (Vec::new(), 0);
        loop {
            let lost = self.next(&mut batch);
            untold += write(&mut out, &batch);
            batch.clear();
            untold += lost;
            if untold > 0 && write(&mut out, note(&not_taken("standard error", untold)).as_bytes()) == 0 {
                untold = 0;
            }
        }
    }

    /// Takes everything that waits, once something does, and the number of lines for which there was no room behind it.
    fn next(&self, batch: &mut Vec<u8>) -> u64 {
        let mut state = self.state();
        state.is_writing = false;
        self.0.changed.notify_all();
        let changed = self.0.changed.wait_while(state, |state| state.is_settled());
        let mut state = changed.unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        std::mem::swap(&mut state.waiting, batch);
        std::mem::take(&mut state.lost)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of it, or gives up; how many lines were not taken whole.
fn write(out: &mut impl Write, mut octets: &[u8]) -> u64 {
    while !octets.is_empty() {
        match out.write(octets) {
            Ok(0) => break,
            Ok(taken) => octets = octets.get(taken..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    lines(octets)
}

fn lines(octets: &[u8]) -> u64 {
    octets.iter().filter(|&&octet| octet == b'\n').count() as u64
}

/// A line comes whole, in one write.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader};

    use super::*;

    /// A queue, and who reads what it writes.
    fn queue() -> (Queue, BufReader<PipeReader>) {
        let (reader, writer) = io::pipe().unwrap();
        (Queue::start(writer, |words| format!("note: {words}\n")).unwrap(), BufReader::new(reader))
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_keeps_nobody_waiting() {
        let (queue, reader) = queue();
        // More than the pipe, what is being written and what waits hold together.
        let line = format!("{}\n", "x".repeat(1023));
        let put = 4 * ROOM / line.len();
        (0..put).for_each(|_| queue.put(line.as_bytes()));
        assert!(!queue.settle(Duration::ZERO));

        // Each line came, or is told to have been lost, perhaps in two notes; the last without another line: whoever reads again is told.
        let mut read = reader.lines().map(Result::unwrap);
        let (mut came, mut lost) = (0, 0);
        while came + lost < put {
            let line = read.next().unwrap();
            match line.strip_prefix("note: standard error did not take ").and_then(|rest| rest.split(' ').next()) {
                Some(many) => lost += many.parse::<usize>().unwrap(),
                None => came += usize::from(line.len() == 1023),
            }
        }
        assert!(came > 0 && lost > 0);
        queue.put(b"room\n");
        assert_eq!(read.next().unwrap(), "room");
    }

    #[test]
    fn what_was_handed_in_is_written_before_the_end() {
        let (queue, reader) = queue();
        let reading = std::thread::spawn(move || reader.lines().take(1_000).map(Result::unwrap).collect::<Vec<_>>());
        (0..1_000).for_each(|number| queue.put(format!("{number}\n").as_bytes()));
        assert!(queue.settle(Duration::from_secs(60)));
        assert_eq!(reading.join().unwrap().last().unwrap(), "999");
    }

    #[test]
    fn lines_that_a_full_disk_refused_are_told_when_there_is_room() {
        /// Full, until it was asked so often.
        struct Full(u32, Vec<u8>);
        impl Write for Full {
            fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
                let Some(left) = self.0.checked_sub(1) else { return self.1.write(octets) };
                self.0 = left;
                Err(ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Full(2, Vec::new());
        assert_eq!((write(&mut out, b"one\ntwo\n"), write(&mut out, b"note\n"), write(&mut out, b"three\n")), (2, 1, 0));
        assert_eq!(out.1, b"three\n");
    }
}
