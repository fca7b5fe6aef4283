"""What an operator does beside a running server, and how it is ended. Row I3: what can't be right is held."""
import csv
import datetime
import io
import json
import re
import signal
import subprocess
import time

from harness import Case, Process, Terminal, program
from wire import MEASURED, Keys, Peer, reading

CSV_HEADER = ["epoch", "sequence", "total_pulses", "total_kwh", "power_w", "source", "measured_at",
              "clock_synchronised", "received_at", "standing", "glitches", "missed_edges", "uncertain", "events"]


class BesideARunningServer(Case):
    def test_meter_add_takes_effect_within_2_s(self):
        broker = self.broker()
        server = self.server(broker)
        server.run()
        meter = server.add("hall")  # returns when the keystore is written
        added = time.monotonic()
        meter_tap = self.tap(broker)
        peer = Peer(self, meter_tap, Keys.of(meter))

        def subscribed():
            return peer.keys.up_topic in broker.log()
        self.wait(subscribed, "the server's subscription", 5)
        print(f"        the running server took the meter in after {time.monotonic() - added:.2f} s")
        meter.run()
        meter.process.wait_out(r"confirmed by the server")
        listed = server.command("meter", "list", check=True).stdout
        self.assertIn("hall", listed)

    def test_two_meters_are_kept_apart(self):
        broker, server, hall = self.all_running(simulation_seed=7)
        attic = server.add("attic", simulation_seed=8)
        attic.run()
        attic.process.wait_out(r"confirmed by the server", count=3)
        for meter in (hall, attic):
            meter.process.stop()
        registers = [self.wait_equal_totals(server, meter) for meter in (hall, attic)]
        for meter, register in zip((hall, attic), registers):
            self.assertEqual(sorted(server.rows(meter.name)), [(1, s) for s in range(1, register["sequence"] + 1)])

    def test_readings_as_table_csv_and_json_and_since(self):
        broker = self.broker()
        server = self.server(broker)
        peer = Peer(self, self.tap(broker), Keys.of(server.add("hall")))
        server.run()
        peer.hello()
        noon = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone.utc)
        for sequence in range(1, 11):
            at = int((noon + datetime.timedelta(minutes=sequence)).timestamp() * 1000)
            peer.send(reading(1, sequence, 7 * sequence, measured_at=at, power=1500 * sequence))
        peer.wait_confirmed((1, s) for s in range(1, 11))

        table = server.command("readings", "hall", check=True).stdout
        self.assertEqual(len(re.findall(r"2026-01-31 12:\d\d:00", table)), 10, table)
        rows = list(csv.reader(io.StringIO(server.command("readings", "hall", "--csv", check=True).stdout)))
        self.assertEqual(rows[0], CSV_HEADER)
        as_json = server.readings()
        self.assertEqual(len(rows), 11)
        for row, each in zip(rows[1:], as_json):
            self.assertEqual(list(each), CSV_HEADER)
            self.assertEqual(row[:6], [str(each[key]) for key in CSV_HEADER[:6]])
        self.assertEqual((as_json[9]["total_kwh"], as_json[9]["power_w"], as_json[9]["measured_at"]),
                         ("0.070", "15", "2026-01-31T12:10:00.000Z"))
        self.assertEqual(as_json[0]["power_w"], "1.5")
        for since, count in (("2026-01-31T12:06:00Z", 5), ("2026-01-31T13:06:00+01:00", 5), ("2026-01-31T12:06", 5),
                             ("2026-01-31", 10), ("2026-02-01", 0), ("2026-01-31 12:10:00.001", 0)):
            listed = json.loads(server.command("readings", "hall", "--json", "--since", since, check=True).stdout)
            self.assertEqual(len(listed["readings"]), count, since)
        for wrong in ("yesterday", "2026-13-01", ""):
            self.assert_refused(server.command("readings", "hall", "--since", wrong), 2)
        self.assertEqual(server.command("readings", "hall", "--json", "--csv").returncode, 2)

    def test_costs_are_exact(self):
        broker = self.broker()
        server = self.server(broker)
        peer = Peer(self, self.tap(broker), Keys.of(server.add("hall")))
        server.run()
        peer.hello()
        peer.send(reading(1, 1, 0))
        peer.wait_confirmed([(1, 1)])
        for sequence, (total, cost) in enumerate(((42, "0.0164"), (48, "0.0187"), (52, "0.0203")), 2):
            peer.send(reading(1, sequence, total))
            server.process.wait_out(rf"hall  Total Units = {total}, Total Cost \(@£0\.00039 per unit\): £{cost}, 120 W")
            self.assertEqual(server.status()["cost"], cost)


class Held(Case):
    def setUp(self):
        super().setUp()
        self.broker_ = self.broker()
        self.server_ = self.server(self.broker_)
        self.peer = Peer(self, self.tap(self.broker_), Keys.of(self.server_.add("hall")))
        self.server_.run()
        self.peer.hello()

    def send(self, *args, **changes):
        fields = reading(*args, **changes)
        self.peer.send(fields)
        return fields

    def held(self):
        return json.loads(self.server_.command("held", "list", "--json", check=True).stdout)["held"]

    def status(self):
        status = self.server_.status()
        return status["total_pulses"], status["refused"], status["held"]

    def test_I3_a_fall_is_held_and_can_be_accepted(self):
        for sequence, total in ((1, 0), (2, 100), (3, 200)):
            self.send(1, sequence, total)
        self.peer.wait_confirmed((1, s) for s in (1, 2, 3))
        fell = self.send(1, 4, 150)
        self.peer.wait_refused((1, 4), "total fell")
        self.assertNotIn((1, 4), self.peer.confirmed())
        self.assertEqual(self.status(), (200, 1, 1))
        self.assertNotIn((1, 4), self.server_.rows())
        held, = self.held()
        self.assertEqual((held["id"], held["epoch"], held["sequence"], held["total_pulses"], held["reason"]),
                         ("hall", 1, 4, 150, "total fell"))
        self.assertIn("hall", self.server_.command("held", "list", check=True).stdout)
        self.server_.process.wait_err(r"meter hall: .*fell")
        cost = self.server_.status()["cost"]

        self.server_.command("held", "accept", "hall", check=True)
        self.assertEqual(self.held(), [])
        self.peer.send(fell)  # as the meter does every hour
        self.peer.wait_confirmed([(1, 4)])
        self.send(1, 5, 160)  # goes on from the new baseline
        self.peer.wait_confirmed([(1, 5)])
        self.assertEqual(self.status(), (160, 1, 0))
        self.assertEqual(self.server_.rows()[1, 4]["standing"], "accepted by the operator")
        # 200 were used before the fall and 10 after it; the fall itself is no energy
        self.assertEqual((cost, self.server_.status()["cost"]), ("0.0780", "0.0819"))

    def test_I3_an_impossible_jump_is_held_and_can_be_discarded(self):
        # 43 kW at 1000 imp/kWh is about 12 pulses a second
        for sequence, total in ((1, 0), (2, 100)):
            self.send(1, sequence, total, source=MEASURED)
        self.peer.wait_confirmed([(1, 1), (1, 2)])
        jump = self.send(1, 3, 10**6, source=MEASURED)
        self.peer.wait_refused((1, 3), "implausible rate")
        self.assertEqual(self.status(), (100, 1, 1))
        self.server_.command("held", "discard", "hall", "--epoch", 1, "--sequence", 3, check=True)
        self.assertEqual(self.held(), [])
        self.peer.send(jump)  # settled, so that the meter forgets it
        self.peer.wait_confirmed([(1, 3)])
        self.send(1, 4, 130, source=MEASURED)
        self.peer.wait_confirmed([(1, 4)])
        self.assertEqual(self.status(), (130, 1, 0))
        self.assertEqual(self.server_.rows()[1, 3]["standing"], "discarded")
        self.assertEqual(self.server_.status()["cost"], "0.0507")

    def test_I3_conflicts_and_changed_constants_are_refused(self):
        self.send(1, 1, 0)
        first = self.send(1, 2, 50)
        self.peer.wait_confirmed([(1, 2)])
        self.peer.send({**first, "total": 60})
        self.peer.wait_refused((1, 2), "conflict")
        self.send(1, 3, 70, imp_per_kwh=500)
        self.peer.wait_refused((1, 3), "constant changed")
        self.send(1, 4, 80, source=MEASURED)
        self.peer.wait_refused((1, 4), "constant changed")
        self.server_.process.wait_err(r"meter hall: epoch 1 reading 2 \(total 60\) refused: number already taken")
        self.assertEqual(self.server_.status()["total_pulses"], 50)
        self.assertEqual(sorted(self.server_.rows()), [(1, 1), (1, 2)])
        self.send(1, 5, 90)  # and good ones go on
        self.peer.wait_confirmed([(1, 5)])

    def test_I3_what_is_held_is_named_when_there_are_several(self):
        for sequence, total in ((1, 0), (2, 100), (3, 50), (4, 60)):
            self.send(1, sequence, total)
            self.wait(lambda s=sequence: (1, s) in self.peer.confirmed() | set(self.peer.refused()), "an answer")
        self.assertEqual(len(self.held()), 2)
        self.assert_refused(self.server_.command("held", "accept", "hall"), 2, "--sequence")
        self.assertEqual(len(self.held()), 2)
        done = self.server_.command("held", "accept", "hall", "--epoch", 1, "--sequence", 77)
        self.assertIn(done.returncode, (1, 2), done.stderr)

    def test_I3_an_older_epoch_joins_the_history_only(self):
        self.send(1, 1, 0)
        self.send(2, 1, 500)
        self.send(2, 2, 600)
        self.peer.wait_confirmed([(1, 1), (2, 1), (2, 2)])
        self.send(1, 2, 450)  # came late
        self.peer.wait_confirmed([(1, 2)])
        status = self.server_.status()
        self.assertEqual((status["epoch"], status["total_pulses"], status["refused"]), (2, 600, 0))
        self.assertEqual(status["cost"], "0.2145", "450 + 100: consumption is within epochs")

    def test_events_are_listed_the_newest_last_of_all_or_of_one_meter(self):
        self.assertEqual(self.server_.command("events", check=True).stdout, "no event yet\n")
        self.assertEqual(self.events(), [])
        attic = Peer(self, self.tap(self.broker_), Keys.of(self.server_.add("attic")))
        attic.hello()
        self.send(1, 1, 0)
        self.peer.wait_confirmed([(1, 1)])
        attic.send(reading(1, 1, 0))
        attic.wait_confirmed([(1, 1)])
        self.send(1, 2, 10**6, source=MEASURED)
        self.peer.wait_refused((1, 2), "constant changed")
        self.server_.command("held", "discard", "hall", check=True)

        mine = [("hall", "epoch_started"), ("hall", "refused"), ("hall", "held_discarded")]
        self.assertEqual(self.events(), [mine[0], ("attic", "epoch_started"), *mine[1:]])
        self.assertEqual(self.events("hall"), mine)
        self.assertEqual(self.events("--most", 2), mine[1:])
        for line, (meter, kind) in zip(self.server_.command("events", "hall", check=True).stdout.splitlines(), mine, strict=True):
            self.assertRegex(line, rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  {meter} +{kind} +epoch 1 reading [12] \(total \d+\b")
        self.assert_refused(self.server_.command("events", "cellar"), 2, "cellar")
        self.assert_refused(self.server_.command("events", "--most", 0), 2, "--most")

    def events(self, *words):
        listed = json.loads(self.server_.command("events", "--json", *words, check=True).stdout)["events"]
        for each in listed:
            self.assertRegex(each["at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertTrue(each["detail"])
        return [(each["meter"], each["kind"]) for each in listed]

    def test_a_hello_is_answered_with_what_the_server_knows(self):
        self.send(1, 1, 0)
        self.send(1, 2, 33)
        self.peer.wait_confirmed([(1, 2)])
        state = self.peer.hello()
        self.assertEqual({key: state[key] for key in ("highest_epoch", "epoch", "sequence", "total", "imp_per_kwh")},
                         {"highest_epoch": 1, "epoch": 1, "sequence": 2, "total": 33, "imp_per_kwh": 1000})
        state = self.peer.hello(source=MEASURED)
        self.assertEqual((state["highest_epoch"], state["epoch"], state["total"]), (1, 0, 0))


class RefusedByTheServer(Case):
    def held(self, server):
        return json.loads(server.command("held", "list", "--json", check=True).stdout)["held"]

    def test_I3_a_meters_refused_readings_are_held_on_both_sides_and_either_verdict_settles_them(self):
        broker, server, meter = self.all_running(simulation_seed=7)
        meter.process.wait_out(r"confirmed by the server", count=2)
        now = meter.register()
        # Whoever has the key says a later number with today's total: what the meter counts from here on lies above it.
        Peer(self, self.tap(broker), Keys.of(meter)).send(reading(now["epoch"], now["sequence"] + 1000, now["total_pulses"]))
        meter.process.wait_err(r"refused reading \d+ of epoch 1: .*; it is held: see `meter-server held list`")
        self.wait(lambda: meter.status()["held"] >= 2, "two readings held by the meter")
        meter.process.stop()
        self.assertIn("of them held (refused by the server)",
                      self.run_command([program("meter-pi"), "status", "--state", meter.state], check=True).stdout)
        held = self.held(server)
        self.assertGreaterEqual(len(held), meter.status()["held"])
        self.assertEqual(server.status()["held"], len(held))

        verdicts = iter(["accept"] + ["discard"] * 1000)
        for _ in range(3):  # a reading that was still on its way at the end is refused after the next start
            for each in self.held(server):
                server.command("held", next(verdicts), "hall", "--epoch", each["epoch"], "--sequence", each["sequence"], check=True)
            meter.run()
            meter.process.wait_out(r"confirmed by the server", count=2)
            meter.process.stop()
            if meter.status()["held"] == 0 and not self.held(server):
                break
        self.assertEqual((meter.status()["held"], self.held(server)), (0, []))
        standings = {row["standing"] for row in server.rows().values()}
        self.assertEqual(standings, {"admitted", "accepted by the operator", "discarded"})
        self.wait_equal_totals(server, meter)


class Endings(Case):
    def test_SIGTERM_and_SIGINT_end_both_with_0(self):
        broker, server, meter = self.all_running()
        meter.process.stop(signal.SIGTERM)
        server.process.stop(signal.SIGTERM)
        server.run()
        meter.run()
        meter.process.wait_out(r"confirmed by the server")
        meter.process.stop(signal.SIGINT)
        server.process.stop(signal.SIGINT)

    def test_end_of_input_is_not_enter(self):
        broker = self.broker()
        server = self.server(broker)
        meter = server.add()
        process = server.run()  # its stdin is /dev/null: at its end from the start
        meter.run()
        meter.process.wait_out(r"confirmed by the server", count=3)
        self.assertTrue(process.running())

    def test_a_line_from_a_pipe_is_not_enter_on_a_terminal(self):
        broker = self.broker()
        server = self.server(broker)
        meter = server.add()
        process = server.run(stdin=subprocess.PIPE)
        process.popen.stdin.write(b"\n\n")
        process.popen.stdin.close()
        meter.run()
        meter.process.wait_out(r"confirmed by the server", count=2)
        self.assertTrue(process.running())

    def test_enter_on_a_terminal_ends_it(self):
        server = self.server(self.broker())
        terminal = Terminal(self)
        process = Process(self, "meter-server", server.arguments("run", password=True), **terminal.popen_arguments())
        process.wait_err(r"connected to mqtt:")
        terminal.type("\n")
        self.assertEqual(process.wait_exit(), 0)

    def test_a_meter_without_broker_ends_promptly(self):
        broker = self.broker()
        server = self.server(broker)
        meter = server.add()
        broker.stop()
        meter.run()
        meter.process.wait_out(r"waiting for the server")
        meter.process.stop(timeout=10)
        self.assertGreater(meter.register()["total_pulses"], 0)
