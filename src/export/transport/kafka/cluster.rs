//! Who leads which partition of the topic, and the connections to those brokers.

use std::collections::BTreeMap;

use rskafka::protocol::messages::{MetadataResponse, ProduceRequest, ProduceRequestPartitionData, ProduceRequestTopicData};
use rskafka::protocol::primitives::{Int16, Int32, NullableString, Records, String_};
use rskafka::protocol::record::{
    ControlBatchOrRecords, Record, RecordBatch, RecordBatchCompression, RecordBatchTimestampType, RecordHeader,
};

use super::connection::{Answer, Connection, Trouble};
use super::{Options, Partition};
use crate::export::batch::Batch;

/// Brokers wait so long for the replicas; it is less than they are waited for.
const REPLICAS_MS: i32 = 20_000;

/// The cluster as it was when it was joined.
#[derive(Debug)]
pub(super) struct Cluster {
    brokers: BTreeMap<i32, (String, u16)>,
    /// By partition; nobody, if it has none at present.
    leaders: BTreeMap<i32, Option<i32>>,
    connections: BTreeMap<i32, Connection>,
}

impl Cluster {
    /// Asks the first broker that answers.
    pub async fn join(options: &Options) -> Result<Self, Trouble> {
        let mut failed: Option<Trouble> = None;
        for (host, port) in &options.brokers {
            match Self::told_by(options, host, *port).await {
                Ok(cluster) => return Ok(cluster),
                // What the cluster says of the topic, its other brokers would say too.
                Err(trouble @ (Trouble::Said { .. } | Trouble::NoPartition { .. })) => return Err(trouble),
                Err(trouble) => {
                    let before = failed.take().map_or(String::new(), |failed| format!("{}; ", options.explained(&failed)));
                    failed = Some(Trouble::Refused(format!("{before}{}", options.explained(&trouble))));
                }
            }
        }
        Err(failed.unwrap_or_else(|| Trouble::Odd("no broker is named".to_owned())))
    }

    async fn told_by(options: &Options, host: &str, port: u16) -> Result<Self, Trouble> {
        let connection = Connection::open(options, host, port).await?;
        let told = connection.metadata(&options.topic, options.login.is_some()).await?;
        let mut cluster = Self::of(&options.topic, &told)?;
        if let Partition::One(partition) = options.partition
            && !cluster.leaders.contains_key(&partition)
        {
            return Err(Trouble::NoPartition { partition, partitions: cluster.partitions() });
        }
        // Often the one that was asked is a leader itself.
        let itself = cluster.brokers.iter().find(|(_, (name, number))| name == host && *number == port).map(|(id, _)| *id);
        if let Some(id) = itself {
            cluster.connections.insert(id, connection);
        }
        Ok(cluster)
    }

    fn of(topic: &str, told: &MetadataResponse) -> Result<Self, Trouble> {
        let port = |number: i32| u16::try_from(number).unwrap_or_default();
        let brokers = told.brokers.iter().map(|it| (it.node_id.0, (it.host.0.clone(), port(it.port.0)))).collect();
        let it = told.topics.iter().find(|it| it.name.0 == topic);
        let it = it.ok_or_else(|| Trouble::Odd(format!("a broker was asked for topic {topic:?}, and told of others")))?;
        if let Some(code) = it.error {
            return Err(Trouble::Said { code, partition: None });
        }
        let leader = |number: i32| (number >= 0).then_some(number);
        let leaders = it.partitions.iter().map(|it| (it.partition_index.0, leader(it.leader_id.0))).collect();
        Ok(Self { brokers, leaders, connections: BTreeMap::new() })
    }

    /// How many the topic has.
    pub fn partitions(&self) -> i32 {
        i32::try_from(self.leaders.len()).unwrap_or(i32::MAX)
    }

    /// Partitions by who leads them.
    pub fn led(&self, partitions: impl Iterator<Item = i32>) -> Result<BTreeMap<i32, Vec<i32>>, Trouble> {
        let mut led: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            let leader = self.leaders.get(&partition).copied().flatten().ok_or(Trouble::Unled(partition))?;
            led.entry(leader).or_default().push(partition);
        }
        Ok(led)
    }

    pub async fn produce(&mut self, options: &Options, leader: i32, request: ProduceRequest) -> Result<Answer, Trouble> {
        let connection = match self.connections.entry(leader) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let (host, port) =
                    self.brokers.get(&leader).ok_or_else(|| Trouble::Odd(format!("broker {leader} leads, and isn't in the cluster")))?;
                let opened = Connection::open(options, host, *port).await;
                entry.insert(opened.map_err(|trouble| match trouble {
                    Trouble::Refused(why) => Trouble::Refused(format!("broker {leader}, as the cluster names it: {why}")),
                    other => other,
                })?)
            }
        };
        connection.produce(request).await
    }
}

impl Options {
    /// The events of these places as records, for each partition.
    pub(super) fn request<'p>(&self, batch: &Batch, parts: impl Iterator<Item = (i32, &'p [usize])>) -> ProduceRequest {
        let partition_data = parts.map(|(partition, places)| ProduceRequestPartitionData {
            index: Int32(partition),
            records: Records(vec![self.records(batch, places)]),
        });
        ProduceRequest {
            transactional_id: NullableString(None),
            acks: Int16(-1), // all replicas in sync
            timeout_ms: Int32(REPLICAS_MS),
            topic_data: vec![ProduceRequestTopicData { name: String_(self.topic.clone()), partition_data: partition_data.collect() }],
        }
    }

    fn records(&self, batch: &Batch, places: &[usize]) -> RecordBatch {
        let mut first_timestamp = None;
        let mut max_timestamp = i64::MIN;
        let mut records = Vec::with_capacity(places.len());
        for (event, octets) in places.iter().filter_map(|place| batch.event(*place)) {
            let timestamp = i64::try_from(event.meta.at / 1_000).unwrap_or(i64::MAX);
            let first = *first_timestamp.get_or_insert(timestamp);
            max_timestamp = max_timestamp.max(timestamp);
            let header = |key: &str, value: &str| RecordHeader { key: key.to_owned(), value: value.as_bytes().to_vec() };
            records.push(Record {
                timestamp_delta: timestamp.saturating_sub(first),
                offset_delta: i32::try_from(records.len()).unwrap_or(i32::MAX),
                key: Some(event.meta.id.to_string().into_bytes()),
                value: Some(octets.to_vec()),
                headers: vec![header("relayscope-event", event.meta.msgid), header("relayscope-format", self.format)],
            });
        }
        RecordBatch {
            base_offset: 0,
            partition_leader_epoch: -1,
            last_offset_delta: i32::try_from(records.len().saturating_sub(1)).unwrap_or(i32::MAX),
            first_timestamp: first_timestamp.unwrap_or_default(),
            max_timestamp,
            producer_id: -1, // neither idempotent nor transactional
            producer_epoch: -1,
            base_sequence: -1,
            records: ControlBatchOrRecords::Records(records),
            compression: if self.gzip { RecordBatchCompression::Gzip } else { RecordBatchCompression::NoCompression },
            is_transactional: false,
            timestamp_type: RecordBatchTimestampType::CreateTime,
        }
    }
}
