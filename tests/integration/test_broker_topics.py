"""Row A1: topics that a broker forbids; and what both wires ask of it for each message."""
import json
import re
import signal
import unittest

from harness import LONG, Meter, Tap
from private_broker import DYNAMIC_SECURITY, VERSIONS, PrivateCase
from wire import Keys

UP, DOWN = "UNITS1221", "UNITS1222"


class Forbidden(PrivateCase):
    def allow_to_subscribe(self, *topics):
        """The lines of a broker that lets everybody publish, and subscribe to these. An acl_file never refuses that."""
        access = self.folder / "access.json"
        acls = [{"acltype": "subscribePattern", "topic": topic, "allow": True} for topic in topics]
        access.write_text(json.dumps({
            "defaultACLAccess": {"publishClientSend": True, "publishClientReceive": True, "subscribe": False,
                                 "unsubscribe": True},
            "anonymousGroup": "all", "groups": [{"groupname": "all", "roles": [{"rolename": "all"}]}],
            "roles": [{"rolename": "all", "acls": acls}]}))
        return "allow_anonymous true", f"plugin {DYNAMIC_SECURITY}", f"plugin_opt_config_file {access}"

    @unittest.skipUnless(DYNAMIC_SECURITY, "mosquitto_dynamic_security.so is not there")
    def test_A1_one_forbidden_topic_cuts_off_no_other_meter(self):
        for name, version in VERSIONS.items():
            with self.subTest(version):
                self.private_broker(*self.allow_to_subscribe("pulsemeter/#"))
                server, meter = self.both(version)
                out = server.folder / "old.toml"
                server.command("meter", "add", "old", "--wire", "classic", "--interval", "1", "--out", out, password=True,
                               check=True)
                old = Meter(self, "old", out)
                self.run_both(server, meter)
                old.run()
                server.process.wait_err(rf"warning: {self.url}: topic {UP}: not authorised: the broker's access list "
                                        "forbids it to anonymous clients: allow it there; all other meters are heard$")
                old.process.wait_err(rf"topic {UP} and 1 more: not authorised")
                old.process.stop()
                meter.process.wait_out(r"confirmed by the server", count=3)
                self.assertEqual(len(re.findall("connected to mqtt", server.process.err())), 1)
                self.assertNotIn("trying again", server.process.err())
                self.broker_.stop()
                self.set_lines(*self.allow_to_subscribe("pulsemeter/#", UP, DOWN))
                self.broker_.start()
                old.run()
                old.process.wait_out(r"confirmed by the server")
                self.wait_healed(server, meter)
                for process in (old.process, meter.process, server.process):
                    process.stop()

    @unittest.skipUnless(DYNAMIC_SECURITY, "mosquitto_dynamic_security.so is not there")
    def test_A1_a_classic_meter_that_may_hear_one_of_its_topics_says_what_it_misses(self):
        self.private_broker(*self.allow_to_subscribe("pulsemeter/#", UP))
        server = self.both()[0]
        out = server.folder / "old.toml"
        server.command("meter", "add", "old", "--wire", "classic", "--out", out, password=True, check=True)
        old = Meter(self, "old", out)
        old.run()
        old.process.wait_err(rf"topic {DOWN}: not authorised: .*allow it there; the total is kept and sent later$")
        self.assertNotIn("connected to the broker", old.process.err())
        old.process.stop()

    def test_A1_an_access_list_that_forbids_our_topics(self):
        access = self.folder / "access"
        access.write_text("topic read #\n")
        self.private_broker("allow_anonymous true", f"acl_file {access}")
        server, meter = self.both()
        server.run()
        meter.run()
        meter.process.wait_err(r"publishing to topic pulsemeter/.*/up: not authorised.*access list.*allow it there")
        access.write_text("topic readwrite pulsemeter/+/up\ntopic read #\n")
        self.broker_.process.send_signal(signal.SIGHUP)  # it reads its list anew
        server.process.wait_err(r"publishing to topic pulsemeter/.*/down: not authorised.*access list.*allow it there")
        access.write_text("topic readwrite #\n")
        self.broker_.process.send_signal(signal.SIGHUP)
        self.wait_healed(server, meter)

    @unittest.skipUnless(DYNAMIC_SECURITY, "mosquitto_dynamic_security.so is not there")
    def test_A1_a_forbidden_subscription_is_told_by_both_versions(self):
        access = self.folder / "access.json"  # the plug-in refuses it; an acl_file never would
        access.write_text(json.dumps({"defaultACLAccess": {"publishClientSend": True, "publishClientReceive": True,
                                                           "subscribe": False, "unsubscribe": True}}))
        for version in VERSIONS.values():
            with self.subTest(version):
                self.private_broker("allow_anonymous true", f"plugin {DYNAMIC_SECURITY}", f"plugin_opt_config_file {access}")
                server, meter = self.both(version)
                said = ("topic pulsemeter/", "not authorised", "access list forbids it to anonymous clients", "allow it")
                self.refused(server, meter, *said)
                done = self.run_command([*meter.arguments()[:1], "doctor", *meter.arguments()[2:4], "--state", meter.state])
                self.assertEqual(done.returncode, 1)
                line, = [line for line in done.stdout.splitlines() if " topics: " in line]
                for words in said:
                    self.assertIn(words, line)
                self.set_lines()
                self.broker_.stop()
                self.broker_.start()
                self.wait_healed(server, meter)
                server.process.stop()
                meter.process.stop()

    @unittest.skipUnless(LONG, "takes two minutes: --long")
    def test_A1_what_a_3_1_1_broker_does_not_tell_shows_as_a_silence(self):
        access = self.folder / "access"
        access.write_text("topic read #\n")
        self.private_broker("allow_anonymous true", f"acl_file {access}")
        server, meter = self.both("3.1.1")
        self.run_both(server, meter)
        meter.process.wait_err(r"nobody has answered for 2 minutes: .*publish to pulsemeter/.*/up.*doctor", 200)
        self.assertEqual(len(re.findall("nobody has answered", meter.process.err())), 1)
        access.write_text("topic readwrite #\n")
        self.broker_.process.send_signal(signal.SIGHUP)
        self.wait_healed(server, meter)


class Envelopes(PrivateCase):
    """QoS and retain flag as the programs set them: of a subscriber that takes QoS 2 and retain as published."""

    def witness(self):
        return Tap(self, self.broker_, as_published=True)

    def check(self, version, *, wire):
        self.private_broker()
        server, meter = self.both(version)
        witness = self.witness()
        if wire == "classic":
            out = server.folder / "old.toml"
            server.command("meter", "add", "old", "--wire", "classic", "--interval", "1", "--out", out, password=True,
                           check=True)
            meter = Meter(self, "old", out)
            meter.configure(broker_mqtt_version=version)
            up, down = UP, DOWN
        else:
            keys = Keys.of(meter)
            up, down = keys.up_topic, keys.down_topic
        self.run_both(server, meter)
        meter.process.wait_out(r"confirmed by the server", count=3)
        meter.process.stop()
        ups, downs = witness.seen(up), witness.seen(down)
        self.assertGreaterEqual(min(len(ups), len(downs)), 3)
        self.assertEqual({message.qos for message in ups + downs}, {1})
        self.assertEqual({message.retained for message in downs}, {False})
        if wire == "classic":
            self.assertEqual({message.retained for message in ups}, {True})
            return
        kinds = {"Hello": set(), "Reading": set()}
        for message in ups:
            kinds[keys.open_up(message.payload)[0]].add(message.retained)
        self.assertEqual(kinds["Hello"], {False})
        self.assertIn(True, kinds["Reading"])  # the newest; what is sent once more is not


for _wire in ("sealed", "classic"):
    for _name, _version in VERSIONS.items():
        setattr(Envelopes, f"test_{_wire}_up_is_retained_and_down_is_not_qos_1_mqtt_{_name}",
                lambda self, version=_version, wire=_wire: self.check(version, wire=wire))
