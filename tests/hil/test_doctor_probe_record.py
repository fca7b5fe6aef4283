"""`doctor`, `probe` and `record` on the board's real line: what tests/integration/test_tools.py can't show."""

import json
import re

from board_case import HEALS, BoardCase
from harness import Process, program

CONFIG = "--config /etc/meter.toml"


class Tools(BoardCase):
    def doctor(self, code):
        said = self.board.run(f"meter-pi doctor {CONFIG} --state {self.STATE} --json; echo code-$?")
        self.assertIn(f"code-{code}", said, said)
        report = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
        self.assertEqual(report["ok"], code == 0)
        return {each["check"]: each for each in report["findings"]}

    def assert_wrong(self, findings, *checks):
        wrong = {check for check, finding in findings.items() if finding["health"] == "wrong"}
        self.assertEqual(wrong, set(checks), findings)

    def watch(self, words, pulses):
        """probe or record while so many pulses come; its output."""
        self.board.start(f"meter-pi {words} {CONFIG} </dev/null >/run/watched 2>&1")
        self.wait(lambda: self.board.run("cat /run/watched").strip(), "the line to be watched", HEALS)
        self.board.pulse(pulses, on=0.02, off=0.03)

    def end_watching(self):
        self.board.run("kill -INT $(pidof meter-pi); while pidof meter-pi; do sleep 0.1; done")
        return self.board.run("cat /run/watched")

    def test_doctor_finds_nothing_wrong_and_probe_and_record_see_each_pulse_of_the_line(self):
        self.boot(gpio_min_width_us=2_000, gpio_min_spacing_us=5_000, simulation_speed=1000)
        self.head_end.run()
        self.assert_wrong(self.doctor(code=1), "clock")  # there is no time service on the board
        self.board.run("synchronise")
        findings = self.doctor(code=0)
        self.assertEqual({check for check, finding in findings.items() if finding["health"] != "ok"},
                         {"broker files", "TLS", "held readings"})  # not used, and there is no register yet
        self.assertIn("line 0 of /dev/gpiochip0", findings["sensor line"]["found"])
        self.assertEqual(findings["level"]["found"], "idle")

        self.board.set_level(1)
        self.assert_wrong(self.doctor(code=1), "level")  # lit all of the time
        self.board.set_level(0)

        pulses = 40
        self.watch("probe", pulses)
        self.assert_wrong(self.doctor(code=1), "line free")  # probe has it
        self.wait(lambda: f" {pulses} pulses, " in self.board.run("tail -n 1 /run/watched"), "the pulses", HEALS)
        said = self.end_watching()
        self.assertRegex(said, rf"(?m)^level      inactive \(dark\)\n^pulses     {pulses}, .*\d.* W$")
        self.assertIn("quality    0 glitches, 0 edges missed, 0 pulses uncertain", said)
        for title in ("flashes", "pauses"):
            self.assertGreaterEqual(self.histogram(said, title), pulses - 1)

        self.watch("record /run/new.trace", pulses)
        self.assertIn(f"/run/new.trace: {2 * pulses} edges", self.end_watching())
        self.assert_counts(pulses)

        self.start_meter()
        self.assertIn("meter-pi (pid ", self.doctor(code=0)["line free"]["found"])

    def histogram(self, said, title):
        """How many runs it has in all."""
        rows = re.search(rf"(?m)^{title} .*\n((?: .*\n?)*)", said).group(1)
        return sum(map(int, re.findall(r"(?m)^ +(?:below|from) .* (\d+)  #+$", rows)))

    def assert_counts(self, pulses):
        """The recorded trace, played again on this host, a thousand times as fast."""
        trace = self.folder / "new.trace"
        trace.write_text(self.board.run("cat /run/new.trace") + "\n")
        replay = Process(self, "replay", [program("meter-pi"), "run", "--config", self.config, "--source",
                                          f"replay={trace}", "--state", self.folder / "replay"])
        replay.wait_out(rf"{pulses} pulses counted \(simulated\), waiting for the server")  # which is out of its reach
        replay.stop()
