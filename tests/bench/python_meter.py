#!/usr/bin/python3
"""What meter-pi is measured against: a meter of the same job in Python. It replays a trace in a thread of its own, keeps
register and outbox in SQLite (WAL, synchronous FULL, one transaction a reading), seals with `cryptography`, sends with
paho and forgets a reading when the server has confirmed it. It speaks to the real meter-server.

usage: python_meter.py CONFIG TRACE STATE
"""
import pathlib
import queue
import re
import signal
import sqlite3
import sys
import threading
import time
import uuid

import paho.mqtt.client

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
import wire


class Counter(threading.Thread):
    """Rising edges of the trace at the time that they have in it."""

    def __init__(self, trace):
        super().__init__(daemon=True)
        lines = [line.split() for line in pathlib.Path(trace).read_text().splitlines()]
        self.edges = [(int(line[0]) / 1e9, line[1]) for line in lines if line and line[0].isdigit()]
        self.pulses, self.stopped = 0, threading.Event()

    def run(self):
        start = time.monotonic()
        for at, level in self.edges:
            if self.stopped.wait(max(0.0, start + at - time.monotonic())):
                return
            self.pulses += level == "1"


class Store:
    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.database = sqlite3.connect(folder / "meter.sqlite", isolation_level=None)
        self.database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                    "CREATE TABLE register (id INTEGER PRIMARY KEY, total, sequence);"
                                    "CREATE TABLE outbox (sequence INTEGER PRIMARY KEY, total);")

    def add(self, sequence, total, confirmed):
        self.database.execute("BEGIN")
        self.database.execute("INSERT OR REPLACE INTO register VALUES (1, ?, ?)", (total, sequence))
        self.database.execute("INSERT INTO outbox VALUES (?, ?)", (sequence, total))
        self.database.executemany("DELETE FROM outbox WHERE sequence BETWEEN ? AND ?", confirmed)
        self.database.execute("COMMIT")


def main():
    config = pathlib.Path(sys.argv[1]).read_text()
    setting = lambda key: re.search(rf'(?m)^{key} = "?([^"\n#]*?)"? *(#.*)?$', config).group(1)
    keys = wire.Keys(setting("key"), setting("id"))
    host, port = re.fullmatch(r"mqtt://(.*):(\d+)", setting("url")).groups()
    interval = int(setting("interval_s"))
    counter, store = Counter(sys.argv[2]), Store(pathlib.Path(sys.argv[3]))

    events = queue.Queue()
    client = paho.mqtt.client.Client(client_id=f"python-{uuid.uuid4().hex[:12]}")
    client.on_connect = lambda *_: (client.subscribe(keys.down_topic, 1), events.put(("connected", None)))
    client.on_message = lambda _client, _userdata, message: events.put(keys.open_down(message.payload))
    client.connect(host, int(port))
    client.loop_start()
    counter.start()
    signal.signal(signal.SIGTERM, lambda *_: events.put(("stop", None)))

    nonce, greeted, sequence, confirmed, due = uuid.uuid4().hex, False, 0, [], time.monotonic() + interval
    while True:
        try:
            event = events.get(timeout=max(0.0, due - time.monotonic()))
        except queue.Empty:
            event = ("due", None)
        if event is None:
            continue
        kind, fields = event
        if kind == "stop":
            return
        if kind == "connected":
            client.publish(keys.up_topic, keys.seal_up("Hello", nonce=nonce, epoch=0, sequence=0, total=0, has_register=0,
                                                       source=wire.SIMULATED, boot=wire.BOOT), 1)
        elif kind == "Confirmation":
            confirmed.append((fields["first"], fields["last"]))
            print(f"confirmed by the server: reading {fields['last']}", flush=True)
        elif kind == "State" and fields["nonce"] == nonce:
            greeted = True
        if kind == "due" or kind == "State":
            due = time.monotonic() + interval
            if greeted:
                sequence += 1
                store.add(sequence, counter.pulses, confirmed)
                confirmed.clear()
                client.publish(keys.up_topic, keys.seal_up("Reading", **wire.reading(1, sequence, counter.pulses)), 1, True)


if __name__ == "__main__":
    main()
