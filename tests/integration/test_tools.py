"""`doctor`, `probe` and `record` of meter-pi on a machine without GPIO; with the hardware: tests/hil."""
import ctypes
import fcntl
import glob
import json
import os
import pathlib
import re
import signal
import sqlite3
import struct
import termios

from authority import Authority
from harness import ROOT, Broker, Case, Meter, Process, Terminal, free_port, program

CONFIRMED = r"confirmed by the server"
TRACES = ROOT / "tests" / "traces"


def edges_of(path):
    return [line for line in pathlib.Path(path).read_text().splitlines() if line[0].isdigit()]


def lone_meter(case, url, **settings):
    """One whose server is not needed: `meter add` takes its time, for the password's sake."""
    config = case.folder / "hall.toml"
    config.unlink(missing_ok=True)
    case.secret_file(config, '[meter]\nid = "hall"\ninterval_s = 1\nkey = "AAECAwQFBgcICQoLDA0ODxAREhMUF'
                              f'RYXGBkaGxwdHh8="\n\n[broker]\nurl = "{url}"\n\n[gpio]\n\n[simulation]\n')
    return Meter(case, "hall", config).configure(**settings)


def clock_is_synchronised():
    """What the kernel answers to adjtimex(2)."""
    timex = ctypes.create_string_buffer(256)
    return ctypes.CDLL(None).adjtimex(timex) != 5  # TIME_ERROR


def dead_url():
    return f"mqtt://127.0.0.1:{free_port()}"


class Doctor(Case):
    def doctor(self, meter, code=1):
        done = self.run_command([program("meter-pi"), "doctor", "--config", meter.config, "--state",
                                 meter.state, "--json"], timeout=60)
        self.assertEqual((done.returncode, done.stderr), (code, ""), done.stdout)
        report = json.loads(done.stdout)
        self.assertEqual(report["ok"], code == 0)
        findings = {each["check"]: each for each in report["findings"]}
        self.assertEqual(len(findings), len(report["findings"]), "a check of each name")
        return findings

    def assert_health(self, findings, **expected):
        for check, health in expected.items():
            self.assertEqual(findings[check.replace("_", " ")]["health"], health.replace("_", " "), findings)

    def test_beside_a_running_meter_it_finds_all_well_but_the_missing_sensor(self):
        broker, server, meter = self.all_running(gpio_line="PULSEMETER-TEST-NO-SUCH-LINE")
        findings = self.doctor(meter)
        self.assert_health(findings, configuration="ok", key="ok", clock="ok" if clock_is_synchronised() else "wrong", state_folder="ok", file_modes="ok", free_space="ok",
                           running="ok", register="ok", held_readings="ok", sensor_line="wrong",
                           line_free="not_looked_at", level="not_looked_at", pull="ok", broker_files="not_looked_at", broker_resolves="ok",
                           broker_connects="ok", TLS="not_looked_at", login="ok", topics="ok", server="ok")
        self.assertIn(f"meter-pi (pid {meter.process.pid})", findings["running"]["found"])
        self.assertRegex(findings["server"]["found"], r"up to reading \d+ of epoch 1")
        count = len(re.findall(CONFIRMED, meter.process.out()))
        meter.process.wait_out(CONFIRMED, count=count + 2)  # neither numbered anew nor disconnected
        meter.process.stop()
        register = self.wait_equal_totals(server, meter)
        self.assertEqual((register["epoch"], server.status()["refused"]), (1, 0))
        self.assertNotIn("warning", server.process.err() + meter.process.err().replace("NO SENSOR", ""))

    def test_its_lines_are_for_people(self):
        meter = lone_meter(self, dead_url())
        command = [program("meter-pi"), "doctor", "--config", meter.config, "--state", meter.state]
        for locale, good, bad in (("C.UTF-8", "✓ key: ", "✗ broker connects: "), ("C", "ok   key: ", "FAIL broker connects: ")):
            done = self.run_command(command, env={**self.environment, "LANG": locale})
            self.assertEqual(done.returncode, 1)
            lines = done.stdout.splitlines()
            self.assertTrue(any(line.startswith(good) for line in lines), done.stdout)
            self.assertTrue(any(line.startswith(bad) and line.endswith("start the broker, or correct host and port in url") for line in lines), done.stdout)
        self.assertFalse(meter.state.exists(), "it changes nothing")

    def test_a_path_that_is_no_utf8(self):
        meter = lone_meter(self, dead_url())
        meter.state = os.fsdecode(os.fsencode(self.folder) + b"/caf\xe9")
        self.assert_health(self.doctor(meter), state_folder="ok")

    def test_a_key_that_others_may_read(self):
        meter = lone_meter(self, dead_url())
        meter.config.chmod(0o644)
        findings = self.doctor(meter)
        self.assert_health(findings, configuration="wrong", key="not_looked_at")
        self.assertIn(f"chmod 600 {meter.config}", findings["configuration"]["found"])
        self.assertEqual(findings["server"]["health"], "not looked at")

    def test_names_brokers_and_servers_that_are_not_there(self):
        meter = lone_meter(self, self.broker().url)
        findings = self.doctor(meter)  # no server runs
        self.assert_health(findings, login="ok", topics="ok", server="wrong")
        self.assertIn("meter-server", findings["server"]["remedy"])
        meter.configure(broker_url="mqtt://pulsemeter-test.invalid")
        self.assert_health(self.doctor(meter), broker_resolves="wrong", broker_connects="not_looked_at",
                           server="not_looked_at")

    def strict_broker(self, *lines):
        broker = Broker(self)
        text = broker.config.read_text().replace("allow_anonymous true\n", "")
        broker.config.write_text(text + "".join(line.format(broker.folder) + "\n" for line in lines))
        return broker

    def test_a_broker_that_wants_to_know_who_it_is(self):
        findings = self.doctor(lone_meter(self, self.strict_broker("allow_anonymous false").start().url))
        self.assert_health(findings, broker_connects="ok", login="wrong", topics="not_looked_at", server="not_looked_at")
        self.assertIn("not authorised", findings["login"]["found"])

    def test_broker_files_that_are_missing_or_read_by_others(self):
        meter = lone_meter(self, self.broker().url, broker_username="hall", broker_password_file="mqtt-password")
        password = meter.config.with_name("mqtt-password")
        for mend, words in [(lambda: self.secret_file(password, ""), f"{password}: cannot be read"),
                            (lambda: password.chmod(0o644), "is empty"),
                            (lambda: password.write_text("secret") and password.chmod(0o600), f"chmod 600 {password}")]:
            findings = self.doctor(meter)
            self.assert_health(findings, broker_files="wrong", broker_connects="ok", TLS="not_looked_at", login="not_looked_at",
                               topics="not_looked_at", server="not_looked_at")
            self.assertIn(words, findings["broker files"]["found"])
            mend()
        meter.configure(broker_url=dead_url())  # else it waits for a server's answer
        self.assert_health(self.doctor(meter), broker_files="ok")

    def test_a_broker_whose_certificate_is_not_to_be_trusted(self):
        ours, another = Authority(self.folder / "ca"), Authority(self.folder / "another", "Another CA")
        right, wrong_host = ours.sign("broker"), ours.sign("elsewhere", "DNS:elsewhere.example")
        for certificate, ca, health, words in [(right, ours, "ok", "trusted and for 127.0.0.1"), (right, another, "wrong", "ca_file"),
                                               (wrong_host, ours, "wrong", "127.0.0.1")]:
            broker = self.strict_broker("allow_anonymous true", "certfile {}".format(certificate[0]), f"keyfile {certificate[1]}")
            url = broker.start().url.replace("mqtt:", "mqtts:")
            findings = self.doctor(lone_meter(self, url, broker_ca_file=str(ca.cert)))
            after = "ok" if health == "ok" else "not_looked_at"
            self.assert_health(findings, broker_connects="ok", TLS=health, login=after, topics=after)
            self.assertIn(words, findings["TLS"]["found"])

    def test_a_broker_that_does_not_let_it_publish(self):
        broker = self.strict_broker("allow_anonymous true", "acl_file {}/access")
        (broker.folder / "access").write_text("topic read #\n")
        findings = self.doctor(lone_meter(self, broker.start().url))
        self.assert_health(findings, login="ok", topics="wrong", server="not_looked_at")
        self.assertRegex(findings["topics"]["found"], r"publishing to topic pulsemeter/[0-9a-f]{32}/up: not authorised.*allow it there")

    def test_a_broker_that_does_not_let_it_have_its_topic(self):
        plugin, = glob.glob("/usr/lib/*/mosquitto_dynamic_security.so")  # an acl_file never refuses a subscription
        broker = self.strict_broker("allow_anonymous true", f"plugin {plugin}", "plugin_opt_config_file {}/access.json")
        (broker.folder / "access.json").write_text(json.dumps({
            "defaultACLAccess": {"publishClientSend": True, "publishClientReceive": True, "subscribe": False,
                                 "unsubscribe": True}, "clients": [], "groups": [], "roles": []}))
        findings = self.doctor(lone_meter(self, broker.start().url))
        self.assert_health(findings, broker_connects="ok", login="ok", topics="wrong", server="not_looked_at")
        self.assertRegex(findings["topics"]["found"], r"topic pulsemeter/[0-9a-f]{32}/down: ")

    def test_state_folders_that_are_another_meters_damaged_or_hold_refused_readings(self):
        broker, server, meter = self.all_running()
        server.process.stop()
        meter.process.wait_out(r"reading \d+: ", count=4)
        meter.process.stop()
        broker.stop()  # so that nobody waits for an answer
        with sqlite3.connect(meter.state / "meter.sqlite") as store:
            held = store.execute("UPDATE outbox SET held = 3").rowcount
        store.close()
        self.assertGreater(held, 0)
        findings = self.doctor(meter)
        self.assert_health(findings, held_readings="wrong", register="ok")
        self.assertIn(str(held), findings["held readings"]["found"])
        self.assertIn("held list", findings["held readings"]["remedy"])

        config = meter.config.read_text()
        meter.configure(meter_id="attic")
        self.assert_health(self.doctor(meter), register="wrong")
        meter.config.write_text(config)
        (meter.state / "meter.sqlite").chmod(0o666)
        self.assert_health(self.doctor(meter), file_modes="wrong")
        (meter.state / "meter.sqlite").write_bytes(b"no database at all" * 100)
        self.assert_health(self.doctor(meter), register="wrong", held_readings="not_looked_at")

    def test_a_lock_file_that_a_killed_meter_left_is_no_running_meter(self):
        meter = lone_meter(self, dead_url())
        meter.run().wait_err("meter hall: ")
        meter.process.kill()
        self.assertIn(str(meter.process.pid), (meter.state / "lock").read_text())
        self.assertIn("no meter-pi runs", self.doctor(meter)["running"]["found"])


class Watching(Case):
    def setUp(self):
        super().setUp()
        self.meter_ = lone_meter(self, dead_url(), simulation_speed=1000)

    def command(self, *words, source):
        return [program("meter-pi"), *words, "--config", self.meter_.config, "--source", source]

    def test_probe_says_plain_lines_without_a_terminal_and_then_all(self):
        trace = TRACES / "s0_bounce.trace"
        pulses = re.search(r"pulses=(\d+)", trace.read_text()).group(1)
        self.meter_.configure(meter_imp_per_kwh=800)
        done = self.run_command(self.command("probe", "--seconds", 2, source=f"replay={trace}"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertNotIn("\x1b", done.stdout)
        lines = done.stdout.splitlines()
        self.assertGreaterEqual(len([line for line in lines if f"{pulses} pulses, " in line]), 1, done.stdout)
        for words in ("level      inactive (dark)", f"pulses     {pulses}, ", "quality    0 glitches", "signal     ",
                      "filter     min_width_us = 1000, min_spacing_us = 8000", "suggested  ", "flashes", "pauses"):
            self.assertTrue(any(line.startswith(words) for line in lines), f"{words}\n{done.stdout}")

    def test_probe_draws_on_a_terminal_until_enter(self):
        terminal = Terminal(self)
        arguments = {**terminal.popen_arguments(), "stdout": terminal.slave}
        process = Process(self, "probe", self.command("probe", source="simulate"),
                          env={**self.environment, "TERM": "xterm"}, **arguments)
        terminal.wait("A\x1b[J")  # drawn over what was there
        terminal.wait("suggested  ")
        terminal.type("\n")
        self.assertEqual(process.wait_exit(), 0)
        self.assertNotRegex(terminal.text(), r"\x1b\[[0-9;]*m")

    def test_probe_draws_no_more_than_the_terminal_holds(self):
        terminal = Terminal(self)
        fcntl.ioctl(terminal.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 8, 30, 0, 0))
        arguments = {**terminal.popen_arguments(), "stdout": terminal.slave}
        process = Process(self, "probe", self.command("probe", source="simulate"),
                          env={**self.environment, "TERM": "xterm"}, **arguments)
        terminal.wait("\x1b[7A\x1b[J")
        drawn = terminal.text().split("\x1b[7A\x1b[J")[0].splitlines()[1:]  # below the head
        self.assertEqual((len(drawn), max(map(len, drawn))), (7, 30))
        terminal.type("\n")
        self.assertEqual(process.wait_exit(), 0)
        self.assertIn("pauses (how long", terminal.text())  # at the end all of it

    def test_probe_and_record_end_when_nobody_reads_them(self):
        for words in (["probe"], ["record", self.folder / "cut.trace"]):
            read, write = os.pipe()
            process = Process(self, words[0], self.command(*words, source="simulate"), stdout=write)
            os.close(write)
            if words[0] == "probe":
                os.read(read, 1)
            os.close(read)
            self.assertEqual(process.wait_exit(), 1)
            self.assertIn("writing to standard output: Broken pipe", process.err())

    def test_probe_that_can_not_be_written_is_no_success(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            process = Process(self, "probe", self.command("probe", "--seconds", 3, source="simulate"), stdout=full)
            self.assertEqual(process.wait_exit(), 1)
        self.assertIn("writing to standard output: No space left on device", process.err())

    def test_probe_and_record_without_gpio_name_the_remedy(self):
        self.meter_.configure(gpio_line="PULSEMETER-TEST-NO-SUCH-LINE")
        out = self.folder / "new.trace"
        for words in (["probe"], ["record", out]):
            done = self.run_command([program("meter-pi"), *words, "--config", self.meter_.config])
            self.assert_refused(done, 2, "PULSEMETER-TEST-NO-SUCH-LINE")
        self.assertFalse(out.exists())

    def test_a_recorded_trace_has_the_edges_that_were_seen_and_plays_them_again(self):
        for name in ("s0_bounce", "glitches"):
            source, copy = TRACES / f"{name}.trace", self.folder / f"{name}.trace"
            done = self.run_command(self.command("record", copy, "--seconds", 1, source=f"replay={source}"))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"{len(edges_of(source))} edges", done.stdout)
            self.assertEqual(edges_of(copy), edges_of(source))
            expected = re.search(r"pulses=(\d+)", source.read_text()).group(1)
            process = self.meter_.run(f"replay={copy}", state=self.folder / name)
            process.wait_out(rf"{expected} pulses counted \(simulated\), waiting")
            process.stop()

    def test_record_overwrites_nothing_and_ends_at_a_signal(self):
        out = self.secret_file(self.folder / "there.trace", "mine")
        self.assert_refused(self.run_command(self.command("record", out, source="simulate")), 2, out, "not overwritten")
        self.assertEqual(out.read_text(), "mine")
        new = self.folder / "new.trace"
        process = Process(self, "record", self.command("record", new, source="simulate"))
        self.wait(lambda: new.exists() and len(edges_of(new)) > 10, "edges", alive=process)
        process.stop(signal.SIGINT)
        self.assertRegex(process.out(), rf"{new}: \d+ edges")
        done = self.run_command(self.command("probe", "--seconds", 1, source=f"replay={new}"))
        self.assertEqual(done.returncode, 0, done.stderr)
