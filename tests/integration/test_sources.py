"""Row C7: simulated and measured energy never mix; what `auto` does on a machine without the line; traces."""
import glob
import re
import sqlite3
import struct
import zlib

from harness import ROOT, Case
from wire import MEASURED, SIMULATED, Keys

METER_LINE = r"hall  reading (\d+): "
CONFIRMED = r"confirmed by the server"
NO_SUCH_LINE = "PULSEMETER-TEST-NO-SUCH-LINE"


class Sources(Case):
    def setUp(self):
        super().setUp()
        self.broker_ = self.broker()
        self.server_ = self.server(self.broker_)
        self.meter_ = self.server_.add(simulation_seed=7, gpio_line=NO_SUCH_LINE)
        self.server_.run()

    def measured_register(self, pulses):
        """As a sensor would have left it; there is none on a test machine."""
        self.meter_.run()
        self.meter_.process.wait_out(CONFIRMED, count=2)
        self.meter_.process.stop()
        self.wait_equal_totals(self.server_, self.meter_)
        with sqlite3.connect(self.meter_.state / "meter.sqlite") as store:
            row = (MEASURED, 0, 0, pulses, 0, 1000, 0, 0, 0, 0)
            no_renewal = (0, 0, 1000, 0, 0)
            store.execute("INSERT INTO register (source, epoch, last, total, numbered, imp, start, glitches, missed, uncertain, "
                          "checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                          (*row, zlib.crc32(struct.pack("<15Q", *row, *no_renewal))))
        store.close()

    def test_C7_auto_without_gpio_simulates_and_says_so_loudly(self):
        self.assertEqual(glob.glob("/dev/gpiochip*"), [], "this test is for a machine without GPIO")
        self.meter_.run("auto")
        line, = self.meter_.process.wait_err(r"^.*\b(?:warning|error)\b.*(?i:simulat).*$")
        self.assertNotIn("\n", line)
        self.meter_.process.wait_out(r"simulated$", count=2)
        self.server_.process.wait_out(r", simulated$", count=2)
        self.assertEqual(self.server_.status()["source"], "simulated")
        self.meter_.process.stop()
        self.assertIsNone(self.meter_.register("measured"))

    def test_C7_gpio_without_gpio_is_refused_with_the_remedy(self):
        line = self.assert_refused(self.run_command(self.meter_.arguments("gpio")), 2, NO_SUCH_LINE)
        self.assertTrue(re.search(r"simulate|gpio|libgpiod", line), line)

    def test_C7_auto_never_simulates_a_register_that_was_fed_by_hardware(self):
        self.measured_register(5)
        simulated = self.meter_.register()
        keys, tap = Keys.of(self.meter_), self.tap(self.broker_)
        self.meter_.run("auto")
        self.meter_.process.wait_out(METER_LINE, count=4)
        self.assertIn("sensor missing", self.meter_.status()["condition"])
        self.wait(lambda: self.server_.status()["source"] == "measured", "the measured register on the server")
        self.meter_.process.stop()
        self.assertNotIn("simulated", self.meter_.process.out())
        measured = self.meter_.register("measured")
        self.assertEqual((measured["total_pulses"], measured["epoch"]), (5, 2), "an epoch of its own, and no pulse more")
        self.assertEqual(self.meter_.register(), simulated, "the simulated register rests")
        status = self.server_.status()
        self.assertEqual((status["total_pulses"], status["epoch"], status["refused"]), (5, 2, 0))
        sources = {}
        for message in tap.seen(keys.up_topic):
            kind, fields = keys.open_up(message.payload)
            if kind == "Reading":
                sources.setdefault(fields["epoch"], set()).add(fields["source"])
        self.assertEqual(sources[2], {MEASURED})
        self.assertLessEqual(sources.get(1, set()), {SIMULATED})
        by_epoch = {}
        for row in self.server_.readings():
            by_epoch.setdefault(row["epoch"], set()).add(row["source"])
        self.assertEqual(by_epoch, {1: {"simulated"}, 2: {"measured"}})
        self.assertIn("became_measured", self.server_.rows()[2, 1]["events"])

    def test_C7_a_missing_sensor_is_reported_while_no_server_answers(self):
        self.measured_register(5)
        self.broker_.stop()
        self.meter_.run("auto")
        self.wait(lambda: "sensor missing" in self.meter_.status()["condition"], "the condition")
        self.assertEqual(self.meter_.register("measured")["total_pulses"], 5)

    def test_C7_the_cost_of_a_measured_register_has_no_simulated_energy_in_it(self):
        self.measured_register(1000)
        self.meter_.run("auto")
        self.wait(lambda: self.server_.status()["total_pulses"] == 1000, "the measured total")
        self.assertEqual(self.server_.status()["cost"], "0.3900")

    def test_C7_simulate_and_replay_are_refused_on_a_measured_register(self):
        self.measured_register(5)
        for source in ("simulate", f"replay={ROOT / 'tests/traces/clean_s0.trace'}"):
            self.assert_refused(self.run_command(self.meter_.arguments(source)), 2, "hardware")
        self.assertEqual(self.meter_.register("measured")["total_pulses"], 5)

    def test_C3_a_recorded_trace_arrives_pulse_by_pulse(self):
        for trace in ("clean_s0", "s0_bounce"):
            path = ROOT / "tests" / "traces" / f"{trace}.trace"
            expected = int(re.search(r"pulses=(\d+)", path.read_text()).group(1))
            meter = self.server_.add(trace.replace("_", "-"), simulation_speed=1000)
            meter.run(f"replay={path}")
            meter.process.wait_out(rf"Total Units = {expected}, .*simulated$")
            meter.process.stop()
            register = self.wait_equal_totals(self.server_, meter)
            self.assertEqual(register["total_pulses"], expected)

    def test_a_trace_that_is_missing_or_wrong_is_one_line(self):
        wrong = self.folder / "wrong.trace"
        wrong.write_text("# pulsemeter trace 1\n5 1 1\nnonsense\n")
        self.assert_refused(self.run_command(self.meter_.arguments(f"replay={wrong}")), 2, f"{wrong}", "3")
        missing = self.folder / "missing.trace"
        self.assert_refused(self.run_command(self.meter_.arguments(f"replay={missing}")), 2, missing)
        self.assert_refused(self.run_command(self.meter_.arguments("replay=")), 2, "replay")
        self.assert_refused(self.run_command(self.meter_.arguments("sundial")), 2, "sundial")
