//! A log as a file: plain or gzipped, its first octets, and how many New Years it spans.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

use flate2::read::MultiGzDecoder;

use super::lines::{Encoding, HEAD};
use super::moment::{self, Turns};
use crate::trace::WallMicros;

/// Octets that are read at once.
pub const PIECE: usize = 256 << 10;
/// Octets of a line that are looked at for its month.
const STAMP: u64 = 4 << 10;

/// An open log.
pub struct Source {
    reader: Box<dyn Read + Send>,
    pub is_gzip: bool,
    /// It can be read once, from its beginning to its end.
    pub is_pipe: bool,
    /// When it was last written to.
    pub modified: WallMicros,
}

impl Source {
    /// Opens a file at an offset of its content.
    ///
    /// # Errors
    /// It can't be opened or read, or is no gzip though it begins as one.
    pub fn open(path: &Path, from: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory: name the files"));
        }
        let since_1970 = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX);
        if !metadata.is_file() {
            // A pipe: nothing to look at beforehand.
            return Ok(Self { reader: Box::new(file), is_gzip: false, is_pipe: true, modified });
        }
        let mut magic = [0; 2];
        let is_gzip = file.read_exact(&mut magic).is_ok() && magic == [0x1F, 0x8B];
        file.rewind()?;
        if is_gzip {
            let mut reader = MultiGzDecoder::new(BufReader::with_capacity(PIECE, file));
            io::copy(&mut reader.by_ref().take(from), &mut io::sink())?;
            return Ok(Self { reader: Box::new(reader), is_gzip, is_pipe: false, modified });
        }
        file.seek(SeekFrom::Start(from))?;
        Ok(Self { reader: Box::new(file), is_gzip, is_pipe: false, modified })
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// The first octets of a file's content, so many at most.
///
/// # Errors
/// As [`Source::open`].
pub fn head(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    Source::open(path, 0)?.take(most as u64).read_to_end(&mut octets)?;
    Ok(octets)
}

/// How often the months of a file with times of traditional syslog begin anew, from an offset on; 0 for other files, which aren't read.
///
/// # Errors
/// As [`Source::open`].
pub fn turns(path: &Path, from: u64) -> io::Result<i64> {
    let first = head(path, HEAD)?;
    if Encoding::of(&first) != (Encoding::Octets, 0) || !moment::is_traditional(&first) {
        return Ok(0);
    }
    let (mut turns, mut line) = (Turns::default(), Vec::new());
    let mut reader = BufReader::with_capacity(PIECE, Source::open(path, from)?);
    loop {
        line.clear();
        let read = reader.by_ref().take(STAMP).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(turns.count());
        }
        turns.see(&line);
        if line.last() != Some(&b'\n') {
            reader.skip_until(b'\n')?;
        }
    }
}
