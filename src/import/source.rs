//! A log as a file: plain or packed, its first octets, how many New Years it spans, and what its dates look like.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::dates::DateOrder;
use super::lines::{Encoding, HEAD};
use super::moment::{self, Turns};
use super::reader::{Options, Reader};
use crate::trace::WallMicros;

/// Octets that are read at once.
pub const PIECE: usize = 256 << 10;
/// Octets of a line that are looked at for its month.
const STAMP: u64 = 4 << 10;

/// Octets that show how a file is packed.
const MAGIC: usize = 10;
/// KiB that unpacking may need: xz with its highest level needs 65 MiB.
const UNPACKING: u32 = 256 << 10;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Gzip,
    Xz,
    Zstd,
    /// It isn't read here: its name, and the command that unpacks it.
    Other(&'static str, &'static str),
}

impl Packing {
    /// By the first octets; `None` for what isn't packed.
    fn of(magic: &[u8]) -> Option<Self> {
        Some(match magic {
            [0x1F, 0x8B, ..] => Self::Gzip,
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..] => Self::Other("bzip2", "bzcat"),
            [b'L', b'Z', b'I', b'P', 1, ..] => Self::Other("lzip", "lzip -dc"),
            [0x04, 0x22, 0x4D, 0x18, ..] => Self::Other("lz4", "lz4cat"),
            [0x1F, 0x9D, ..] => Self::Other("compress", "zcat"),
            [b'P', b'K', 3, 4, ..] => Self::Other("zip", "unzip -p"),
            [b'7', b'z', 0xBC, 0xAF, 0x27, 0x1C, ..] => Self::Other("7-Zip", "7z x -so"),
            _ => return None,
        })
    }
}

/// An open log.
pub struct Source {
    reader: Box<dyn Read + Send>,
    pub is_packed: bool,
    /// It can be read once, from its beginning to its end.
    pub is_pipe: bool,
    /// When it was last written to.
    pub modified: WallMicros,
}

impl Source {
    /// Opens a file at an offset of its content.
    ///
    /// # Errors
    /// It can't be opened or read, is packed in a way that isn't read here, or isn't packed as it says at its beginning.
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
            return Ok(Self { reader: Box::new(file), is_packed: false, is_pipe: true, modified });
        }
        let mut magic = Vec::with_capacity(MAGIC);
        file.by_ref().take(MAGIC as u64).read_to_end(&mut magic)?;
        let Some(packing) = Packing::of(&magic) else {
            file.seek(SeekFrom::Start(from))?;
            return Ok(Self { reader: Box::new(file), is_packed: false, is_pipe: false, modified });
        };
        file.rewind()?;
        let packed = BufReader::with_capacity(PIECE, file);
        let mut reader: Box<dyn Read + Send> = match packing {
            Packing::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Packing::Xz => Box::new(XzReader::new_mem_limit(packed, true, UNPACKING)),
            Packing::Zstd => Box::new(ZstdDecoder::with_buffer(packed)?),
            Packing::Other(name, command) => {
                let why = format!(
                    "it is packed with {name}, which is not read here: {command} FILE | relayscope import FORMAT - (with --dates dmy or mdy for dates such as 12/11/2026)"
                );
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
        };
        io::copy(&mut reader.by_ref().take(from), &mut io::sink())?;
        Ok(Self { reader, is_packed: true, is_pipe: false, modified })
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Whether a file is packed, in a way that is read here.
pub fn is_packed(path: &Path) -> bool {
    Source::open(path, 0).is_ok_and(|it| it.is_packed)
}

/// Why a file can't be read for the way that it is packed, if that is so.
pub fn not_unpacked(path: &Path) -> Option<String> {
    Source::open(path, 0).err().filter(|it| it.kind() == io::ErrorKind::Unsupported).map(|it| it.to_string())
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

/// Which of day and month comes first in the dates of a file, by the first line that shows it; what the options say counts more. `None` where
/// nothing shows it, or where the first lines have no such dates: the others aren't read then.
///
/// # Errors
/// As [`Source::open`].
pub fn dates(path: &Path, options: &Options) -> io::Result<Option<DateOrder>> {
    if options.dates.is_some() || !options.format.is_for_people() {
        return Ok(options.dates);
    }
    let (mut source, mut reader) = (Source::open(path, 0)?, Reader::new(Options { from: None, ..options.clone() }));
    let (mut buffer, mut dropped) = (vec![0; PIECE], Vec::new());
    loop {
        let read = source.read(&mut buffer)?;
        reader.feed(buffer.get(..read).unwrap_or_default(), &mut dropped);
        if read == 0 {
            reader.finish(&mut dropped);
        }
        dropped.clear();
        if read == 0 || reader.date_order().is_some() || !reader.has_met_dates() {
            return Ok(reader.date_order());
        }
    }
}
