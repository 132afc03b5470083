//! What most people would use: SQLite in WAL mode, a row for each record and one for each key of it.

use std::path::Path;
use std::time::Instant;

use relayscope::trace::{Transaction, stored};

use crate::report::{self, percentiles};
use crate::{sample, trace};

/// Records of one database transaction: as many as an index thread takes at once.
const BATCH: u64 = 1000;

pub fn run(dir: &Path, records: u64) {
    let db = rusqlite::Connection::open(dir.join("traces.sqlite")).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536;
         CREATE TABLE records (number INTEGER PRIMARY KEY, octets BLOB NOT NULL);
         CREATE TABLE keys (key TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (key, number)) WITHOUT ROWID;",
    )
    .unwrap();
    let (begun, cpu) = (Instant::now(), report::cpu());
    {
        let mut put = db.prepare("INSERT INTO records VALUES (?, ?)").unwrap();
        let mut post = db.prepare("INSERT OR IGNORE INTO keys VALUES (?, ?)").unwrap();
        for first in (0..records).step_by(BATCH as usize) {
            db.execute_batch("BEGIN").unwrap();
            for no in first..(first + BATCH).min(records) {
                let record = sample(no);
                let keys = keys(&record);
                let octets = stored::encode(&trace::Record::Transaction(Box::new(record)), Vec::new()).unwrap();
                put.execute((no as i64, octets)).unwrap();
                for key in keys {
                    post.execute((key, no as i64)).unwrap();
                }
            }
            db.execute_batch("COMMIT").unwrap();
        }
    }
    let took = begun.elapsed();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    println!("\nsqlite             {records:>12}  records");
    println!("ingest, indexed    {:>12.0}  records/s", records as f64 / took.as_secs_f64());
    println!("cpu                {:>12.1}  µs a record", (report::cpu() - cpu).as_secs_f64() * 1e6 / records as f64);
    println!("on disk            {:>12.0}  octets a record", report::octets_in(dir) as f64 / records as f64);
    let find = |from: String, until: String, limit: u32| {
        let sql =
            "SELECT octets FROM records WHERE number IN (SELECT number FROM keys WHERE key >= ? AND key <= ? ORDER BY number DESC LIMIT ?)";
        let mut found = db.prepare_cached(sql).unwrap();
        let rows = found.query_map((from, until, limit), |row| row.get::<_, Vec<u8>>(0)).unwrap();
        rows.map(|octets| stored::decode(stored::VERSION, trace::RecordKind::Transaction, &octets.unwrap()).unwrap())
            .collect::<Vec<_>>()
            .len()
    };
    let some = |step: u64| (0..500u64).map(move |no| no.wrapping_mul(step) % records);
    let time = |name: &str, keys: &mut dyn Iterator<Item = (String, String)>, limit| {
        let times = keys.map(|(from, until)| {
            let begun = Instant::now();
            assert!(find(from, until, limit) > 0);
            begun.elapsed()
        });
        println!("{name:<18} {}", percentiles(times.collect()));
    };
    let exactly = |key: String| (key.clone(), key);
    time("<message-id>", &mut some(6_700_417).map(|no| exactly(format!("m {}", sample(no).message.message_id.unwrap()))), 25);
    time("recipient, 50", &mut some(500_009).map(|no| exactly(format!("to {}", sample(no).envelope.recipients[0].address))), 50);
    time("id fragment", &mut some(7_919_993).map(|no| begun_with(format!("mw {}", fragment(&sample(no))))), 25);
    time("subject word", &mut some(999_983).map(|no| exactly(format!("s {no}"))), 25);
}

/// The beginning of a word of the Message-ID.
pub fn fragment(record: &Transaction) -> String {
    record.message.message_id.as_deref().unwrap().split('.').nth(1).unwrap()[..7].to_owned()
}

fn begun_with(key: String) -> (String, String) {
    let until = format!("{key}\u{10FFFF}");
    (key, until)
}

/// What the trace store finds it by, too.
fn keys(it: &Transaction) -> Vec<String> {
    let words =
        |text: &str| text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect::<Vec<_>>();
    let (message, outcome, recipient) = (&it.message, &it.outcome, &it.envelope.recipients[0]);
    let reply = outcome.reply.as_ref().unwrap();
    let half = |address: &str, at: usize| address.split('@').nth(at).unwrap_or_default().to_lowercase();
    let id = message.message_id.as_deref().unwrap();
    let mut keys = vec![
        format!("id {}", it.id),
        format!("session {}", it.session_id),
        format!("m {id}"),
        format!("q {}", message.client_queue_id.as_deref().unwrap()),
        format!("from {}", it.envelope.reverse_path),
        format!("fl {}", half(&it.envelope.reverse_path, 0)),
        format!("fd {}", half(&it.envelope.reverse_path, 1)),
        format!("to {}", recipient.address),
        format!("tl {}", half(&recipient.address, 0)),
        format!("td {}", half(&recipient.address, 1)),
        format!("client {}", it.client.ip),
        format!("helo {}", it.client.helo.as_deref().unwrap_or_default()),
        format!("upstream {}", it.upstream.name),
        format!("host {}", it.upstream.host.as_deref().unwrap_or_default()),
        format!("listener {}", it.listener),
        format!("state {}", outcome.state),
        format!("stage {}", outcome.stage),
        format!("by {}", outcome.by),
        format!("code {}", reply.code),
        format!("enhanced {:?}", reply.enhanced),
        format!("digest {}", message.body_digest.unwrap()),
    ];
    keys.extend(outcome.upstream_queue_id.iter().map(|id| format!("q {id}")));
    keys.extend(words(id).into_iter().map(|word| format!("mw {word}")));
    keys.extend(words(message.subject.as_deref().unwrap()).into_iter().map(|word| format!("s {word}")));
    keys.extend(reply.lines.iter().flat_map(|line| words(line)).map(|word| format!("r {word}")));
    keys
}
