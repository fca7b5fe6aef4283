#!/usr/bin/python3
"""The two Python programs of the classic wire, as the tests need them: a meter and a server that speak by paho-mqtt and
share one Fernet key. Their sleeps are an argument, so that a test need not wait as long as the real ones do.

usage: classic_peers.py meter|server --port N --key-file FILE [--up T] [--down T] [--pause LEAST MOST] [--wait]

meter   takes its total from the retained message on the up topic; publishes it (with --wait: only when it is spoken
        to); for each message on the down topic: adds 0 to 9 units, sleeps, publishes, retained.
server  for each message on the up topic: opens and prints it, sleeps, publishes the same total on the down topic.
"""
import argparse
import pathlib
import queue
import random
import sys
import time

import paho.mqtt.client
from cryptography.fernet import Fernet


def say(*words):
    print(*words, flush=True)


class Peer:
    def __init__(self, options):
        self.options, self.fernet = options, Fernet(pathlib.Path(options.key_file).read_text().strip())
        self.inbox = queue.Queue()
        self.client = paho.mqtt.client.Client()
        self.client.on_message = lambda client, userdata, message: self.inbox.put(message)
        self.client.on_connect = lambda client, *_: [client.subscribe(topic, 1) for topic in self.topics()]
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", options.port)
        self.client.loop_start()

    def open(self, message):
        return int(self.fernet.decrypt(message.payload))

    def publish(self, topic, total, retain):
        self.client.publish(topic, self.fernet.encrypt(str(total).encode()), qos=1, retain=retain)

    def sleep(self):
        time.sleep(random.uniform(*self.options.pause))


class Meter(Peer):
    total = 0

    def topics(self):
        return self.options.up, self.options.down

    def run(self):
        early = []
        end = time.monotonic() + 0.5
        while (rest := end - time.monotonic()) > 0:
            try:
                message = self.inbox.get(timeout=rest)
            except queue.Empty:
                break
            if message.topic == self.options.up and message.retain:
                self.total = self.open(message)
                break
            early.append(message)
        say("begins with", self.total)
        if not self.options.wait:
            self.send()
        while True:
            message = early.pop(0) if early else self.inbox.get()
            if message.topic == self.options.down:
                say("confirmed", self.open(message))
                self.total += random.randrange(10)
                self.sleep()
                self.send()

    def send(self):
        self.publish(self.options.up, self.total, True)
        say("sent", self.total)


class Server(Peer):
    def topics(self):
        return (self.options.up,)

    def run(self):
        while True:
            total = self.open(self.inbox.get())
            say("received", total)
            self.sleep()
            self.publish(self.options.down, total, False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=("meter", "server"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key-file", required=True)
    parser.add_argument("--up", default="UNITS1221")
    parser.add_argument("--down", default="UNITS1222")
    parser.add_argument("--pause", type=float, nargs=2, default=(2, 4))
    parser.add_argument("--wait", action="store_true")
    options = parser.parse_args()
    {"meter": Meter, "server": Server}[options.role](options).run()


if __name__ == "__main__":
    sys.exit(main())
