//! Each format's event of each record, octet for octet.

use std::path::Path;

use relayscope::export::format::{Encoder, Format};
use relayscope::trace::record::Mark;
use relayscope::trace::{Direction, Record};

use super::{context, encoded, records};

#[test]
fn events_are_as_in_the_golden_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/export");
    let bless = std::env::var_os("RELAYSCOPE_BLESS").is_some();
    let mut wrong = Vec::new();
    for format in Format::ALL {
        let folder = folder.join(format.word());
        let mut encoder = Encoder::new(format, context());
        let mut there: Vec<String> = Vec::new();
        for (name, record) in records::all() {
            let mut event = Vec::new();
            encoder.encode(&record, &mut event).unwrap();
            assert_eq!(event, encoded(format, &record).0, "an encoder that was used before says the same");
            event.push(b'\n');
            let file = folder.join(name);
            if bless {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&file, &event).unwrap();
            }
            if std::fs::read(&file).unwrap_or_default() != event {
                wrong.push(format!("{}: {}", file.display(), String::from_utf8_lossy(&event)));
            }
            there.push(name.to_owned());
        }
        let mut files: Vec<String> = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        there.sort();
        assert_eq!(files, there, "files of {} (left) and records (right)", folder.display());
    }
    assert!(wrong.is_empty(), "not as in the files:\n{}", wrong.join("\n"));
}

#[test]
fn marks_and_lines_of_logs_are_not_forwarded() {
    let it = records::accepted();
    let mark = Record::Mark(Box::new(Mark {
        id: it.id,
        session_id: it.session_id,
        transaction_no: 1,
        origin: it.origin,
        at: it.at,
        listener: it.listener,
        direction: Direction::Outbound,
        client: it.client,
        upstream: it.upstream,
        envelope: it.envelope,
        message: None,
    }));
    for format in Format::ALL {
        let mut out = b"as it was".to_vec();
        assert_eq!(Encoder::new(format, context()).encode(&mark, &mut out), None);
        assert_eq!(out, b"as it was");
    }
}

#[test]
fn the_words_of_the_configuration_are_the_formats() {
    for format in Format::ALL {
        assert_eq!(serde_json::to_value(format).unwrap(), format.word());
        assert_eq!(serde_json::from_value::<Format>(format.word().into()).unwrap(), format);
    }
    assert_eq!(Format::default(), Format::Json);
}

#[test]
fn meta_says_what_a_transport_needs() {
    for (name, record) in records::all() {
        let (_, meta) = encoded(Format::Cef, &record);
        let fits = (1..=32).contains(&meta.msgid.len()) && meta.msgid.bytes().all(|octet| octet.is_ascii_graphic());
        assert!(fits, "{name}: {:?} is no MSGID of RFC 5424", meta.msgid);
        assert!(meta.severity.syslog() <= 7 && meta.id == record.id() && !meta.name.is_empty(), "{meta:?}");
    }
}
