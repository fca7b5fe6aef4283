"""Row H1 with a real line: the board boots Debian's systemd, which starts the package's unit as it is, with every
restriction, and the service counts what comes in on GPIO17."""

import os
import shutil
import unittest

from board_case import ROOT, TREES, BoardCase
from debian import RootDisk, lay_out

ARCHIVE = ROOT / "build" / "package" / "board.tar"
STARTS = 300  # seconds; twenty on a quiet machine
# Run in the service's place, as its user in its sandbox.
PROBE = """#!/bin/sh
for device in gpiochip0 vda null; do
  if (: </dev/$device); then echo "$device: opened"; fi
done >$STATE_DIRECTORY/probe 2>&1
"""


class Service(BoardCase):
    STATE = "/var/lib/pulsemeter-meter"

    def setUp(self):
        if os.geteuid() != 0:
            raise unittest.SkipTest("a disk with a whole Debian takes root")
        super().setUp()

    def root(self):
        self.make_config()
        build = self.pi_build()
        root = lay_out(self.folder, ARCHIVE, TREES / "board", build, self.config)
        shutil.copy(build / "tests" / "hil" / "fence", root / "usr/bin")
        (root / "usr/bin/probe").write_text(PROBE)
        (root / "usr/bin/probe").chmod(0o755)
        drop_in = root / "etc/systemd/system/pulsemeter-meter.service.d"
        drop_in.mkdir()
        (drop_in / "probe.conf").write_text("[Service]\nExecStartPre=/usr/bin/probe\n")
        # The chip's group comes late, as on a board that boots slowly. The disk is anybody's by its mode: what forbids
        # it is the unit's list of devices.
        (root / "etc/udev/rules.d").mkdir(exist_ok=True)
        (root / "etc/udev/rules.d/10-late.rules").write_text('SUBSYSTEM=="gpio", PROGRAM="/usr/bin/busybox sleep 3"\n'
                                                             'KERNEL=="vda", MODE="0666"\n')
        return root

    def test_H1_a_real_line_is_counted_under_the_units_restrictions_and_no_other_device_is_had(self):
        self.head_end.run()
        self.boot(disk=RootDisk(self.folder, self.root()))
        try:
            self.wait(lambda: self.server_total() is not None, "the service's first reading", STARTS)
        except AssertionError:
            self.fail(f"no reading has come:\n{self.board.run('journalctl -b --no-pager | tail -n 40')}")
        self.board.pulse(200)
        self.assert_confirmed(200)
        self.assertEqual(list(self.registers()), ["measured"])
        self.assertIn("root gpio 660", self.board.run("stat -c '%U %G %a' /dev/gpiochip0"))
        self.assertIn("root disk 666", self.board.run("stat -c '%U %G %a' /dev/vda"))
        probed = self.board.run(f"cat {self.STATE}/probe")
        self.assertIn("gpiochip0: opened", probed)
        self.assertIn("null: opened", probed)
        self.assertRegex(probed, "vda: Operation not permitted")
        owner = self.board.run("stat -c %U /proc/$(systemctl show --value --property=MainPID pulsemeter-meter)")
        self.assertIn("pulsemeter-meter", owner)
