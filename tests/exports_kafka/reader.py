"""Reads a topic from its beginning on with librdkafka, and prints each record as a line of JSON: an implementation of its own checks ours.

reader.py PORT TOPIC PARTITIONS
"""

import json
import sys

from confluent_kafka import Consumer, TopicPartition

port, topic, partitions = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = Consumer(
    {
        "bootstrap.servers": f"127.0.0.1:{port}",
        "group.id": "reader",
        "enable.auto.commit": False,
        "check.crcs": True,
        "fetch.wait.max.ms": 50,
        "log_level": 0,
    }
)
consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
print("reading", flush=True)
while True:
    message = consumer.poll(1)
    if message is None:
        continue
    if message.error():
        print(f"error: {message.error()}", flush=True)
        continue
    kind, time = message.timestamp()
    record = {
        "partition": message.partition(),
        "offset": message.offset(),
        "key": message.key().decode(),
        "headers": {key: value.decode() for key, value in message.headers() or []},
        "time": time if kind == 1 else None,
        "value": message.value().decode(),
    }
    print(json.dumps(record), flush=True)
