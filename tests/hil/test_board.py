#!/usr/bin/python3
"""meter-pi, as it is built for the Pi, on a board with a real kernel and real edges on its pins; a real broker and
the server on this host.

usage: test_board.py [DEV-BUILD [PI-BUILD]]        (default: build/dev build/pi; needs the trees `pi` and `board`)
"""

import json
import os
import pathlib
import signal
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from board import Board  # noqa: E402
from harness import Case, Meter  # noqa: E402

TREES = ROOT / "build" / "sysroot"
HEALS = 120  # seconds; the board is slow on a busy machine, and a lost connection is noticed by its keep-alive
RUN = "meter-pi run --config /etc/meter.toml --source gpio --state /run/meter"


class BoardCase(Case):
    def setUp(self):
        super().setUp()
        self.mosquitto = self.broker()
        self.head_end = self.server(self.mosquitto)
        self.config = self.folder / "meter.toml"
        # These 100 kW are 278 pulses a second: faster than the board is pulsed, and still a filter.
        self.head_end.command("meter", "add", "hall", "--imp-per-kwh", 10_000, "--max-kw", 100, "--interval", 1,
                              "--broker", "mqtt://10.0.2.100:1883", "--out", self.config, password=True, check=True)

    def boot(self, **settings):
        # The board's GPIO controller has no pull resistors.
        Meter(self, "hall", self.config).configure(**{"gpio_pull": "none", "gpio_active": "high", **settings})
        build = pathlib.Path(os.environ["PULSEMETER_PI_BUILD"])
        self.board = self.enterContext(
            Board(self.folder, TREES / "board", TREES / "pi",
                  [build / "meter-pi" / "meter-pi", build / "tests" / "hil" / "fence",
                   build / "tests" / "hil" / "libstall.so"],
                  {"meter.toml": self.config.read_bytes()}, self.mosquitto.port))

    def start_meter(self, preload=""):
        self.board.start(f"LD_PRELOAD={preload} {RUN} >/run/out 2>/run/err")
        self.wait(lambda: self.server_total() is not None, "the meter's first reading", HEALS)

    def register(self):
        status = json.loads(self.board.run("meter-pi status --json --state /run/meter"))
        return next(each for each in status["registers"] if each["source"] == "measured") | {
            "outbox": status["outbox"]}

    def server_total(self):
        return (self.head_end.status() or {}).get("total_pulses")

    def assert_confirmed(self, total):
        """The server has committed exactly this total, and the meter has it confirmed."""
        def arrived():
            now = self.server_total()
            self.assertLessEqual(now, total, "more than was ever put on the pin")
            return now == total

        try:
            self.wait(arrived, f"{total} pulses on the server", HEALS)
            # The newest reading may be on its way at any moment.
            self.wait(lambda: self.register()["outbox"] <= 1, "the confirmations of all but the newest", HEALS)
            self.assertEqual(self.register()["total_pulses"], total)
        except AssertionError as failure:
            said = self.board.run("tail -n 30 /run/out /run/err; meter-pi status --json --state /run/meter")
            raise AssertionError(f"{failure}\nthe server has {self.server_total()}; on the board:\n{said}") from None

    def assert_not_beyond(self, total, why):
        """What was just put on the pin is counted on the board and can't have reached the server."""
        self.assertEqual(self.server_total(), total, why)


class RealInput(BoardCase):
    def test_C1_C2_every_pulse_is_confirmed_through_a_dead_link_a_broker_restart_and_an_overflow(self):
        self.boot()
        self.head_end.run()
        self.start_meter()
        board, total = self.board, 1_000
        board.pulse(total)
        self.assert_confirmed(total)

        board.set_link("down")
        board.pulse(100)
        self.wait(lambda: self.register()["total_pulses"] == total + 100, "the readings while the link is down", HEALS)
        self.assert_not_beyond(total, "the link was not down")
        board.set_link("up")
        total += 100
        self.assert_confirmed(total)

        self.mosquitto.stop()
        board.pulse(50)
        self.wait(lambda: self.register()["total_pulses"] == total + 50, "the readings without a broker", HEALS)
        self.assert_not_beyond(total, "there was a broker")
        self.mosquitto.start()
        total += 50
        self.assert_confirmed(total)

        board.run("kill -STOP $(pidof meter-pi)")
        board.pulse(5_000)
        self.assert_not_beyond(total, "meter-pi was not stopped")
        board.run("kill -CONT $(pidof meter-pi)")
        total += 5_000
        self.assert_confirmed(total)
        # Both edges of each pulse, but for the 1,024 that the kernel keeps and the few that were read before.
        self.assertGreaterEqual(self.register()["missed_edges"], 2 * 5_000 - 2 * 1_024, "nothing overflowed")


class Lines(BoardCase):
    def test_a_line_active_at_start_is_no_pulse_and_the_kernels_filter_counts_too(self):
        self.boot(gpio_filter="kernel")
        self.head_end.run()
        self.board.set_level(1)
        self.start_meter()
        self.board.set_level(0)
        # The fence is behind the kernel's edges, not behind its debounce timer: far longer than that.
        time.sleep(0.2)
        self.board.pulse(15, on=0.2, off=0.2)
        self.assert_confirmed(15)

    def test_a_line_that_someone_else_holds_is_named_with_its_holder(self):
        self.boot(gpio_line="GPIO6")  # the fence's
        said = self.board.run(f"{RUN} 2>&1; echo code-$?")
        self.assertIn("code-2", said)
        self.assertRegex(said, "GPIO6.*fence")

    def test_a_line_that_the_board_does_not_have_is_refused_by_name(self):
        self.boot(gpio_line="GPIO99")
        said = self.board.run(f"{RUN} 2>&1; echo code-$?")
        self.assertIn("code-2", said)
        self.assertIn("GPIO99", said)


class Waiting(BoardCase):
    def count_while_stuck(self, seconds):
        """More pulses than the kernel's buffer holds edges, while the meter's loop is stuck for that long."""
        started = time.monotonic()
        self.board.pulse(2_000)
        time.sleep(max(0, seconds - (time.monotonic() - started)))

    def assert_nothing_missed(self):
        self.assertEqual(self.register()["missed_edges"], 0, "the kernel's buffer overflowed: counting has waited")

    def test_C4_counting_does_not_wait_for_a_disk_that_stands_still_for_30_s(self):
        self.boot()
        self.head_end.run()
        self.start_meter(preload="/bin/libstall.so")
        self.board.run("touch /run/stall")
        before = self.server_total()
        self.count_while_stuck(30)
        self.assert_not_beyond(before, "the disk did not stand still")
        self.board.run("rm /run/stall")
        self.assert_confirmed(2_000)
        self.assert_nothing_missed()

    def test_C4_counting_does_not_wait_for_a_name_server_that_never_answers(self):
        self.boot(broker_url="mqtt://broker.example")
        self.board.run("echo nameserver 10.0.2.99 >/etc/resolv.conf")
        self.board.start(f"{RUN} >/run/out 2>/run/err")
        self.board.run("until [ -e /run/meter/meter.sqlite ]; do sleep 0.1; done; sleep 3")
        self.count_while_stuck(0)
        self.wait(lambda: self.register()["total_pulses"] == 2_000, "2,000 pulses in the register", HEALS)
        self.assert_nothing_missed()

    def test_C6_clock_steps_of_ten_years_change_neither_totals_nor_order(self):
        self.boot()
        self.head_end.run()
        self.start_meter()
        total = 0
        for year in ["2036", "2016", "2026"]:
            self.board.run(f"date -s '{year}-11-24 12:00:00'")
            self.board.pulse(100)
            total += 100
            self.assert_confirmed(total)
        readings = json.loads(self.head_end.command("readings", "hall", "--json", check=True).stdout)["readings"]
        self.assertEqual([each["sequence"] for each in readings], list(range(1, len(readings) + 1)))
        totals = [each["total_pulses"] for each in readings]
        self.assertEqual(totals, sorted(totals))
        self.assertEqual({each["measured_at"][:4] for each in readings} & {"2036", "2016"}, {"2036", "2016"})
        self.assertFalse(any(each["clock_synchronised"] for each in readings))
        self.assertTrue(any("clock_stepped" in each["events"] for each in readings))


def main():
    builds = [pathlib.Path(argument).resolve() for argument in sys.argv[1:]]
    builds += [ROOT / "build" / "dev", ROOT / "build" / "pi"][len(builds):]
    os.environ["PULSEMETER_BUILD"], os.environ["PULSEMETER_PI_BUILD"] = map(str, builds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the board and the broker are ended too
    tests = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = unittest.TextTestRunner(verbosity=2).run(tests)
    failed = len(result.errors) + len(result.failures)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
