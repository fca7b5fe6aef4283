"""Row B2 on the wire: whatever a stranger on the broker does changes nothing. Row I2, short: junk and giants."""
import os
import shutil

from cryptography.fernet import Fernet

from harness import HEALS, Case
from wire import Keys, Peer, plaintext, reading

METER_LINE = r"hall  reading (\d+): "


class Hostile(Case):
    def setUp(self):
        super().setUp()
        self.broker_, self.server_, self.meter_ = self.all_running(simulation_seed=7)
        self.keys, self.tap_ = Keys.of(self.meter_), self.tap(self.broker_)

    def check_unmoved(self, others=()):
        """Both programs run on and agree; the ledger has the meter's own readings and nothing else."""
        confirmed = len(self.meter_.process.wait_out(r"confirmed by the server"))
        self.meter_.process.wait_out(r"confirmed by the server", count=confirmed + 2)
        last = int(self.meter_.process.wait_out(METER_LINE)[-1])
        self.wait(lambda: {(1, s) for s in range(1, last + 1)} <= set(self.server_.rows()),
                  "the backlog, if there is one", 2 * HEALS)
        self.assertTrue(self.server_.process.running())
        self.meter_.process.stop()
        register = self.wait_equal_totals(self.server_, self.meter_)
        self.assertEqual(register["epoch"], 1)
        rows = self.server_.rows()
        self.assertEqual(sorted(rows), [(1, s) for s in range(1, register["sequence"] + 1)])
        status = self.server_.status()
        self.assertEqual((status["held"], status["refused"]), (0, 0))
        for name in others:
            self.assertEqual(self.server_.rows(name), {})
        self.server_.process.stop()

    def test_B2_a_meters_own_tokens_reflected_onto_its_down_topic(self):
        for _ in range(3):
            own = self.wait(lambda: self.tap_.seen(self.keys.up_topic), "a token of the meter")
            for message in own[-5:]:
                for _ in range(3):
                    self.tap_.publish(self.keys.down_topic, message.payload)
        self.check_unmoved()

    def test_B2_confirmations_reflected_upward(self):
        answers = self.wait(lambda: self.tap_.seen(self.keys.down_topic), "an answer of the server")
        for message in answers * 5:
            self.tap_.publish(self.keys.up_topic, message.payload)
        self.check_unmoved()

    def test_B2_a_forged_confirmation_lets_the_meter_forget_nothing(self):
        self.server_.process.kill()
        taken = len(self.meter_.process.wait_out(METER_LINE))
        self.meter_.process.wait_out(METER_LINE, count=taken + 2)
        last = self.meter_.register()["sequence"]
        forged = plaintext("hall", "Confirmation", epoch=1, first=1, last=last + 100)
        for key in (self.keys.up, Fernet(Fernet.generate_key())):  # all that an outsider could ever have, and more
            for _ in range(3):
                self.tap_.publish(self.keys.down_topic, key.encrypt(forged))
        self.meter_.process.wait_out(METER_LINE, count=taken + 4)
        self.assertGreaterEqual(self.meter_.status()["outbox"], 4)
        self.server_.run()
        self.check_unmoved()

    def test_B2_another_meters_token_under_this_topic(self):
        other = self.server_.add("attic")
        other_keys = Keys.of(other)
        for sequence in range(1, 6):
            fields = reading(1, 1000 + sequence, 10**9)
            self.tap_.publish(self.keys.up_topic, other_keys.seal_up("Reading", **fields))
            # the right key, but another meter's name inside
            self.tap_.publish(self.keys.up_topic, self.keys.up.encrypt(plaintext("attic", "Reading", **fields)))
            self.tap_.publish(other_keys.up_topic, self.keys.seal_up("Reading", **fields))
        self.check_unmoved(others=["attic"])

    def test_B2_an_old_state_replayed_to_a_meter_that_lost_its_register(self):
        peer = Peer(self, self.tap_, self.keys)
        nonce = peer.hello()["nonce"]  # sealed by the server, so a stranger has such a token too
        old = next(m.payload for m in self.tap_.seen(self.keys.down_topic)
                   if (opened := self.keys.open_down(m.payload)) and opened[1].get("nonce") == nonce)
        taken = len(self.meter_.process.wait_out(METER_LINE))
        self.meter_.process.wait_out(METER_LINE, count=taken + 3)
        self.meter_.process.stop()
        before = self.wait_equal_totals(self.server_, self.meter_)
        self.server_.process.stop()
        self.tap_.publish(self.keys.down_topic, old, retain=True)  # the meter has it before any honest answer
        shutil.rmtree(self.meter_.state)
        self.meter_.run()
        self.meter_.process.wait_out(r"waiting for the server", count=3)
        self.assertEqual(self.meter_.register()["epoch"], 0, "taken for an answer")
        self.server_.run()
        self.meter_.process.wait_out(r"confirmed by the server", count=2)
        self.meter_.process.stop()
        self.wait_equal_totals(self.server_, self.meter_)
        self.assertEqual(self.server_.rows()[2, 1]["total_pulses"], before["total_pulses"])

    def test_B2_confirmations_replayed_at_a_restart(self):
        answers = self.wait(lambda: self.tap_.seen(self.keys.down_topic), "answers")
        self.meter_.process.stop()
        self.tap_.publish(self.keys.down_topic, answers[-1].payload, retain=True)
        self.meter_.run()
        for message in answers * 3:
            self.tap_.publish(self.keys.down_topic, message.payload)
        self.meter_.process.wait_out(r"hall  reading \d+: ", count=2)
        self.check_unmoved()

    def test_B2_replayed_confirmations_fill_no_log(self):
        answers = self.wait(lambda: self.tap_.seen(self.keys.down_topic), "answers")
        for message in answers * 200:
            self.tap_.publish(self.keys.down_topic, message.payload)
        stored = len(self.meter_.process.wait_out(r"hall  reading \d+: "))
        self.meter_.process.wait_out(r"hall  reading \d+: ", count=stored + 2)
        lines = self.meter_.process.out().count("confirmed by the server")
        self.assertLessEqual(lines, stored + 3, "one a reading, none a replay")

    def test_B2_I2_junk_and_giant_payloads(self):
        for topic in (self.keys.up_topic, self.keys.down_topic):
            for payload in (b"", b"48", b"\0" * 248, b"A" * 248, b"gAAAA" + b"B" * 243, os.urandom(247), os.urandom(249),
                            os.urandom(100_000), b"{}", "£".encode()):
                self.tap_.publish(topic, payload)
                self.tap_.publish(topic, payload, retain=True)
            self.tap_.publish(topic, b"x" * 20_000_000)
        self.check_unmoved()

    def test_B2_a_wrong_key_on_the_right_topic_adds_no_row_and_is_said(self):
        wrong = Fernet(Fernet.generate_key())
        for sequence in range(1, 4):
            self.tap_.publish(self.keys.up_topic,
                              wrong.encrypt(plaintext("hall", "Reading", **reading(1, sequence + 500, 10**6))))
        self.server_.process.wait_err(r"hall.*key|key.*hall")
        self.check_unmoved()

    def test_B2_B3_a_retained_reading_cleared_or_replaced(self):
        self.tap_.publish(self.keys.up_topic, b"", retain=True)
        self.tap_.publish(self.keys.up_topic, b"", retain=True)
        self.tap_.publish(self.keys.down_topic, b"", retain=True)
        self.check_unmoved()

    def test_B2_the_newest_reading_replayed_from_long_ago(self):
        old = self.wait(lambda: self.tap_.seen(self.keys.up_topic), "a token")[0]
        taken = len(self.meter_.process.wait_out(METER_LINE))
        self.meter_.process.wait_out(METER_LINE, count=taken + 3)
        for _ in range(5):
            self.tap_.publish(self.keys.up_topic, old.payload, retain=True)
        self.check_unmoved()


class WrongKey(Case):
    def test_K_a_meter_with_another_key_waits_and_adds_no_row(self):
        broker = self.broker()
        server = self.server(broker)
        meter = server.add(meter_key=Fernet.generate_key().decode(), simulation_seed=7)
        tap = self.tap(broker)
        server.run()
        meter.run()
        meter.process.wait_out(r"waiting for the server", count=2)
        keys = Keys.of(meter)
        hellos = [keys.open_up(m.payload)[0] for m in tap.seen(keys.up_topic)]
        self.assertTrue(hellos)
        self.assertEqual(set(hellos), {"Hello"}, "nothing is numbered before the greeting")
        self.assertEqual(tap.seen(keys.down_topic), [])
        self.assertEqual(server.rows(), {})
        self.assertIsNone(server.status()["total_pulses"])
        meter.process.stop()
        register = meter.register()
        self.assertEqual((register["epoch"], register["sequence"]), (0, 0))
        self.assertGreater(register["total_pulses"], 0, "counted and kept all the same")

    def test_K_the_meter_is_told_of_a_server_that_does_not_answer(self):
        broker = self.broker()
        server = self.server(broker)
        meter = server.add(meter_key=Fernet.generate_key().decode())
        server.run()
        meter.run()
        meter.process.wait_out(r"waiting for the server")
        self.wait(lambda: "waiting for the server" in meter.status()["condition"], "the condition in `status`")
