"""Row C5: `register set` is an audited event and a new epoch: set, meter swap, another imp/kWh, with both programs."""
import json
import os
import sqlite3
import unittest
from decimal import Decimal

from harness import Case, Process, program

CONFIRMED = r"confirmed by the server"
PRICE = Decimal("0.39")


class Registers(Case):
    def setUp(self):
        super().setUp()
        self.broker_ = self.broker()
        self.server_ = self.server(self.broker_)
        self.meter_ = self.server_.add(simulation_seed=7, simulation_speed=10)
        self.server_.run()

    def register(self, *words):
        return self.run_command([program("meter-pi"), "register", *words, "--state", self.meter_.state])

    def set(self, kwh, *words, check=True):
        done = self.register("set", "--config", self.meter_.config, "--kwh", kwh, "--simulated", *words)
        if check:
            self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def show(self):
        done = self.register("show", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["registers"]

    def count_some(self, more=3):
        """Runs until some readings were confirmed, and ends; what the register shows then."""
        process = self.meter_.run()
        process.wait_out(CONFIRMED, count=more)
        process.stop()
        self.wait_equal_totals(self.server_, self.meter_)
        shown, = self.show()
        return shown

    def events(self):
        with sqlite3.connect(self.server_.data / "ledger.sqlite") as ledger:
            rows = ledger.execute("SELECT detail FROM event WHERE kind = 9 ORDER BY id").fetchall()
        ledger.close()
        return [detail for detail, in rows]

    def assert_consumption(self):
        """The cost is of the differences within epochs, of each at its own imp/kWh."""
        energy, first = Decimal(0), {}
        constants = {}
        with sqlite3.connect(self.server_.data / "ledger.sqlite") as ledger:
            constants = dict(ledger.execute("SELECT epoch, imp FROM life"))
        ledger.close()
        for (epoch, sequence), row in sorted(self.server_.rows().items()):
            before = first.get(epoch, row["total_pulses"])
            self.assertGreaterEqual(row["total_pulses"], before, (epoch, sequence))
            energy += Decimal(row["total_pulses"] - before) / constants[epoch]
            first[epoch] = row["total_pulses"]
        cost = (energy * PRICE).quantize(Decimal("0.0001"))
        self.assertLess(abs(Decimal(self.server_.status()["cost"]) - cost), Decimal("0.0002"))
        return energy

    def test_C5_a_set_register_is_a_new_epoch_that_the_server_shows(self):
        before = self.count_some()
        done = self.set("12345.678")
        self.assertIn("now:    simulated register: 12345.678 kWh", done.stdout)
        shown, = self.show()
        self.assertEqual((shown["kwh"], shown["pulses"], shown["waits_for_new_epoch"]), ("12345.678", 0, True))

        after = self.count_some()
        self.assertEqual((after["epoch"], after["start_kwh"], after["waits_for_new_epoch"]), (2, "12345.678", False))
        status = self.server_.status()
        self.assertEqual((status["epoch"], status["total_kwh"], status["refused"]), (2, after["kwh"], 0))
        self.assertIsNotNone(status["register_set_at"])
        self.assertIn("register set", self.server_.command("status", check=True).stdout)
        rows = self.server_.rows()
        self.assertEqual((rows[2, 1]["total_kwh"], rows[2, 1]["total_pulses"]), ("12345.678", 0))
        self.assertIn("register_set", rows[2, 1]["events"])
        self.assertNotIn("meter_swapped", rows[2, 1]["events"])
        self.assertNotIn("register_set", rows[2, 2]["events"])
        self.assertEqual(self.events(), ["register set to 12345.678 kWh at 1000 imp/kWh in epoch 2"])
        self.server_.process.wait_err(r"meter hall: register set to 12345\.678 kWh")
        self.assertEqual(self.assert_consumption(), Decimal(before["pulses"] + after["pulses"]) / 1000)

    def test_C5_set_is_refused_while_the_meter_runs_and_show_is_not(self):
        self.meter_.run().wait_out(CONFIRMED)
        self.assert_refused(self.set("1", check=False), 2, f"meter-pi (pid {self.meter_.process.pid})")
        self.assertEqual(self.show()[0]["epoch"], 1)
        self.meter_.process.wait_out(CONFIRMED, count=3)  # undisturbed
        self.meter_.process.stop()
        self.assertFalse(self.show()[0]["waits_for_new_epoch"])

    def test_C5_another_constant_and_a_swapped_meter(self):
        self.count_some()
        self.meter_.configure(meter_imp_per_kwh=800)
        self.assert_refused(self.run_command(self.meter_.arguments()), 2, "800", "1000", "register set")
        self.set("0.5", "--swap")
        after = self.count_some()
        self.assertEqual((after["epoch"], after["imp_per_kwh"]), (2, 800))
        self.assertGreaterEqual({*self.server_.rows()[2, 1]["events"]},
                                {"register_set", "meter_swapped", "constant_changed"})
        self.assertIn("(another meter, another imp/kWh)", self.events()[0])
        self.assert_consumption()

    def test_C5_set_before_the_first_run(self):
        self.set("777.125")
        after = self.count_some()
        self.assertEqual((after["epoch"], after["start_kwh"]), (1, "777.125"))
        self.assertEqual(self.server_.rows()[1, 1]["total_kwh"], "777.125")

    def test_C5_what_no_server_knew_of_is_not_lost(self):
        self.broker_.stop()
        self.meter_.run().wait_out(r"[1-9]\d* pulses counted \(simulated\), waiting")
        self.meter_.process.stop()
        before, = self.show()
        self.set("10")
        self.meter_.run().wait_out(r"[1-9]\d* pulses counted \(simulated\), waiting")
        self.meter_.process.stop()
        between, = self.show()
        self.assertGreater(between["pulses"], 0)
        self.assert_refused(self.set("11", check=False), 2, f"{between['pulses']} pulses", "meter-pi run")

        self.broker_.start()
        self.server_.process.wait_err(r"connected to mqtt:", count=2)
        after = self.count_some()
        self.assertEqual((after["epoch"], self.server_.status()["refused"]), (2, 0))
        self.assertGreaterEqual(after["pulses"], between["pulses"])
        self.assertEqual(self.assert_consumption(), Decimal(before["pulses"] + after["pulses"]) / 1000)

    def test_a_number_that_is_none_is_one_line(self):
        for wrong in ("12,5", "-1", "1e3", "1.2345678", "99999999999999"):
            self.assert_refused(self.set(wrong, check=False), 2, "--kwh")
        self.assertFalse((self.meter_.state / "meter.sqlite").exists())

    @unittest.skipUnless(os.geteuid() == 0, "only root sets another user's register")
    def test_root_sets_a_services_register_and_leaves_it_to_its_user(self):
        service = 12345
        self.meter_.state = self.folder / "service"  # whose parents anyone may enter
        self.meter_.state.mkdir(mode=0o700)
        os.chown(self.meter_.state, service, service)
        self.set("5")
        files = list(self.meter_.state.iterdir())
        self.assertIn("meter.sqlite", [file.name for file in files])
        self.assertEqual({(file.stat().st_uid, file.stat().st_gid) for file in files}, {(service, service)})
        self.assertEqual([each["kwh"] for each in self.show()], ["5.000"])

    def test_an_answer_that_can_not_be_written_is_no_success(self):
        self.set("5")
        for words in [["register", "show"], ["register", "show", "--json"], ["status", "--json"]]:
            with open("/dev/full", "w", encoding="utf-8") as full:
                process = Process(self, "meter-pi", [program("meter-pi"), *words, "--state", self.meter_.state], stdout=full)
                self.assertEqual(process.wait_exit(), 1, words)
            self.assertIn("writing to standard output: No space left on device", process.err())
