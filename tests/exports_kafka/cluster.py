"""A cluster of several brokers: librdkafka's own, in memory, which is there for the tests of its clients. Leaders move and brokers go when
they are told to.

cluster.py BROKERS TOPIC PARTITIONS

Prints "control PORT" and "brokers PORT,PORT,…". A line sent to the control port is an order, answered by a line: "leader PARTITION BROKER",
"down BROKER", "up BROKER"; brokers are numbered from 1.
"""

import ctypes
import glob
import os
import socketserver
import sys

import confluent_kafka

brokers, topic, partitions = int(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
package = os.path.dirname(os.path.dirname(confluent_kafka.__file__))
library = ctypes.CDLL(glob.glob(f"{package}/confluent_kafka.libs/librdkafka*")[0])
for made in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new", "rd_kafka_mock_cluster_bootstraps"):
    getattr(library, made).restype = ctypes.c_void_p

why = ctypes.create_string_buffer(512)
PRODUCER = 0
client = library.rd_kafka_new(PRODUCER, ctypes.c_void_p(library.rd_kafka_conf_new()), why, len(why))
assert client, why.value
cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(ctypes.c_void_p(client), brokers))
addresses = ctypes.string_at(library.rd_kafka_mock_cluster_bootstraps(cluster)).decode()


def done(error):
    if error:
        raise ValueError(f"error {error}")


done(library.rd_kafka_mock_topic_create(cluster, topic, partitions, brokers))


class Orders(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            order, *numbers = line.decode().split()
            numbers = [int(number) for number in numbers]
            if order == "leader":
                done(library.rd_kafka_mock_partition_set_leader(cluster, topic, *numbers))
            elif order == "down":
                done(library.rd_kafka_mock_broker_set_down(cluster, *numbers))
            elif order == "up":
                done(library.rd_kafka_mock_broker_set_up(cluster, *numbers))
            self.wfile.write(b"done\n")


with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Orders) as server:
    print(f"control {server.server_address[1]}", flush=True)
    print("brokers " + ",".join(address.rsplit(":", 1)[1] for address in addresses.split(",")), flush=True)
    server.serve_forever()
