"""Rows P2, P6: the power goes while pulses are counted, the disk is kept and loses what it was never told to keep.

The kernel is real, the file system (ext4) and SQLite are, and QEMU is killed at a random instant. `disk.Disk` is the
card: at each cut a random part of what the kernel has not flushed is lost.
"""

import re
import shutil
import threading

from board_case import HEALS, BoardCase
from disk import Disk
from harness import Meter, rounds
from wire import Keys

STORED = r"hall  (?:reading \d+: Total Units = (\d+),|(\d+) pulses counted)"


class PowerCut(BoardCase):
    STATE = "/disk/meter"

    def setUp(self):
        super().setUp()
        self.disk = self.enterContext(Disk(self.folder))
        self.observer = self.tap(self.mosquitto)
        self.unflushed = []  # of each cut: sectors that were written and not flushed

    def power_on(self, floor, ceiling):
        """Boots from the disk and starts the meter; the total that it goes on from is within these bounds."""
        # 1000 imp/kWh: a unit is a pulse, and the program's own lines can be compared with what is on the pin.
        self.boot(disk=self.disk, imp_per_kwh=1_000, max_kw=10_000, gpio_filter="none")
        if not self.head_end.process:
            self.head_end.run()
        # Its lines go to the console, which outlives the board.
        self.board.start(f"{self.command()} 2>&1 | tee /run/out")
        total = int(self.board.wait_for(r"meter hall: (\d+) pulses at", HEALS)[1])
        self.assertGreaterEqual(total, floor, "a total that was committed is lost")
        self.assertLessEqual(total, ceiling, "more than was ever put on the pin")
        self.board.wait_for(r"reading \d+: Total Units", HEALS)
        return total

    def cut_while_writing(self):
        self.disk.cut_at_write(self.random.randint(1, 40), self.board.cut_power)

    def cut_by_the_clock(self):
        timer = threading.Timer(self.random.uniform(0.2, 2.5), self.board.cut_power)
        timer.start()
        self.addCleanup(timer.join)

    def pulse_until_dark(self, total):
        """After one of the two above: (the last total that the program called stored, the most that the pin saw)."""
        try:
            while True:
                self.board.pulse(1, on=0, off=self.random.choice([0, 0.001, 0.01]))
        except (OSError, EOFError, TimeoutError, RuntimeError):
            pass  # nobody answers any more
        self.board.__exit__()
        self.unflushed.append(sum(self.disk.cut(self.random)))
        stored = [int(units or pulses) for units, pulses in re.findall(STORED, self.board.console())]
        return stored[-1], total + self.board.pulses

    def contents(self):
        """Everything that was ever published: {(epoch, sequence): fields}, each with one content."""
        keys, contents = Keys.of(Meter(self, "hall", self.config)), {}
        for message in self.observer.seen(keys.up_topic):
            opened = keys.open_up(message.payload)
            if opened and opened[0] == "Reading":
                at = opened[1]["epoch"], opened[1]["sequence"]
                self.assertEqual(contents.setdefault(at, opened[1]), opened[1], f"{at} has two contents")
        return contents

    def test_P2_P6_a_register_survives_power_cuts_while_it_counts_and_an_old_card_put_back(self):
        floor = ceiling = 0
        for number in range(rounds(3, 1_000)):
            total = self.power_on(floor, ceiling)
            [self.cut_while_writing, self.cut_by_the_clock][number % 2]()
            floor, ceiling = self.pulse_until_dark(total)
            floor = max(floor, self.server_total() or 0)
        self.assertGreater(max(self.unflushed), 0, "the disk was never in the midst of anything: these cuts show nothing")
        total = self.power_on(floor, ceiling)
        self.board.pulse(10, on=0, off=0)
        self.assert_confirmed(total + 10)
        contents = self.contents()
        self.assertGreater(len(contents), 4)
        self.assertEqual({epoch for epoch, _ in contents}, {1})
        self.assertEqual((self.head_end.status()["refused"], self.head_end.status()["held"]), (0, 0))

        # P6: a copy of the card, more pulses, and the copy put back.
        self.board.run("sync")
        shutil.copy(self.disk.image, self.folder / "old.image")
        self.board.pulse(200, on=0, off=0)
        self.assert_confirmed(total + 210)
        self.board.cut_power()
        self.board.__exit__()
        self.disk.cut(self.random)
        shutil.copy(self.folder / "old.image", self.disk.image)
        self.power_on(total + 10, total + 10)
        self.assertIn("server is ahead", self.board.console())
        self.board.pulse(5, on=0, off=0)
        self.assert_confirmed(total + 215)
        self.assertEqual({epoch for epoch, _ in self.contents()}, {1, 2})
