"""Rows C4, C6, D5: counting while the disk, the name server, the clock or the network is not as it should be."""

import json
import time

from board_case import HEALS, BoardCase
from harness import rounds


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
        self.board.start(f"{self.command()} >/run/out 2>/run/err")
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

    def test_D5_D6_a_flapping_link_loses_nothing_and_the_meter_needs_no_restart(self):
        self.boot()
        self.head_end.run()
        self.start_meter()
        flaps = rounds(6, 200)
        for _ in range(flaps):
            self.board.set_link("down")
            self.board.pulse(self.random.randint(1, 60))
            self.board.set_link("up")
            self.board.pulse(self.random.randint(1, 60))
        self.assert_confirmed(self.board.pulses)
        self.assertEqual(self.board.run("grep -c 'so far, broker' /run/err").strip(), "1", "it was restarted")
        sequences = [row["sequence"] for row in self.head_end.readings()]
        self.assertEqual(sequences, list(range(1, len(sequences) + 1)))
