"""A broker that cannot be trusted, made of two that can: the meters are on one mosquitto, the server on another, and what
goes from one to the other goes through here. By a seed it drops (the sender has its PUBACK), repeats, holds back, plays
again anything it ever saw, under whichever topic and in whichever direction, changes bytes, and invents. It has no keys.
"""
import os

from harness import Tap


class EvilBridge:
    def __init__(self, case, meters_broker, server_broker, channels):
        """`channels`: (up topic, down topic) of every meter."""
        self.case, self.random, self.actions, self.evil = case, case.random, 0, True
        self.sides = {"up": Tap(case, server_broker, [(down, 1) for _, down in channels]),
                      "down": Tap(case, meters_broker, [(up, 1) for up, _ in channels])}
        self.sources = {"up": self.sides["down"], "down": self.sides["up"]}  # what goes up comes from the meters' broker
        self.topics = {"up": [up for up, _ in channels], "down": [down for _, down in channels]}
        self.taken, self.held_back, self.seen = {"up": 0, "down": 0}, [], []
        self.counts = {}

    def turn(self):
        """Everything that came since the last turn meets its fate; and, while it is evil, something else happens."""
        for way, source in self.sources.items():
            messages = source.seen()
            for message in messages[self.taken[way]:]:
                self.seen.append((message.topic, message.payload))
                self.pass_on(way, message)
            self.taken[way] = len(messages)
        if self.evil:
            for _ in range(20):
                self.attack()

    def turn_honest(self):
        self.evil = False
        for way, topic, payload in self.held_back:
            self.publish(way, topic, payload)
        self.held_back = []

    def pass_on(self, way, message):
        fate = self.random.choice(("pass", "pass", "drop", "repeat", "hold back")) if self.evil else "pass"
        self.count(fate)
        if fate == "hold back":
            self.held_back.append((way, message.topic, message.payload))
        elif fate != "drop":
            for _ in range(3 if fate == "repeat" else 1):
                self.publish(way, message.topic, message.payload, message.retained)

    def attack(self):
        if not self.seen:
            return
        topic, payload = self.random.choice(self.seen)
        kind = self.random.choice(("replay", "replay", "swap meters", "echo", "damage", "invent", "clear", "let go"))
        way = "up" if topic in self.topics["up"] else "down"
        retain = self.random.random() < 0.2
        self.count(kind)
        if kind == "replay":
            self.publish(way, topic, payload, retain)
        elif kind == "swap meters":
            self.publish(way, self.random.choice(self.topics[way]), payload, retain)
        elif kind == "echo":
            other = "down" if way == "up" else "up"
            self.publish(other, self.topics[other][self.topics[way].index(topic)], payload, retain)
        elif kind == "damage":
            at = self.random.randrange(len(payload))
            self.publish(way, topic, payload[:at] + bytes([payload[at] ^ 1 << self.random.randrange(8)]) + payload[at + 1:])
        elif kind == "invent":
            way = self.random.choice(("up", "down"))
            self.publish(way, self.random.choice(self.topics[way]), os.urandom(self.random.choice((0, 7, 127, 248, 300))))
        elif kind == "clear":
            self.publish(way, topic, b"", True)
        elif self.held_back:  # in another order than they came
            self.publish(*self.held_back.pop(self.random.randrange(len(self.held_back))))

    def count(self, what):
        self.actions += 1
        self.counts[what] = self.counts.get(what, 0) + 1

    def publish(self, way, topic, payload, retain=False):
        self.sides[way].publish(topic, payload, retain)
