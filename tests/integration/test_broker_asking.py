"""meter-server broker status and broker listen."""
import json
import re
import signal
import unittest

from harness import Process, Terminal
from private_broker import DYNAMIC_SECURITY, VERSIONS, PrivateCase


class Asking(PrivateCase):
    """meter-server broker status and broker listen."""

    ESCAPES = b"\x1b[2J\x1b]0;mine\x07\xc2\x9b31m\r\nsecond line\x00\xff"

    def pair(self):
        self.private_broker()
        server, meter = self.both()
        self.run_both(server, meter)
        meter.process.wait_out(r"confirmed by the server")
        return server, meter

    def listen(self, server, *words, **popen):
        process = Process(self, "listen", server.arguments("broker", "listen", *words), **popen)
        process.wait_err("listening to ")
        return process

    def test_status_shows_the_brokers_figures_by_both_versions(self):
        self.private_broker("allow_anonymous true", "sys_interval 1")
        for version in VERSIONS.values():
            server, _ = self.both(version)
            done = server.command("broker", "status", check=True)
            self.assertEqual(done.stderr, "")
            self.assertIn(f"connected to {self.url}\n", done.stdout)
            for figure in (r"version +mosquitto version \d", r"uptime +\d+ seconds", r"clients connected +\d",
                           r"messages received +\d", r"messages sent +\d"):
                self.assertRegex(done.stdout, rf"(?m)^{figure}")
            answer = json.loads(server.command("broker", "status", "--json", check=True).stdout)
            self.assertEqual(answer["broker"], self.url)
            self.assertIn("mosquitto version", answer["sys"]["$SYS/broker/version"])
            self.assertGreater(len(answer["sys"]), 20)

    def test_status_says_plainly_that_there_are_no_figures(self):
        self.private_broker("allow_anonymous true", "sys_interval 0")
        server, _ = self.both()
        done = server.command("broker", "status", check=True)
        self.assertIn(f"connected to {self.url}, which gives no $SYS figures", done.stdout)
        self.assertEqual(json.loads(server.command("broker", "status", "--json", check=True).stdout)["sys"], {})

    @unittest.skipUnless(DYNAMIC_SECURITY, "mosquitto_dynamic_security.so is not there")
    def test_status_of_a_broker_that_keeps_its_figures_to_itself_is_well(self):
        access = self.folder / "access.json"
        access.write_text(json.dumps({"defaultACLAccess": {"publishClientSend": True, "publishClientReceive": True,
                                                           "subscribe": False, "unsubscribe": True}}))
        self.private_broker("allow_anonymous true", f"plugin {DYNAMIC_SECURITY}", f"plugin_opt_config_file {access}")
        for version in VERSIONS.values():
            with self.subTest(version):
                server, _ = self.both(version)
                done = server.command("broker", "status", check=True)
                self.assertEqual(done.stderr, "")
                self.assertIn(f"connected to {self.url}, which keeps its $SYS figures to itself", done.stdout)
                answer = json.loads(server.command("broker", "status", "--json", check=True).stdout)
                self.assertEqual(answer, {"broker": self.url, "sys_refused": True, "sys": {}})

    def test_A1_status_of_a_broker_that_refuses_is_its_reason_and_1(self):
        self.private_broker(*self.users())
        server, _ = self.both()
        self.assert_refused(server.command("broker", "status"), 1, self.url, "not authorised", "username")
        self.broker_.stop()
        self.assert_refused(server.command("broker", "status"), 1, self.url, "connection refused")

    def test_listen_opens_what_is_ours_and_marks_what_is_not(self):
        server, meter = self.pair()
        listener = self.listen(server, "#", "--password-file", server.password_file)
        topic = r"pulsemeter/[0-9a-f]{32}"
        listener.wait_out(rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  {topic}/up, QoS 1, 248 bytes: meter hall: reading 1/\d+, "
                          r"\d+ pulses at 1000 imp/kWh, simulated")
        listener.wait_out(rf"{topic}/down, QoS 1, 248 bytes: to meter hall: confirmed 1/\d+ to 1/\d+$")
        up = re.search(rf"{topic}/up", listener.out()).group()
        tap = self.tap(self.broker_)
        tap.publish(up, b"junk")
        tap.publish("house/light", b"on", retain=True)
        listener.wait_out(rf"{up}, QoS 1, 4 bytes: not ours, though on the topic of meter hall: junk$")
        listener.wait_out(r"house/light, QoS 1, 2 bytes: not ours: on$")
        listener.stop(signal.SIGINT)
        again = self.listen(server, "house/+", "--password-file", server.password_file)
        again.wait_out(r"house/light, QoS 1, retained, 2 bytes: not ours: on$")
        again.stop(signal.SIGTERM)
        self.assertNotIn("pulsemeter/", again.out())
        self.wait_healed(server, meter)

    def test_listen_lets_no_escape_sequence_reach_the_terminal(self):
        self.private_broker()
        server, _ = self.both()
        terminal = Terminal(self)
        process = Process(self, "listen", server.arguments("broker", "listen", "#", "--sealed"),
                          **terminal.popen_arguments(), stdout=terminal.slave, stderr=terminal.slave)
        terminal.wait("listening to ")
        tap = self.tap(self.broker_)
        tap.publish("evil", self.ESCAPES)  # mosquitto lets no control character into a topic; traffic_test.cpp does
        tap.publish("end", b"the end")
        terminal.wait("the end")
        shown = terminal.text()
        self.assertIn(r"evil, QoS 1, 33 bytes: \x1b[2J\x1b]0;mine\x07\xc2\x9b31m\x0d\nsecond line\x00\xff", shown)
        after = shown[shown.index("evil"):]
        self.assertEqual([c for c in after if ord(c) < 0x20 and c not in "\r\n" or 0x7f <= ord(c) < 0xa0], [])
        self.assertNotIn("\nsecond line", after)
        terminal.type("\n")  # Enter ends it
        self.assertEqual(process.wait_exit(), 0)

    def test_A2_listen_opens_nothing_without_the_password(self):
        server, _ = self.pair()
        self.assert_refused(self.run_command(server.arguments("broker", "listen", "#")), 2, "--password-file")
        wrong = self.secret_file(self.folder / "wrong", "another password\n")
        self.assert_refused(self.run_command([*server.arguments("broker", "listen", "#"), "--password-file", wrong]), 3,
                            "Authentication failed")
        sealed = self.listen(server, "#", "--sealed")
        sealed.wait_out(r"pulsemeter/[0-9a-f]{32}/up, QoS 1, 248 bytes: gAAAA")
        sealed.stop()
        self.assertNotIn("hall", sealed.out())

    def test_listen_refuses_what_is_no_filter(self):
        self.private_broker()
        server, _ = self.both()
        for wrong in ("", "a#", "#/a", "a+b", "a\nb", "a\x1b[2J"):
            self.assert_refused(server.command("broker", "listen", "--sealed", wrong), 2, "no topic filter", "#")
        self.assert_refused(server.command("broker", "listen", "--sealed", "$share/readers/#"), 2, "no topic filter",
                            "take messages away")

    def test_listen_ends_when_the_broker_does_not_take_the_filter(self):
        self.private_broker()
        for version in VERSIONS.values():
            server, _ = self.both(version)
            for wrong in ("a/" * 300 + "a", "a\uffff"):
                with self.subTest(version=version, filter=wrong[:10]):
                    self.assert_refused(server.command("broker", "listen", "--sealed", wrong), 2, self.url,
                                        "does not take the filter", "name another one")

    def test_D6_listen_outlives_a_restart_of_the_broker(self):
        self.private_broker()
        server, _ = self.both()
        listener = self.listen(server, "#", "--sealed")
        self.broker_.stop()
        listener.wait_err("connection lost; trying again|shuts down; trying again")
        self.broker_.start()
        listener.wait_err("listening to ", count=2)
        self.tap(self.broker_).publish("a", b"back again")
        listener.wait_out("back again")
        listener.stop()
