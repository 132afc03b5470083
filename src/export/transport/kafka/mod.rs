//! Kafka: each event is a record of a topic, with its id as the key. It counts when all replicas in sync have it (`acks=all`).
//!
//! Order holds within a partition, so all events go to one, unless they are to be spread by their keys. What a broker will never take of a
//! batch is found by halving it, and left out. Reading order: here, [`cluster`] (who leads which partition), [`connection`] (to one broker),
//! [`partition`] (which one a key belongs to), [`words`] (what brokers say, for people).

mod cluster;
mod connection;
mod partition;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use rskafka::protocol::error::Error as Code;

use self::cluster::Cluster;
use self::connection::Trouble;
use self::partition::partition_of;
use super::{Failure, Taken};
use crate::export::batch::Batch;
use crate::net::tls::ClientTls;
use crate::store::Cursor;

/// A broker may ask for a longer pause (its quota); it isn't kept longer than that.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Where to.
#[derive(Debug, Clone)]
pub struct Options {
    /// Those that are asked first; they tell of the others.
    pub brokers: Vec<(String, u16)>,
    pub tls: Option<ClientTls>,
    pub login: Option<Login>,
    pub topic: String,
    pub partition: Partition,
    pub gzip: bool,
    /// Said in a header of each record: "json".
    pub format: &'static str,
}

/// Which partition of the topic an event goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// All to this one, in order.
    One(i32),
    /// By its key, as Java's clients do (murmur2).
    OfKey,
}

/// Who Relayscope is to the brokers.
#[derive(Debug, Clone)]
pub struct Login {
    pub mechanism: Mechanism,
    pub user: String,
    pub password: Password,
}

/// A password that never shows itself.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    pub fn new(password: String) -> Self {
        Self(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// SASL (RFC 4422) mechanisms that Kafka has for passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls.is_some() { "tls://" } else { "tcp://" })?;
        for (number, (host, port)) in self.brokers.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{}", connection::shown(host, *port))?;
        }
        write!(f, " topic {}", self.topic)
    }
}

/// A topic of a cluster.
#[derive(Debug)]
pub struct Kafka {
    options: Options,
    cluster: Option<Cluster>,
    /// Until then the brokers want to be left alone.
    quiet_until: Option<Instant>,
    /// Events of a batch that failed which their partitions have: they aren't sent again with the rest. Known by the place behind them.
    there: BTreeSet<Cursor>,
    pub at: Cursor,
}

/// Events of a batch on their way, by partition. Each part is a stretch of the partition's events that is sent at once.
#[derive(Debug)]
struct Parcel {
    /// Places in the batch.
    events: Vec<usize>,
    parts: VecDeque<Range<usize>>,
}

impl Parcel {
    fn next(&self) -> &[usize] {
        self.parts.front().and_then(|part| self.events.get(part.clone())).unwrap_or_default()
    }

    /// The part that comes next is sent as two, the first half first.
    fn halve(&mut self) {
        if let Some(Range { start, end }) = self.parts.pop_front() {
            let middle = start + (end - start) / 2;
            self.parts.push_front(middle..end);
            self.parts.push_front(start..middle);
        }
    }
}

impl Kafka {
    pub fn new(options: Options, at: Cursor) -> Self {
        Self { options, cluster: None, quiet_until: None, there: BTreeSet::new(), at }
    }

    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        if let Some(until) = self.quiet_until.take() {
            tokio::time::sleep_until(until.into()).await;
        }
        let was_joined = self.cluster.is_some();
        let mut parcels = None;
        let mut taken = Taken::default();
        let mut sent = self.deliver(batch, &mut parcels, &mut taken).await;
        // Brokers close connections that are idle, and leaders change: no failure, if it works with a new look at the cluster.
        if was_joined && sent.as_ref().is_err_and(Trouble::is_stale) {
            sent = self.deliver(batch, &mut parcels, &mut taken).await;
        }
        match sent {
            Ok(()) => {
                self.at = batch.after;
                self.there.clear();
                Ok(taken)
            }
            Err(trouble) => Err(Failure::passing(self.options.explained(&trouble))),
        }
    }

    /// Begins elsewhere, or passes over what isn't for this receiver.
    pub fn go_to(&mut self, at: Cursor) {
        self.at = at;
        self.there.clear();
    }

    /// Sends what is left of the batch. After a failure the cluster is looked at anew.
    async fn deliver(&mut self, batch: &Batch, parcels: &mut Option<BTreeMap<i32, Parcel>>, taken: &mut Taken) -> Result<(), Trouble> {
        let mut cluster = match self.cluster.take() {
            Some(cluster) => cluster,
            None => Cluster::join(&self.options).await?,
        };
        let parcels = match parcels {
            Some(parcels) => parcels,
            None => parcels.insert(self.parcels(batch, cluster.partitions())),
        };
        while !parcels.is_empty() {
            self.round(&mut cluster, batch, parcels, taken).await?;
        }
        self.cluster = Some(cluster);
        Ok(())
    }

    fn parcels(&self, batch: &Batch, partitions: i32) -> BTreeMap<i32, Parcel> {
        let mut parcels: BTreeMap<i32, Parcel> = BTreeMap::new();
        for (place, event) in batch.events().iter().enumerate().filter(|(_, event)| !self.there.contains(&event.after)) {
            let partition = match self.options.partition {
                Partition::One(partition) => partition,
                Partition::OfKey => partition_of(event.meta.id.to_string().as_bytes(), partitions),
            };
            parcels.entry(partition).or_insert_with(|| Parcel { events: Vec::new(), parts: VecDeque::new() }).events.push(place);
        }
        for parcel in parcels.values_mut() {
            parcel.parts.push_back(0..parcel.events.len());
        }
        parcels
    }

    /// One request to each leader, with the next part for each of its partitions.
    async fn round(
        &mut self,
        cluster: &mut Cluster,
        batch: &Batch,
        parcels: &mut BTreeMap<i32, Parcel>,
        taken: &mut Taken,
    ) -> Result<(), Trouble> {
        for (leader, partitions) in cluster.led(parcels.keys().copied())? {
            let parts = partitions.iter().filter_map(|partition| Some((*partition, parcels.get(partition)?.next())));
            let request = self.options.request(batch, parts);
            let answer = cluster.produce(&self.options, leader, request).await?;
            if let Some(pause) = answer.pause {
                self.quiet_until = Some(Instant::now() + pause.min(LONGEST_PAUSE));
            }
            let mut failed = None;
            for partition in partitions {
                let Some(parcel) = parcels.get_mut(&partition) else { continue };
                match answer.said.get(&partition) {
                    Some(None) => {
                        let taken = parcel.next().iter().filter_map(|place| batch.events().get(*place));
                        self.there.extend(taken.map(|event| event.after));
                        parcel.parts.pop_front();
                    }
                    Some(Some(code)) if words::is_of_records(*code) => match parcel.next() {
                        [place] => {
                            taken.refused.push((*place, self.options.said(*code, Some(partition))));
                            parcel.parts.pop_front();
                        }
                        _ => parcel.halve(),
                    },
                    Some(Some(code)) => failed = Some(Trouble::Said { code: *code, partition: Some(partition) }),
                    None => failed = Some(Trouble::Odd(format!("no word on partition {partition}"))),
                }
                if parcel.parts.is_empty() {
                    parcels.remove(&partition);
                }
            }
            if let Some(trouble) = failed {
                return Err(trouble);
            }
        }
        Ok(())
    }
}

impl Options {
    /// What went wrong, where, and what to do.
    fn explained(&self, trouble: &Trouble) -> String {
        match trouble {
            Trouble::Said { code, partition } => self.said(*code, *partition),
            Trouble::Unled(partition) => self.said(Code::LeaderNotAvailable, Some(*partition)),
            Trouble::NoPartition { partition, partitions } => format!(
                "topic {:?} has no partition {partition}: it has {partitions}, numbered from 0; write another `partition`",
                self.topic
            ),
            Trouble::Lost(why) | Trouble::Refused(why) | Trouble::Odd(why) => why.clone(),
        }
    }

    fn said(&self, code: Code, partition: Option<i32>) -> String {
        let place = partition.map_or(String::new(), |partition| format!(" partition {partition}"));
        format!("topic {:?}{place}: {}", self.topic, words::of(code, self.login.as_ref().map(|login| login.user.as_str())))
    }
}
