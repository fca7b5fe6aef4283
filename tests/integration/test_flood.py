"""Row I2: junk as fast as the broker takes it and messages of 200 MB, beside a hundred meters that stay confirmed."""
import os
import pathlib
import re
import socket
import threading
import time

from harness import Case, rounds
from many_meters import add_meters
from wire import Keys, Peer, reading

CONFIRMED = r"confirmed by the server"
GOOD, JUNK_TOPICS = 100, 10
GIANT, GIANTS = 200_000_000, 2  # bytes; of each kind: while the broker takes one it does nothing else
GROWTH = 60_000_000  # bytes: the inbox's 10,000 messages, which a flood may fill once, and no giant


def publish_head(topic, size):
    """The head of a QoS 0 PUBLISH of MQTT 3.1.1, and nothing of its payload."""
    left, length = 2 + len(topic) + size, b""
    while True:
        length += bytes([left % 128 | (128 if left >= 128 else 0)])
        left //= 128
        if not left:
            break
    return b"\x30" + length + len(topic).to_bytes(2, "big") + topic.encode()


class Stranger:
    """A bare connection that publishes the packets again and again, in a thread, until it is told to stop or has done so
    `times`. A client library would be the slower one."""

    def __init__(self, case, broker, name, packets, times=None):
        self.stop, self.sent, self.packets, self.times = threading.Event(), 0, packets, times
        self.socket = socket.create_connection(("127.0.0.1", broker.port))
        self.socket.sendall(b"\x10" + bytes([12 + len(name)]) + b"\0\4MQTT\4\2\0\0" + bytes([0, len(name)]) + name.encode())
        case.assertEqual(self.socket.recv(4)[:2], b"\x20\x02")
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        case.addCleanup(self.end)

    def _run(self):
        try:
            while not self.stop.is_set() and self.sent != self.times:
                for packet in self.packets:
                    self.socket.sendall(packet)
                self.sent += 1
        except OSError:  # ended in the middle of it
            pass

    def end(self):
        self.stop.set()
        self.socket.close()
        self.thread.join(20)


def resident(process):
    """(now, at most so far) in bytes."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return tuple(int(re.search(rf"(?m)^{key}:\s+(\d+) kB", status)[1]) * 1000 for key in ("VmRSS", "VmHWM"))


class GoodMeters:
    """Send a reading each, and again what is not confirmed after 5 s, as meter-pi does."""

    def __init__(self, case, broker, meters):
        self.case, self.keys, self.sequence = case, [Keys.of(meter) for meter in meters], 0
        self.by_topic = {keys.down_topic: keys for keys in self.keys}
        self.tap, self.looked_at = case.tap(broker, [(topic, 1) for topic in self.by_topic]), 0

    def one_round(self):
        self.sequence += 1
        fields = reading(1, self.sequence, 5 * self.sequence)
        missing = {keys.meter: keys for keys in self.keys}

        def sent_and_confirmed():
            for keys in missing.values():
                self.tap.publish(keys.up_topic, keys.seal_up("Reading", **fields))
            end = time.monotonic() + 5
            while missing and time.monotonic() < end:
                self._take_confirmations(missing)
                time.sleep(0.02)
            return not missing
        self.case.wait(sent_and_confirmed, f"confirmations of reading {self.sequence} to all, not {sorted(missing)}")

    def _take_confirmations(self, missing):
        messages = self.tap.seen()
        for message in messages[self.looked_at:]:
            keys = self.by_topic[message.topic]
            kind, fields = keys.open_down(message.payload)
            self.case.assertEqual(kind, "Confirmation")
            if fields["first"] <= self.sequence <= fields["last"]:
                missing.pop(keys.meter, None)
        self.looked_at = len(messages)


class Flood(Case):
    def test_I2_good_meters_beside_junk_at_the_brokers_ceiling_and_200_MB_messages(self):
        broker = self.broker()
        server = self.server(broker)
        real, *others = add_meters(server, ["hall", *(f"meter-{n}" for n in range(GOOD))])
        server.run()
        real.run()
        good = GoodMeters(self, broker, others)
        good.one_round()
        real.process.wait_out(CONFIRMED, count=2)
        before = {process: self.mark_memory(process) for process in (server.process, real.process)}
        errors = {process: len(process.err().splitlines()) for process in before}

        start = time.monotonic()
        up, down = [keys.up_topic for keys in good.keys[:JUNK_TOPICS]], Keys.of(real).down_topic
        junk = [Stranger(self, broker, f"junk-{n}", self.junk(topics)) for n, topics in
                enumerate((up, [Keys.of(real).up_topic], [down]))]
        giants = [Stranger(self, broker, f"giant-{n}", [publish_head(topic, GIANT), bytes(GIANT)], GIANTS)
                  for n, topic in enumerate((up[0], down))]
        confirmed = len(real.process.wait_out(CONFIRMED))
        for _ in range(rounds(5, 200)):
            good.one_round()
        real.process.wait_out(CONFIRMED, count=confirmed + rounds(5, 200))
        for stranger in giants:
            self.wait(lambda: stranger.sent == GIANTS, "the broker to take the giant messages", alive=broker.process)
        for stranger in (*junk, *giants):
            stranger.end()
        seconds = time.monotonic() - start
        good.one_round()

        grown = {process: resident(process)[1] - before[process] for process in before}
        print(f"        {sum(each.sent for each in junk) * len(junk[0].packets) / seconds:,.0f} junk messages a second and "
              f"{sum(each.sent for each in giants)} of 200 MB for {seconds:.0f} s; at most grown: " +
              ", ".join(f"{process.name} by {most / 1e6:.0f} MB" for process, most in grown.items()))
        for process, most in grown.items():
            self.assertLess(most, GROWTH, process.name)
            lines = len(process.err().splitlines()) - errors[process]
            self.assertLessEqual(lines, (JUNK_TOPICS + 6) * (1 + seconds // 60), f"one a topic and minute\n{process.err()}")
        real.process.stop()
        self.wait_equal_totals(server, real)
        for meter in others:
            status = server.status(meter.name)
            self.assertEqual((status["total_pulses"], status["refused"]), (5 * good.sequence, 0))

    def mark_memory(self, process):
        """Forgets the most that it ever had; what it has now."""
        pathlib.Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        return resident(process)[0]

    def junk(self, topics):
        payloads = [os.urandom(248), b"gAAAA" + b"A" * 243, b"", b"{}", os.urandom(4000), os.urandom(5000), os.urandom(60_000)]
        return [publish_head(topic, len(payload)) + payload for topic in topics for payload in payloads]
