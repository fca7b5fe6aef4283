"""Row D5 with the real programs: a day without a broker, in half a minute. The meter's clocks run fast meanwhile
(tests/clock/fast_clock.cpp), and at the usual pace again when the broker is back; the server's never do."""
import datetime
import mmap
import os
import pathlib
import re
import shutil
import struct
import tempfile
import time
import unittest

from harness import HEALS, ROOT, Case, rounds
from many_meters import add_meters

CLOCK = ROOT / "build" / "dev" / "tests" / "clock" / "libfast_clock.so"
CONFIRMED = r"confirmed by the server: readings? (?:\d+ to )?(\d+)"
DAY, INTERVAL, RATE = 86_400, 10, 3600  # seconds
MEMORY = 16_000_000  # bytes that the meter may have grown by: it keeps the readings on its disk
LATER = 2**63 - 1


class Clock:
    """What a program's preloaded clocks go by. The program is a day in the past at first."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(struct.pack("4q", LATER, LATER, RATE, DAY * 10**9))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 32)

    def run_fast(self):
        self._from_soon(0)

    def run_as_usual(self):
        self._from_soon(8)

    def _from_soon(self, place):
        """Not from now: the program may have looked at its clocks meanwhile, and they must not step."""
        self.memory[place:place + 8] = struct.pack("q", time.monotonic_ns() + 50_000_000)


class Outage(Case):
    @unittest.skipUnless(CLOCK.exists(), f"{CLOCK} is not built (cmake --preset dev)")
    def test_D5_a_day_without_a_broker(self):
        broker = self.broker(queues="default")
        server = self.server(broker)
        hall, other = add_meters(server, ["hall", "other"])
        hall.configure(meter_interval_s=INTERVAL)
        hall.state = self.folder_without_a_disk() / "hall-state"  # 8,640 syncs of a real disk take longer than the test
        clock = Clock(self.folder / "clock")
        server.run()
        hall.run(env={**self.environment, "LD_PRELOAD": str(CLOCK), "FAST_CLOCK": str(clock.path)})
        other.run()
        for meter in (hall, other):
            meter.process.wait_out(CONFIRMED)
        memory = self.resident(hall)

        clock.run_fast()
        broker.kill()  # which wakes the meter, so that nothing waits at the old pace
        start = time.monotonic()
        rows = self.wait(lambda: time.sleep(0.5) or self.outbox_at_least(hall, DAY // INTERVAL), "a day's readings", 300,
                         alive=hall.process)
        seconds = time.monotonic() - start
        clock.run_as_usual()
        grown, disk = self.resident(hall) - memory, sum(path.stat().st_size for path in hall.state.iterdir())

        confirmed = len(other.process.wait_out(CONFIRMED))
        connections = len(hall.process.wait_err("connected to the broker"))
        broker.start()
        hall.process.wait_err("connected to the broker", count=connections + 1)
        start, register = time.monotonic(), hall.register()
        self.wait(lambda: server.status("hall")["sequence"] >= register["sequence"], "the newest total", alive=hall.process)
        equal = time.monotonic() - start
        backlog = {(1, s) for s in range(1, register["sequence"] + 1)}
        self.wait(lambda: time.sleep(0.5) or backlog <= set(server.rows("hall")), "the backlog", 4 * HEALS,
                  alive=hall.process)
        healed = time.monotonic() - start
        other.process.wait_out(CONFIRMED, count=confirmed + 3)  # nor does the other one wait for it
        for meter in (hall, other):
            meter.process.stop()
            register = self.wait_equal_totals(server, meter)
            self.assertEqual(register["epoch"], 1)
            self.assertEqual(sorted(server.rows(meter.name)), [(1, s) for s in range(1, register["sequence"] + 1)])
        times = [datetime.datetime.fromisoformat(row["measured_at"].rstrip("Z")) for row in server.readings()]
        self.assertEqual(times, sorted(times))
        self.assertGreater((times[-1] - times[0]).total_seconds(), DAY)
        self.assertLess(grown, MEMORY)
        print(f"        {rows} readings of {(times[-1] - times[0]).total_seconds() / 3600:.1f} h kept in {seconds:.0f} s, "
              f"{disk / 1e6:.1f} MB of disk, {grown / 1e6:.1f} MB more memory; after reconnecting the total was equal in "
              f"{equal:.1f} s and every reading there in {healed:.1f} s")

    @unittest.skipUnless(CLOCK.exists(), f"{CLOCK} is not built (cmake --preset dev)")
    def test_D5_a_fleet_comes_back_at_once_to_a_broker_as_it_comes(self):
        broker = self.broker(queues="default")
        server = self.server(broker)
        meters = add_meters(server, [f"meter-{n}" for n in range(rounds(4, 10))])
        clock, folder = Clock(self.folder / "clock"), self.folder_without_a_disk()
        server.run()
        for meter in meters:
            meter.configure(meter_interval_s=INTERVAL)
            meter.state = folder / meter.name
            meter.run(env={**self.environment, "LD_PRELOAD": str(CLOCK), "FAST_CLOCK": str(clock.path)})
        for meter in meters:
            meter.process.wait_out(CONFIRMED)
        clock.run_fast()
        broker.kill()
        for meter in meters:
            self.wait(lambda: time.sleep(0.5) or self.outbox_at_least(meter, rounds(1_000, DAY // INTERVAL)), "readings", 300,
                      alive=meter.process)
        clock.run_as_usual()
        registers = {meter: meter.register() for meter in meters}
        broker.start()
        start = time.monotonic()
        for meter, register in registers.items():
            backlog = {(1, s) for s in range(1, register["sequence"] + 1)}
            self.wait(lambda: time.sleep(0.2) or backlog <= set(server.rows(meter.name)), f"the backlog of {meter.name}",
                      4 * HEALS, alive=meter.process)
        healed = time.monotonic() - start
        for meter in meters:
            meter.process.stop()
        rows = 0
        for meter in meters:
            register = self.wait_equal_totals(server, meter)
            self.assertEqual(sorted(server.rows(meter.name)), [(1, s) for s in range(1, register["sequence"] + 1)])
            rows += register["sequence"]
        sent = len(re.findall(r"Received PUBLISH from pulsemeter-(?!server)", broker.log()))
        print(f"        {rows} readings of {len(meters)} meters there {healed:.1f} s after the broker is, with {sent} messages")

    def outbox_at_least(self, meter, count):
        rows = meter.status()["outbox"]
        return rows if rows >= count else None

    def folder_without_a_disk(self):
        shm = pathlib.Path("/dev/shm")
        if not os.access(shm, os.W_OK):
            return self.folder
        folder = pathlib.Path(tempfile.mkdtemp(prefix="pulsemeter-test-", dir=shm))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def resident(self, meter):
        status = pathlib.Path(f"/proc/{meter.process.pid}/status").read_text()
        return int(re.search(r"(?m)^VmRSS:\s+(\d+) kB", status)[1]) * 1000
