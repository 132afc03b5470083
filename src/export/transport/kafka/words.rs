//! What brokers say by number, for people: what it means here, and what to do. Numbers and names: Kafka's protocol guide, "Error Codes".

use rskafka::protocol::error::Error as Code;

/// Whether it is the records' own fault: sent again, they would be refused again.
pub(super) fn is_of_records(code: Code) -> bool {
    matches!(code, Code::MessageTooLarge | Code::RecordListTooLarge | Code::InvalidRecord | Code::InvalidTimestamp)
}

/// Whether another look at the cluster may help at once.
pub(super) fn is_stale(code: Code) -> bool {
    matches!(
        code,
        Code::NotLeaderOrFollower
            | Code::LeaderNotAvailable
            | Code::UnknownTopicOrPartition
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::NetworkException
    )
}

/// As a sentence without its beginning; `user` is who Relayscope logs in as.
pub(super) fn of(code: Code, user: Option<&str>) -> String {
    let who = user.map_or("clients without a login".to_owned(), |user| format!("user {user:?}"));
    match code {
        Code::UnknownTopicOrPartition => {
            format!("the cluster has no such topic, or {who} may not see it: create it (kafka-topics.sh --create), or correct `topic`")
        }
        Code::TopicAuthorizationFailed => {
            format!("{who} may not write to it: allow that on the cluster (kafka-acls.sh --add --producer), or write another `user`")
        }
        Code::ClusterAuthorizationFailed => format!("{who} may not use the cluster: look at its ACLs"),
        Code::SaslAuthenticationFailed => format!("the broker doesn't take the login of {who}: look at user, password and mechanism"),
        Code::UnsupportedSaslMechanism => "the broker doesn't offer this mechanism: write another `mechanism`".to_owned(),
        Code::IllegalSaslState => "the broker wants no login at this port, or another than this one: look at url and user".to_owned(),
        Code::InvalidTopicException => "no name that a topic can have: correct `topic`".to_owned(),
        Code::LeaderNotAvailable | Code::NotLeaderOrFollower | Code::FencedLeaderEpoch | Code::UnknownLeaderEpoch => {
            "no broker leads it at present: look whether the cluster's brokers run".to_owned()
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            "fewer replicas are in sync than min.insync.replicas asks for: look whether the cluster's brokers run".to_owned()
        }
        Code::RequestTimedOut => "the replicas didn't take it in time: look whether the cluster's brokers run and keep up".to_owned(),
        Code::MessageTooLarge | Code::RecordListTooLarge => {
            "larger than the topic takes: raise its max.message.bytes, or lower `max_event`".to_owned()
        }
        Code::InvalidTimestamp => {
            "its time is further from the broker's clock than the topic takes: raise its message.timestamp.before.max.ms".to_owned()
        }
        Code::InvalidRecord => "the broker calls the record invalid: its own log says why".to_owned(),
        Code::PolicyViolation => "a policy of the cluster forbids it: its own log says which".to_owned(),
        Code::KafkaStorageError => "the broker can't write to its disk".to_owned(),
        Code::UnsupportedCompressionType => "the broker doesn't take gzip: remove `gzip`".to_owned(),
        Code::ThrottlingQuotaExceeded => format!("the quota of {who} is used up"),
        Code::UnsupportedVersion | Code::UnsupportedForMessageFormat => "the broker is older than Kafka 1.0".to_owned(),
        other => format!("the broker says {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_mended_is_said_with_who_and_how() {
        for (number, wanted) in [
            (3, "create it"),
            (10, "max.message.bytes"),
            (19, "min.insync.replicas"),
            (29, "user \"siem\" may not write"),
            (32, "message.timestamp.before.max.ms"),
            (58, "login of user \"siem\""),
            (-1, "UnknownServerError"),
            (999, "999"),
        ] {
            let said = of(Code::new(number).unwrap(), Some("siem"));
            assert!(said.contains(wanted), "{number}: {said}");
        }
        assert!(of(Code::TopicAuthorizationFailed, None).contains("clients without a login"));
    }
}
