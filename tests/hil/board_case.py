"""What the tests of this folder stand on: meter-pi, as it is built for the Pi, on the board; a real broker and the
server on this host."""

import json
import os
import pathlib
import shlex

from board import Board
from harness import Case, Meter

ROOT = pathlib.Path(__file__).resolve().parents[2]
TREES = ROOT / "build" / "sysroot"
HEALS = 120  # seconds; the board is slow on a busy machine, and a lost connection is noticed by its keep-alive


class BoardCase(Case):
    STATE = "/run/meter"

    def setUp(self):
        super().setUp()
        self.mosquitto = self.broker()
        self.head_end = self.server(self.mosquitto)
        self.config = self.folder / "meter.toml"

    def pi_build(self):
        return pathlib.Path(os.environ["PULSEMETER_PI_BUILD"])

    def make_config(self, max_kw=100, imp_per_kwh=10_000, **settings):
        """`settings` as in harness.Meter.configure."""
        # These 100 kW are 278 pulses a second: faster than the board is pulsed, and still a filter.
        if not self.config.exists():
            self.head_end.command("meter", "add", "hall", "--imp-per-kwh", imp_per_kwh, "--max-kw", max_kw,
                                  "--interval", 1, "--broker", "mqtt://10.0.2.100:1883", "--out", self.config,
                                  password=True, check=True)
        # The board's GPIO controller has no pull resistors.
        self.configure(**{"gpio_pull": "none", "gpio_active": "high", **settings})

    def boot(self, disk=None, **settings):
        """Leaves a running board in self.board; `settings` as in make_config."""
        self.make_config(**settings)
        build = self.pi_build()
        tests = build / "tests" / "hil"
        self.board = self.enterContext(
            Board(self.folder, TREES / "board", TREES / "pi",
                  [build / "meter-pi" / "meter-pi", tests / "fence", tests / "pulse", tests / "synchronise",
                   tests / "libstall.so"],
                  {"meter.toml": self.config.read_bytes()}, self.mosquitto.port, disk))

    def configure(self, **settings):
        Meter(self, "hall", self.config).configure(**settings)

    def put_config(self, **settings):
        """Other settings for the running board."""
        self.configure(**settings)
        self.board.run("rm /etc/meter.toml; (umask 077; touch /etc/meter.toml)")
        for line in self.config.read_text("utf-8").splitlines():
            self.board.run(f"echo {shlex.quote(line)} >>/etc/meter.toml")

    def command(self, source="gpio"):
        return f"meter-pi run --config /etc/meter.toml --source {source} --state {self.STATE}"

    def start_meter(self, preload="", source="gpio"):
        self.board.start(f"LD_PRELOAD={preload} {self.command(source)} >/run/out 2>/run/err")
        self.wait(lambda: self.server_total() is not None, "the meter's first reading", HEALS)

    def stop_meter(self):
        self.board.run("kill $(pidof meter-pi); while pidof meter-pi; do sleep 0.1; done")

    def refused(self, source="gpio"):
        """What the program says when it refuses to run; that it does so as for wrong usage."""
        said = self.board.run(f"{self.command(source)} 2>&1; echo code-$?")
        self.assertIn("code-2", said)
        return said

    def wait_said(self, words, file="/run/err"):
        self.wait(lambda: self.board.run(f"grep -c -e '{words}' {file} || true").strip() not in ("", "0"),
                  f"{words!r} in {file}", HEALS)

    def registers(self):
        said = self.board.run(f"meter-pi status --json --state {self.STATE}")
        status = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
        return {each["source"]: each | {"outbox": status["outbox"], "condition": status["condition"]}
                for each in status["registers"]}

    def register(self):
        return self.registers()["measured"]

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
            said = self.board.run(f"tail -n 30 /run/out /run/err; meter-pi status --json --state {self.STATE}")
            raise AssertionError(f"{failure}\nthe server has {self.server_total()}; on the board:\n{said}") from None

    def assert_not_beyond(self, total, why):
        """What was just put on the pin is counted on the board and can't have reached the server."""
        self.assertEqual(self.server_total(), total, why)
