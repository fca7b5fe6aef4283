"""From the Python scripts to ours, a program at a time, and what can go wrong on the way (README, "Moving over")."""
import json
import re
import shutil
import unittest

from cryptography.fernet import Fernet

from harness import HEALS, Broker, Meter, program
from private_broker import DYNAMIC_SECURITY, SECRET, USER, PrivateCase
from test_classic import DOWN, METER_LINE, UP, Classic
from wire import MEASURED, Keys, Peer, reading

CONFIRMED = r"confirmed by the server"


class MovingOver(Classic):
    def shell(self, pattern, text):
        """Runs the command that a line holds in back quotes, as it is printed."""
        command, = re.findall(f"`({pattern}.*?)`", text)
        done = self.run_command(["sh", "-c", command])
        self.assertEqual((done.returncode, done.stderr), (0, ""), command)

    def cost(self, pulses):
        tenths = (pulses * 39 + 5) // 10  # at £0.00039, in ten-thousandths, rounded once
        return f"{tenths // 10_000}.{tenths % 10_000:04}"


class WholeWay(MovingOver):
    def test_the_python_pair_then_our_server_then_our_meter_then_the_sealed_wire_under_one_id(self):
        self.tap_ = self.tap(self.broker_)
        python_server, python_meter = self.peer("server"), self.peer("meter")
        python_meter.wait_out(r"confirmed \d+", count=3)

        meter = self.add()  # our server, under the running Python meter
        python_server.kill()
        self.server_.run()
        self.wait(lambda: (self.server_.status()["total_pulses"] or 0) >= 20, "the Python meter's total to grow", 2 * HEALS)

        python_meter.kill()  # our meter
        meter.configure(simulation_seed=7)
        meter.run()
        meter.process.wait_out(CONFIRMED, count=3)
        meter.process.stop()
        classic = self.wait_equal_totals(self.server_, meter)["total_pulses"]
        self.assertEqual(self.check_never_fell(), classic)
        self.check_the_ledger(20)
        past = self.server_.readings()

        done = self.server_.command("meter", "remove", "hall", password=True, check=True)  # the sealed wire
        self.assertIn("readings stay in the ledger", done.stdout)
        self.server_.process.wait_err(r"info: meter hall: removed: no longer served")
        self.assertEqual(json.loads(self.server_.command("meter", "list", "--json", check=True).stdout), {"meters": []})
        self.assertEqual((self.server_.status()["removed"], self.server_.status()["total_pulses"]), (True, classic))
        self.assertRegex(self.server_.command("status", check=True).stdout, r"(?m)^hall .* removed$")
        self.assertEqual(self.server_.readings(), past)

        meter.config.rename(meter.config.with_name("hall-classic.toml"))
        sealed = self.server_.add("hall", simulation_seed=7)
        self.assertNotEqual(sealed.setting("key"), self.key.decode())
        line = self.assert_refused(self.run_command(sealed.arguments()), 2, "hall on the classic wire")
        self.shell("mv ", line)
        set_register = re.search("`(meter-pi register set .*?)`", line).group(1) + " --simulated"
        set_register = set_register.replace("meter-pi", program("meter-pi"), 1).replace("FILE", str(sealed.config))
        done = self.run_command(["sh", "-c", set_register.replace("NUMBER", f"{classic / 1000:.3f}")])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        sealed.run()
        sealed.process.wait_out(CONFIRMED, count=3)
        sealed.process.stop()
        register = self.wait_equal_totals(self.server_, sealed)

        rows = self.server_.readings()
        self.assertEqual([row for row in rows if row["epoch"] == 1], past, "consumption of the older epoch stays")
        self.assertEqual({row["epoch"] for row in rows}, {1, 2})
        self.assertEqual(register["epoch"], 2)
        status = self.server_.status()
        self.assertEqual((status["total_kwh"], status["refused"], status["held"]),
                         (f"{(classic + register['total_pulses']) / 1000:.3f}", 0, 0))
        shown = [int(total) for total in re.findall(r"hall  Total Units = (\d+)", self.server_.process.out())]
        self.assertEqual(shown, sorted(shown), "a total that was shown fell")

        peer = Peer(self, self.tap_, Keys.of(sealed))  # a sensor's register, which no test machine has
        for sequence, total in ((1, 0), (2, 1000)):
            peer.send(reading(3, sequence, total, source=MEASURED, uptime=sequence * 1_000_000))
        peer.wait_confirmed({(3, 2)})
        self.assertEqual(self.server_.status()["cost"], self.cost(classic + 1000), "the pair's units and the sensor's")
        self.assertTrue(sealed.state.with_name("hall-state-classic").is_dir(), "the old folder is kept")


class AndBack(MovingOver):
    def test_back_on_the_classic_wire_the_total_goes_on_and_nothing_is_billed_twice(self):
        self.tap_ = self.tap(self.broker_)
        self.add()
        self.server_.run()

        def move(epoch, total):  # on the classic wire; a total is confirmed once it is stored
            self.tap_.publish(UP, self.seal(total), retain=True)
            self.wait(lambda: (self.server_.status()["epoch"], self.server_.status()["total_pulses"]) == (epoch, total),
                      f"total {total} in epoch {epoch}", 2 * HEALS)
        move(1, 5000)
        self.server_.command("meter", "remove", "hall", password=True, check=True)
        (self.server_.folder / "hall.toml").rename(self.server_.folder / "classic.toml")
        peer = Peer(self, self.tap_, Keys.of(self.server_.add("hall")))
        peer.hello(MEASURED)
        for sequence, total in ((1, 0), (2, 3)):
            peer.send(reading(2, sequence, total, source=MEASURED))
        peer.wait_confirmed({(2, 2)})
        self.assertEqual(self.server_.status()["cost"], self.cost(5003))
        self.server_.command("meter", "remove", "hall", password=True, check=True)
        (self.server_.folder / "hall.toml").unlink()
        self.add()
        self.server_.process.wait_err("meter hall: waiting", count=3)
        self.assertIn("nothing to put back: the broker keeps 5000",
                      self.server_.command("meter", "restore-total", "hall", password=True, check=True).stdout)
        move(3, 5003)
        self.assertEqual(self.server_.status()["cost"], self.cost(5006))


class Removing(MovingOver):
    def test_who_may_remove_what(self):
        self.add()
        keystore = (self.server_.data / "keystore.json").read_bytes()
        self.assert_refused(self.server_.command("meter", "remove", "attic", password=True), 2, '"attic"', "known: hall")
        self.assert_refused(self.server_.command("meter", "remove", "?", password=True), 2, "no meter id")
        wrong = self.secret_file(self.folder / "wrong", "not the password\n")
        done = self.run_command([*self.server_.arguments("meter", "remove", "hall"), "--password-file", wrong])
        self.assert_refused(done, 3, "Authentication failed")
        self.assertEqual((self.server_.data / "keystore.json").read_bytes(), keystore)
        done = self.server_.command("meter", "remove", "hall", password=True, check=True)
        self.assertIn("The ledger has no reading of it", done.stdout)
        self.assertNotIn(b"hall", (self.server_.data / "keystore.json").read_bytes())
        self.assertIsNone(self.server_.status())
        self.assert_refused(self.server_.command("readings", "hall"), 2, "no meter")

    def test_a_removed_meter_is_not_answered_and_the_others_are(self):
        self.tap_ = self.tap(self.broker_)
        meter, other = self.add(key=False), self.server_.add("attic")
        self.server_.run()
        for each in (meter, other):
            each.run()
            each.process.wait_out(CONFIRMED, count=2)
        self.server_.command("meter", "remove", "hall", password=True, check=True)
        self.server_.process.wait_err("meter hall: removed")
        self.wait_for_more(Keys.of(other).down_topic, 1)  # by then all that was said before has arrived
        rows, down = self.server_.readings(), len(self.tap_.seen(DOWN))
        confirmed = len(re.findall(CONFIRMED, other.process.out()))
        other.process.wait_out(CONFIRMED, count=confirmed + 3)
        meter.process.wait_out(METER_LINE, count=len(re.findall(METER_LINE, meter.process.out(), re.MULTILINE)) + 1)
        self.assertEqual((self.server_.readings(), len(self.tap_.seen(DOWN))), (rows, down))


    def test_a_removed_meters_topic_is_unsubscribed_and_one_added_anew_hears_what_the_broker_keeps(self):
        self.tap_ = self.tap(self.broker_)
        self.tap_.publish(UP, self.seal(5000), retain=True).wait_for_publish()
        meter = self.add()
        self.server_.run()
        self.wait(lambda: self.server_.status()["total_pulses"] == 5000, "the kept total")
        self.server_.command("meter", "remove", "hall", password=True, check=True)
        self.wait(lambda: re.search(rf"Received UNSUBSCRIBE from pulsemeter-server-\S+\n.*\t{UP}\n", self.broker_.log()),
                  "the end of the subscription")

        def sent_to_the_server():
            return len(re.findall(rf"Sending PUBLISH to pulsemeter-server-.*'{UP}'", self.broker_.log()))
        before = sent_to_the_server()
        self.tap_.publish(UP, self.seal(5001), retain=True)
        self.wait(lambda: 5001 in self.opened(UP), "a total that the server is not to hear")
        self.assertEqual(sent_to_the_server(), before)
        self.assertEqual(self.server_.status()["total_pulses"], 5000)

        meter.config.unlink()
        self.add()
        self.wait(lambda: self.server_.status()["total_pulses"] == 5001, "the kept total, which nobody has sent again")
        self.assertEqual(sent_to_the_server(), before + 1)
        self.assertEqual(len(re.findall("connected to", self.server_.process.err())), 1)

    def test_what_the_broker_keeps_of_a_classic_meter_is_cleared_by_the_printed_command(self):
        self.tap_ = self.tap(self.broker_)
        self.add()
        self.server_.add("attic")
        self.tap_.publish(UP, self.seal(46), retain=True).wait_for_publish()
        done = self.server_.command("meter", "remove", "hall", password=True, check=True)
        self.shell("mosquitto_pub ", done.stdout)
        self.wait(lambda: self.tap_.seen(UP)[-1].payload == b"", "the topic to be cleared")
        done = self.server_.command("meter", "remove", "attic", password=True, check=True)
        self.assertNotIn("mosquitto_pub", done.stdout, "a sealed meter's reading is of no use to another one")


class ClearingAPrivateBroker(PrivateCase):
    def test_the_printed_command_is_the_servers_user_and_shows_the_password_to_nobody(self):
        self.private_broker(*self.users(), tls=True)
        server, _ = self.both(username=USER, password_file=self.password(), ca_file=self.ca.cert)
        server.command("meter", "add", "attic", "--wire", "classic", "--out", self.folder / "attic.toml", password=True, check=True)
        there = ["-h", "127.0.0.1", "-p", self.broker_.port, "-u", USER, "-P", SECRET, "--cafile", self.ca.cert, "-t", UP]

        def kept():
            return self.run_command(["mosquitto_sub", *there, "-W", "1"]).stdout
        self.run_command(["mosquitto_pub", *there, "-r", "-m", "a total"], check=True)
        self.assertEqual(kept(), "a total\n")
        done = server.command("meter", "remove", "attic", password=True, check=True)
        command, = re.findall("`(.*mosquitto_pub.*?)`", done.stdout)
        tools, scratch = self.folder / "tools", self.folder / "scratch"
        for folder in (tools, scratch):
            folder.mkdir()
        arguments = self.folder / "arguments"
        (tools / "mosquitto_pub").write_text(f'#!/bin/sh\necho "$@" > {arguments}\nexec /usr/bin/mosquitto_pub "$@"\n')
        (tools / "mosquitto_pub").chmod(0o755)
        for shell in ("sh", "bash"):
            with self.subTest(shell):
                self.run_command(["mosquitto_pub", *there, "-r", "-m", "a total"], check=True)
                done = self.run_command([shell, "-c", command], env=self.environment | {
                    "PATH": f"{tools}:{self.environment['PATH']}", "TMPDIR": str(scratch)})
                self.assertEqual((done.returncode, done.stderr), (0, ""), command)
                self.assertIn(f"-t {UP} -r -n", arguments.read_text())
                self.assertNotIn(SECRET, arguments.read_text())
                self.assertEqual((kept(), list(scratch.iterdir())), ("", []))


class LostTotal(MovingOver):
    def setUp(self):
        super().setUp()
        self.tap_ = self.tap(self.broker_)

    def restore(self, name="hall", **options):
        return self.server_.command("meter", "restore-total", name, password=True, **options)

    def test_a_python_meter_that_has_lost_its_total_goes_on_from_the_servers(self):
        self.add()
        self.server_.run()
        meter = self.peer("meter")
        self.wait(lambda: (self.server_.status()["total_pulses"] or 0) >= 30, "a total worth having")
        meter.kill()
        self.wait(lambda: re.search(r"Client auto-\S+ (closed|disconnected)", self.broker_.log()), "its connection's end")
        self.tap_.publish(UP, b"", retain=True)
        self.wait(lambda: self.tap_.seen(UP)[-1].payload == b"", "all that the meter has sent")
        total = self.opened(UP)[-1]
        self.wait(lambda: self.server_.status()["total_pulses"] == total, f"{total} to be stored")
        meter = self.peer("meter")
        meter.wait_out("begins with 0")
        line, = self.server_.process.wait_err(rf"^.*warning: meter hall: .*below the stored {total}.*$")
        self.assertIn("`meter-server meter restore-total hall`", line)
        done = self.restore()
        self.assertRegex(done.stderr, r"\A.* info: listening for 20 s.*\n.* error: meter hall still runs.*\n\Z")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertLess(self.opened(UP)[-1], total, "nothing is put where it would be written over")
        meter.kill()
        self.assertIn(f"it goes on from {total}.", self.restore(check=True).stdout)
        self.wait(lambda: self.opened(UP)[-1] == total, f"{total} on the broker")
        meter = self.peer("meter")
        meter.wait_out(f"begins with {total}")
        self.wait(lambda: self.server_.status()["total_pulses"] > total, "a larger total", 2 * HEALS)

    def test_where_there_is_nothing_to_put_back(self):
        self.add()
        self.server_.add("attic")
        self.assert_refused(self.restore("attic"), 2, "attic", "sealed wire")
        self.assert_refused(self.restore(), 2, "no total of meter hall is stored")
        self.server_.run()
        self.tap_.publish(UP, self.seal(46), retain=True)
        self.wait(lambda: self.server_.status()["total_pulses"] == 46, "the total")
        self.assertIn("nothing to put back: the broker keeps 46", self.restore(check=True).stdout)
        foreign = Fernet(Fernet.generate_key()).encrypt(b"4711")
        self.tap_.publish(UP, foreign, retain=True).wait_for_publish()
        line = self.assert_refused(self.restore(), 2, "not written over")
        self.shell("mosquitto_pub ", line)
        self.assertIn("goes on from 46", self.restore(check=True).stdout)
        self.assertEqual(self.opened(UP, self.tap_.seen(UP)[-1:]), [46])
        self.server_.process.stop()
        self.broker_.stop()
        self.assert_refused(self.restore(), 1, str(self.broker_.port))


class OurMeter(MovingOver):
    def setUp(self):
        super().setUp()
        self.tap_ = self.tap(self.broker_)

    def test_C7_auto_without_a_sensor_leaves_the_pairs_total_alone(self):
        meter = self.add().configure(gpio_line="PULSEMETER-TEST-NO-SUCH-LINE")
        self.tap_.publish(UP, self.seal(4711), retain=True).wait_for_publish()
        self.assert_refused(self.run_command(meter.arguments("auto")), 2, "NO-SUCH-LINE", "classic wire", "--source simulate")
        self.assertFalse(meter.state.exists())
        self.assertEqual(self.opened(UP), [4711])

    def test_a_message_that_can_not_be_read_is_cleared_by_the_printed_command_or_put_right_by_a_good_one(self):
        up = "it's/$HOME;up"
        meter = self.add("hall", "--up-topic", up, "--down-topic", "b")
        meter.configure(simulation_seed=7)
        foreign = Fernet(Fernet.generate_key()).encrypt(b"4711")
        for mend, first in (("command", 0), ("total", 4711)):
            with self.subTest(mend):
                self.tap_.publish(up, foreign, retain=True).wait_for_publish()
                meter.run()
                line, = meter.process.wait_err(r"^.*nothing is sent.*$")
                if mend == "command":
                    self.shell("mosquitto_pub ", line)
                else:
                    self.tap_.publish(up, self.seal(4711), retain=True)
                total = meter.process.wait_out(METER_LINE)[0][1]
                self.assertGreaterEqual(int(total), first)
                self.wait(lambda: int(total) in self.opened(up), "the reading")
                meter.process.kill()
                shutil.rmtree(meter.state)

    def test_a_total_of_others_that_is_too_large_to_go_on_from_is_told_as_that(self):
        meter = self.add()
        self.tap_.publish(UP, self.seal(2 ** 62), retain=True).wait_for_publish()
        meter.run()
        meter.process.wait_err(rf"a message on {UP} holds the total {2 ** 62}, .*more than half of what a total can be")
        self.assertEqual(self.opened(UP), [2 ** 62])

    @unittest.skipUnless(DYNAMIC_SECURITY, "mosquitto_dynamic_security.so is not there")
    def test_doctor_asks_for_both_topics(self):
        def access(*allowed):
            return json.dumps({
                "defaultACLAccess": {"publishClientSend": True, "publishClientReceive": True, "subscribe": False,
                                     "unsubscribe": True}, "anonymousGroup": "all",
                "groups": [{"groupname": "all", "roles": [{"rolename": "reader"}]}],
                "roles": [{"rolename": "reader", "acls": [{"acltype": "subscribePattern", "topic": topic, "allow": True}
                                                          for topic in allowed]}]})
        meter = self.add()
        for allowed, health in (((UP, DOWN), "ok"), ((DOWN,), "wrong"), ((UP,), "wrong")):
            broker = Broker(self)
            lists = broker.folder / "access.json"
            lists.write_text(access(*allowed))
            broker.config.write_text(broker.config.read_text() + f"plugin {DYNAMIC_SECURITY}\nplugin_opt_config_file {lists}\n")
            meter.configure(broker_url=broker.start().url)
            done = self.run_command([program("meter-pi"), "doctor", "--config", meter.config, "--state", meter.state, "--json"])
            findings = {each["check"]: each for each in json.loads(done.stdout)["findings"]}
            self.assertEqual((findings["login"]["health"], findings["topics"]["health"]), ("ok", health), findings)
            for topic in (UP, DOWN):
                forbidden = health == "wrong" and topic not in allowed
                self.assertEqual(topic in findings["topics"]["found"], forbidden or health == "ok", findings["topics"])


class MadeKey(MovingOver):
    """The Python programs with a key that `meter add` has made."""

    def setUp(self):
        super().setUp()
        self.meter_ = self.add(key=False)
        self.key = self.meter_.setting("key").encode()
        self.fernet = Fernet(self.key)
        self.key_file = self.secret_file(self.folder / "made", self.key.decode() + "\n")
        self.tap_ = self.tap(self.broker_)

    def test_a_python_meter(self):
        self.server_.run()
        self.peer("meter").wait_out(r"confirmed \d+", count=3)
        self.assertNotIn("warning", self.server_.process.err())

    def test_a_python_server(self):
        self.peer("server")
        self.meter_.run()
        self.meter_.process.wait_out(CONFIRMED, count=3)
        self.assertNotIn("refused", self.meter_.process.err())


class FromARetainedTotal(MovingOver):
    """Each side restarted in turn and messages doubled, all on top of a total that is there already."""
    FIRST = 4711

    def setUp(self):
        super().setUp()
        self.meter_ = self.add()
        self.meter_.configure(simulation_seed=7)
        self.tap_ = self.tap(self.broker_)
        self.tap_.publish(UP, self.seal(self.FIRST), retain=True).wait_for_publish()

    def test_B2_D6_a_python_meter_and_our_server(self):
        self.server_.run()
        meter = self.peer("meter")
        meter.wait_out(rf"begins with {self.FIRST}")
        meter.wait_out(r"confirmed \d+", count=2)
        self.server_.process.kill()
        self.server_.run()
        self.wait_for_more(UP, 2)
        self.inject_doubles((UP, DOWN), messages=2)
        meter.kill()
        meter = self.peer("meter")
        meter.wait_out(r"confirmed \d+", count=2)
        meter.kill()
        rows = [row["total_pulses"] for row in self.server_.readings()]
        self.assertEqual(rows, sorted(set(rows)), "each total is one row")
        self.assertEqual(rows[:2], [0, self.FIRST])
        self.wait(lambda: self.server_.status()["total_pulses"] == max(self.opened(UP)), "the server's total to be the last")

    def test_B2_D6_a_python_server_and_our_meter(self):
        server = self.peer("server")
        self.meter_.run()
        self.meter_.process.wait_out(CONFIRMED, count=2)
        self.inject_doubles((UP, DOWN), messages=2)
        server.kill()
        self.peer("server").wait_out(r"received \d+", count=2)
        self.meter_.process.kill()
        shown = [int(total) for _, total in re.findall(METER_LINE, self.meter_.process.out(), re.MULTILINE)]
        self.meter_.run()
        self.meter_.process.wait_out(CONFIRMED, count=2)
        self.meter_.process.stop()
        shown += [int(total) for _, total in re.findall(METER_LINE, self.meter_.process.out(), re.MULTILINE)]
        self.assertEqual(shown, sorted(shown), "the total fell")
        self.assertGreaterEqual(shown[0], self.FIRST)
        self.assertEqual(self.meter_.register()["total_pulses"], shown[-1])
