"""Row B1, a link that goes down: the meter in a network of its own, behind a cable that is pulled and plugged in again."""
import re
import shutil
import subprocess
import time
import unittest

from harness import HEALS, Broker, Case, Process, rounds

STORED = r"hall  reading (\d+): "
CONFIRMED = r"confirmed by the server: readings? (?:\d+ to )?(\d+)"
BROKER, METER = "192.0.2.1", "192.0.2.2"  # for documentation: nobody's
NETWORKS = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin") is not None and subprocess.run(
    ["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


@unittest.skipUnless(NETWORKS, "network namespaces want root and iproute2")
class LinkDown(Case):
    def setUp(self):
        """Two networks: the broker and the server in one, the meter in the other, and a cable."""
        super().setUp()
        self.environment = {**self.environment, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.broker_side, self.meter_side = self.network("broker"), self.network("meter")
        self.in_network(self.broker_side, "ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns",
                        self.meter_side.pid)
        for side, address in ((self.broker_side, BROKER), (self.meter_side, METER)):
            self.in_network(side, "ip", "address", "add", f"{address}/24", "dev", "cable")
            for link in ("lo", "cable"):
                self.in_network(side, "ip", "link", "set", link, "up")

    def network(self, name):
        holder = Process(self, f"network-{name}", ["unshare", "--net", "sh", "-c", "echo made && exec sleep infinity"])
        holder.wait_out("made")
        return holder

    def in_network(self, side, *command):
        self.run_command(["nsenter", "--target", side.pid, "--net", *command], check=True)

    def start(self):
        self.within = ["nsenter", "--target", self.broker_side.pid, "--net"]
        self.server_ = self.server(BrokerBehindACable(self).start())
        self.meter_ = self.server_.add()
        self.server_.run()
        self.within = ["nsenter", "--target", self.meter_side.pid, "--net"]
        self.meter_.run()
        self.meter_.process.wait_out(CONFIRMED)

    def newest(self, pattern):
        return int(self.meter_.process.wait_out(pattern)[-1])

    def pull_until(self, side, condition, what):
        self.in_network(side, "ip", "link", "set", "cable", "down")
        self.wait(condition, what, 2 * HEALS, alive=self.meter_.process)
        last = self.newest(STORED)
        self.in_network(side, "ip", "link", "set", "cable", "up")
        plugged = time.monotonic()
        self.wait(lambda: self.newest(CONFIRMED) > last, f"a confirmation beyond {last}", 2 * HEALS)
        print(f"        confirmed again {time.monotonic() - plugged:.1f} s after the cable was plugged in")
        self.wait(lambda: {(1, s) for s in range(1, last + 1)} <= set(self.server_.rows()), "the backlog", 2 * HEALS)

    def stored_more(self, count):
        last = self.newest(STORED)
        return lambda: self.newest(STORED) >= last + count

    def test_B1_a_cable_pulled_for_a_moment(self):
        self.start()
        for _ in range(rounds(1, 100)):
            for side in (self.broker_side, self.meter_side):
                self.pull_until(side, self.stored_more(self.random.randint(2, 4)), "readings meanwhile")
        self.check_the_end()

    def test_B1_a_cable_pulled_until_both_have_noticed(self):
        self.start()
        for side in self.random.sample((self.broker_side, self.meter_side), rounds(1, 2)):
            losses = len(re.findall("connection lost", self.meter_.process.err()))
            self.pull_until(side, lambda: len(re.findall("connection lost", self.meter_.process.err())) > losses,
                            "the meter to notice")
        self.check_the_end()

    def check_the_end(self):
        self.meter_.process.stop()
        register = self.wait_equal_totals(self.server_, self.meter_)
        self.assertEqual(register["epoch"], 1)
        self.assertEqual(sorted(self.server_.rows()), [(1, s) for s in range(1, register["sequence"] + 1)])


class BrokerBehindACable(Broker):
    """A mosquitto in another network: nobody here can ask whether its port is open."""

    def __init__(self, case):
        super().__init__(case)
        self.config.write_text(self.config.read_text().replace("127.0.0.1", BROKER))

    @property
    def url(self):
        return f"mqtt://{BROKER}:{self.port}"

    def start(self):
        self.process = Process(self.case, "mosquitto", [self.program(), "-c", str(self.config)])
        self.process.wait_err(r"mosquitto version \S+ running")
        return self
