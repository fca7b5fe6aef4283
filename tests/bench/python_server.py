#!/usr/bin/python3
"""The peers of throughput.py: a server in Python that does the work of meter-server run for simulated readings: opens with
Fernet, decodes, checks that the total does not fall, stores in SQLite (WAL, FULL) with a commit a reading, confirms.

--memory: stores nothing, as the Python server that people move over from (the broker's retained message was its store):
the totals are kept in memory, each reading is confirmed; the wire and the sealing are the same. It need not print them.

By itself --memory leaves all of paho's settings as they come, as that server did: Nagle's algorithm, and at most 20
publishes on their way, which together hold it at a third of what it can do. All other forms lift the second (0 is: no
bound), so that they are as good as paho is; 1000 is slower than that and than 20 (CPU +30 %), as under a bound paho goes
through all that are on their way at each PUBACK.

usage: python_server.py PORT METERS LEDGER [--memory] [--nodelay]      (METERS: a line "ID KEY" each)
"""
import base64
import pathlib
import signal
import socket
import sqlite3
import struct
import sys

import paho.mqtt.client
from cryptography.fernet import Fernet, InvalidToken

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vectors" / "sealed"))
from decode import derive  # noqa: E402

READING = struct.Struct(">IQQIQQBB16sQIIIII")
CONFIRMATION = struct.Struct(">IQQ")


class Meter:
    def __init__(self, name, key):
        keys = derive(base64.urlsafe_b64decode(key), name)
        self.name, self.header = name, bytes([len(name)]) + name.encode().ljust(32, b"\0")
        self.up_topic, self.down_topic = keys["up_topic"], keys["down_topic"]
        self.up, self.down = Fernet(keys["up_key"]), Fernet(keys["down_key"])
        self.totals = {}  # by epoch


def open_ledger(path):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE reading (meter TEXT, epoch INT, sequence INT, total INT, measured INT, uptime INT, "
                     "power INT, PRIMARY KEY (meter, epoch, sequence)) WITHOUT ROWID")
    return database


def main():
    port, meters_file, ledger = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    meters = [Meter(*line.split()) for line in pathlib.Path(meters_file).read_text().splitlines()]
    by_topic = {meter.up_topic: meter for meter in meters}
    memory, nodelay = "--memory" in sys.argv, "--nodelay" in sys.argv
    database = None if memory else open_ledger(ledger)

    def on_message(client, _, message):
        meter = by_topic[message.topic]
        try:
            plain = meter.up.decrypt(message.payload)
        except InvalidToken:
            return
        if plain[:3] != b"\x01\x03U" or plain[3:36] != meter.header:
            return
        (epoch, sequence, total, _, _, measured, _, _, _, uptime, _, _, _, _, power) = READING.unpack_from(plain, 36)
        if total < meter.totals.get(epoch, 0):
            return
        if database:
            database.execute("INSERT OR IGNORE INTO reading VALUES (?, ?, ?, ?, ?, ?, ?)",
                             (meter.name, epoch, sequence, total, measured, uptime, power))
        meter.totals[epoch] = total
        answer = b"\x01\x04D" + meter.header + CONFIRMATION.pack(epoch, sequence, sequence)
        client.publish(meter.down_topic, meter.down.encrypt(answer.ljust(127, b"\0")), qos=1)

    client = paho.mqtt.client.Client(client_id="python-server")
    if nodelay or not memory:
        client.max_inflight_messages_set(0)
    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe([(meter.up_topic, 1) for meter in meters])
    client.on_subscribe = lambda *_: print("ready", flush=True)
    if nodelay:
        client.on_socket_open = lambda _, __, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main()
