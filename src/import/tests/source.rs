//! Logs as files: packed in every way, and looked at before they are read.

use std::fs;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::options;
use crate::import::source::{self, Source};
use crate::import::{DateOrder, Format};

pub const LINE: &str = "2026-11-26T10:02:03Z mail postfix/qmgr[1]: 4F1A2B3C4D: removed\n";
/// The line twice, packed one after the other by `xz`.
const XZ: &str = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQA+MjAyNi0xMS0yNlQxMDowMjowM1ogbWFpbCBwb3N0Zml4L3FtZ3JbMV06IDRGMUEyQjNDNEQ6IHJlbW92ZWQKAAD2dbeJ\
                  6US3vgABVz+FUxpjH7bzfQEAAAAABFla/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQA+MjAyNi0xMS0yNlQxMDowMjowM1ogbWFpbCBwb3N0Zml4L3FtZ3JbMV06IDRG\
                  MUEyQjNDNEQ6IHJlbW92ZWQKAAD2dbeJ6US3vgABVz+FUxpjH7bzfQEAAAAABFla";
/// The line once, packed by `bzip2`.
const BZIP2: &str = "QlpoOTFBWSZTWWuVAwIAAAjfgAAQQAL9ED0ABBonpv1AIABUUJpptRkGmTAhmoIpjSBiD1PRDRoHqRcU1wvR4gwDccX4iotFnm8JSayCoyAl+NpNBQead7iA5Itc\
                     4/GD8XckU4UJBrlQMCA=";

pub fn bzip2() -> Vec<u8> {
    STANDARD.decode(BZIP2).unwrap()
}

#[test]
fn packed_files_are_read_from_any_place() {
    let zstd = [zstd::encode_all(LINE.as_bytes(), 3).unwrap(), zstd::encode_all(LINE.as_bytes(), 3).unwrap()].concat();
    let file = tempfile::NamedTempFile::new().unwrap();
    for packed in [STANDARD.decode(XZ).unwrap(), zstd] {
        fs::write(file.path(), &packed).unwrap();
        for from in [0, 10, LINE.len(), LINE.len() * 2] {
            let (mut source, mut text) = (Source::open(file.path(), from as u64).unwrap(), String::new());
            source.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), source.is_packed), (&LINE.repeat(2)[from..], true));
        }
        fs::write(file.path(), &packed[..packed.len() - 4]).unwrap();
        assert!(Source::open(file.path(), 0).unwrap().read_to_string(&mut String::new()).is_err(), "half of it is no log");
    }
}

#[test]
fn what_cannot_be_unpacked_is_refused_with_advice() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let others: [(&[u8], &str); 6] = [
        (&bzip2(), "bzip2, which is not read here: bzcat FILE | relayscope import FORMAT - (with --dates dmy or mdy "),
        (b"LZIP\x01", "lzip"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"\x1f\x9d\x90", "compress"),
        (b"PK\x03\x04", "zip"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    ];
    for (octets, words) in others {
        fs::write(file.path(), octets).unwrap();
        let error = Source::open(file.path(), 0).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
    fs::write(file.path(), "BZh9 is how this text begins\n").unwrap();
    assert_eq!(source::not_unpacked(file.path()), None);
}

#[test]
fn the_order_of_a_date_is_looked_for_ahead() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let order = |format, text: &str| {
        fs::write(file.path(), text).unwrap();
        source::dates(file.path(), &options(format)).unwrap()
    };
    let line = |date: &str| format!("[1234:0005-0006] {date} 10:02:02 AM  Router: x\n");
    let undecided = line("11/12/2026").repeat(10_000);
    assert_eq!(order(Format::Domino, &format!("{undecided}{}", line("13/11/2026"))), Some(DateOrder::DayFirst));
    assert_eq!(order(Format::Domino, &format!("{undecided}{}", line("11/26/2026"))), Some(DateOrder::MonthFirst));
    assert_eq!(order(Format::Domino, &undecided), None);
    let new_year = line("01/01/2026").repeat(10_000);
    assert_eq!(
        order(Format::Domino, &format!("{new_year}{}", line("13/01/2026"))),
        Some(DateOrder::DayFirst),
        "day and month are the same"
    );
    assert_eq!(order(Format::Domino, &line("26.11.2026")), None);
    let export = "\"Timestamp\",\"EventId\",\"RecipientStatus\"\n\"12/11/2026 10:02:03\",\"FAIL\",\"{LRT=11/26/2026 10:02:05 AM}\"\n";
    assert_eq!(order(Format::Exchange, export), None, "dates of other columns are written by others");
    assert_eq!(order(Format::Exchange, &format!("{export}\"13/11/2026 10:02:03\",\"FAIL\",\"\"\n")), Some(DateOrder::DayFirst));
    assert_eq!(order(Format::Postfix, LINE), None);
}
