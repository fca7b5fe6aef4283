"""The main job: what is counted arrives, is shown with its cost, and is confirmed back."""
import decimal
import re

from harness import Case
from wire import Keys

STATUS_KEYS = ["id", "epoch", "sequence", "total_pulses", "total_kwh", "cost", "currency", "power_w", "source",
               "last_reading_at", "last_received_at", "stale", "refused", "held"]
SERVER_LINE = (r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  hall  Total Units = (\d+), "
               r"Total Cost \(@£0\.00039 per unit\): £(\d+\.\d{4})(?:, \d+ W)?, simulated$")
METER_LINE = r"^\d\d:\d\d:\d\d  hall  reading (\d+): Total Units = (\d+), (?:\d+ W|unknown power), simulated$"


def cost_text(units):
    cost = units * decimal.Decimal("0.00039")
    return str(cost.quantize(decimal.Decimal("0.0001"), decimal.ROUND_HALF_UP))


class MainJob(Case):
    def check_totals(self, watts, **settings):
        _, server, meter = self.all_running(simulation_seed=7, **settings)
        lines = server.process.wait_out(SERVER_LINE, count=6)
        meter.process.stop()
        register = self.wait_equal_totals(server, meter)
        units = [int(total) for total, _ in lines]
        self.assertEqual(units, sorted(units))
        self.assertGreater(units[-1], units[0])
        for total, cost in lines:
            self.assertEqual(cost, cost_text(int(total)))
        server.process.stop()
        self.assertEqual(server.status()["total_pulses"], register["total_pulses"], "status beside no server")
        powers = [float(row["power_w"]) for row in server.readings() if row["power_w"] is not None]
        self.assertTrue(powers)
        self.assertTrue(all(power <= watts[1] for power in powers) and max(powers) >= watts[0],
                        f"{powers} W, where up to {watts[0]} … {watts[1]} W were simulated")
        return server, meter, register

    def test_totals_rise_and_the_servers_is_the_meters_register(self):
        server, meter, register = self.check_totals((1800, 40_000))  # 0 to 9 pulses a second
        rows = server.rows()
        self.assertEqual(sorted(rows), [(1, s) for s in range(1, register["sequence"] + 1)], "each exactly once")
        said = re.findall(METER_LINE, meter.process.out(), re.MULTILINE)
        self.assertEqual({(1, int(s)): int(total) for s, total in said},
                         {key: row["total_pulses"] for key, row in rows.items()}, "what the meter's lines said")

    def test_the_same_over_mqtt_3_1_1(self):
        broker = self.broker()
        server = self.server(broker)
        settings = server.data / "server.toml"
        text = settings.read_text()
        self.assertIn('mqtt_version = "5"', text)
        settings.write_text(text.replace('mqtt_version = "5"', 'mqtt_version = "3.1.1"'))
        meter = server.add(broker_mqtt_version="3.1.1")
        server.run()
        meter.run()
        meter.process.wait_out(r"confirmed by the server", count=3)
        self.assertIn("p2, c1", broker.log(), "both spoke MQTT 3.1.1 (protocol 4 shows as p2 in mosquitto's log)")
        self.assertNotIn("p5", broker.log())
        meter.process.stop()
        self.wait_equal_totals(server, meter)

    def test_a_household_in_fast_motion(self):
        self.check_totals((75, 6_500), simulation_model="household", simulation_speed=1000)

    def test_status_has_the_agreed_keys_and_decimals_as_strings(self):
        _, server, meter = self.all_running(simulation_seed=7)
        server.process.wait_out(SERVER_LINE, count=3)
        status = server.status()
        self.assertEqual(list(status), STATUS_KEYS)
        self.assertEqual((status["id"], status["epoch"], status["currency"], status["source"]),
                         ("hall", 1, "£", "simulated"))
        self.assertEqual((status["stale"], status["refused"], status["held"]), (False, 0, 0))
        self.assertIsInstance(status["sequence"], int)
        self.assertIsInstance(status["total_pulses"], int)
        self.assertRegex(status["total_kwh"], r"^\d+\.\d{3}$")
        self.assertEqual(decimal.Decimal(status["total_kwh"]) * 1000, status["total_pulses"])
        self.assertEqual(status["cost"], cost_text(status["total_pulses"]))
        self.assertRegex(str(status["power_w"]), r"^(None|\d+(\.\d+)?)$")
        self.assertNotIsInstance(status["power_w"], (int, float))
        for at in ("last_reading_at", "last_received_at"):
            self.assertRegex(status[at], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        plain = server.command("status", check=True).stdout
        self.assertIn("hall", plain)
        self.assertIn(" kWh", plain)

    def test_a_meter_without_a_reading_is_listed_as_such(self):
        server = self.server(self.broker())
        server.add("attic")
        status = server.status("attic")
        self.assertEqual(list(status), STATUS_KEYS)
        self.assertEqual((status["epoch"], status["total_pulses"], status["cost"], status["stale"]),
                         (None, None, None, True))

    def test_verbose_shows_topic_qos_retain_flag_and_the_sealed_payload(self):
        broker = self.broker()
        server = self.server(broker)
        meter = server.add()
        server.run("--verbose")
        meter.run()
        shown = server.process.wait_out(r"sealed in (\S+), QoS (\d), retain (\d): (\S+)$", count=3)
        keys = Keys.of(meter)
        for topic, qos, retained, token in shown:
            self.assertEqual((topic, qos, retained), (keys.up_topic, "1", "0"))
            self.assertIsNotNone(keys.open_up(token.encode()), "the payload as it came")

    def test_without_verbose_no_payload_is_shown(self):
        _, server, meter = self.all_running()
        self.assertNotIn("gAAAA", server.process.out() + server.process.err())

    def test_the_server_takes_in_the_retained_reading(self):
        broker, server, meter = self.all_running(simulation_seed=7)
        meter.process.wait_out(r"confirmed by the server", count=2)
        server.process.kill()
        known = server.rows()
        before = len(meter.process.wait_out(METER_LINE, count=1))
        meter.process.wait_out(METER_LINE, count=before + 3)
        meter.process.stop()
        register = meter.register()
        tap = self.tap(broker)
        server.run("--verbose")
        server.process.wait_out(r", retain 1: ")
        self.wait(lambda: server.status()["total_pulses"] == register["total_pulses"], "the retained total")
        new = set(server.rows()) - set(known)
        self.assertEqual(new, {(1, register["sequence"])}, "only the newest reading was retained")
        keys = Keys.of(meter)
        opened = [keys.open_down(m.payload) for m in self.wait(lambda: tap.seen(keys.down_topic), "a confirmation")]
        self.assertEqual(opened[0], ("Confirmation", {"epoch": 1, "first": register["sequence"],
                                                      "last": register["sequence"]}))

    def test_a_restarted_server_shows_where_the_meter_stands(self):
        _, server, meter = self.all_running()
        meter.process.wait_out(r"confirmed by the server", count=3)
        meter.process.stop()
        self.wait_equal_totals(server, meter)
        server.process.stop()
        server.run()
        units = meter.register()["total_pulses"]
        server.process.wait_out(rf"hall  Total Units = {units}, .*, simulated, known already$")

    def test_only_the_newest_reading_is_retained(self):
        broker, server, meter = self.all_running()
        meter.process.wait_out(r"confirmed by the server", count=3)
        meter.process.stop()
        self.wait_equal_totals(server, meter)
        late = self.tap(broker)
        late.publish("the/end", b"x")
        self.wait(lambda: late.seen("the/end"), "its own message")
        retained = [m for m in late.seen() if m.retained]
        self.assertEqual([m.topic for m in retained], [Keys.of(meter).up_topic])
        _, fields = Keys.of(meter).open_up(retained[0].payload)
        self.assertEqual(fields["sequence"], meter.register()["sequence"])

    def test_the_last_confirmation_is_shown_sealed_and_opened_at_restart(self):
        _, server, meter = self.all_running()
        self.assertNotIn("last confirmation", meter.process.out(), "nothing to show yet")
        meter.process.wait_out(r"confirmed by the server", count=3)
        meter.process.stop()
        meter.run()
        token, = meter.process.wait_out(r"last confirmation, sealed: (\S+)$")
        words, = meter.process.wait_out(r"last confirmation, opened: (.*)$")
        kind, fields = Keys.of(meter).open_down(token.encode())
        self.assertEqual(kind, "Confirmation")
        first, last = fields["first"], fields["last"]
        span = f"reading {last}" if first == last else f"readings {first} to {last}"
        self.assertEqual(words, f"{span} of epoch {fields['epoch']}")

    def test_sequence_1_carries_what_the_epoch_starts_from(self):
        _, server, meter = self.all_running(simulation_seed=7)
        self.assertEqual(server.rows()[1, 1]["total_pulses"], 0)
