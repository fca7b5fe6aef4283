"""The classic wire: each of our programs with the Python one of the other side (classic_peers.py), and with each other.

One loop means: in what passes the broker, an up message and a down message take turns."""
import json
import pathlib
import re
import shutil
import sqlite3

from cryptography.fernet import Fernet, InvalidToken

from harness import HEALS, LONG, Case, Meter, Process

UP, DOWN = "UNITS1221", "UNITS1222"
PAUSE = ("2", "4") if LONG else ("0.1", "0.3")  # seconds; the real ones sleep 2 to 4
PEERS = pathlib.Path(__file__).with_name("classic_peers.py")
METER_LINE = r"^\d\d:\d\d:\d\d  hall  reading (\d+): Total Units = (\d+), "


class Classic(Case):
    def setUp(self):
        super().setUp()
        self.key = Fernet.generate_key()
        self.fernet = Fernet(self.key)
        self.key_file = self.secret_file(self.folder / "key", self.key.decode() + "\n")
        self.broker_ = self.broker()
        self.server_ = self.server(self.broker_)

    # Makers
    def add(self, name="hall", *extra, key=True, interval=1):
        config = self.server_.folder / f"{name}.toml"
        keys = ["--key-file", self.key_file] if key else []
        self.server_.command("meter", "add", name, "--wire", "classic", "--interval", interval, "--out", config, *keys,
                             *extra, password=True, check=True)
        return Meter(self, name, config)

    def peer(self, role, *extra, pause=PAUSE):
        return Process(self, f"python-{role}", ["/usr/bin/python3", PEERS, role, "--port", self.broker_.port,
                                                "--key-file", self.key_file, "--pause", *pause, *extra])

    def seal(self, total):
        return self.fernet.encrypt(str(total).encode())

    # What passed
    def opened(self, topic, messages=None):
        totals = []
        for message in self.tap_.seen(topic) if messages is None else messages:
            try:
                totals.append(int(self.fernet.decrypt(message.payload)))
            except InvalidToken:
                pass
        return totals

    def wait_for_more(self, topic, count, timeout=HEALS):
        before = len(self.tap_.seen(topic))
        self.wait(lambda: len(self.tap_.seen(topic)) >= before + count, f"{count} more messages on {topic}", timeout)

    def check_one_loop(self, rounds=4):
        """Within some rounds up and down begin to take turns, and go on doing so."""
        def takes_turns():
            last = [m.topic for m in self.tap_.seen() if m.topic in (UP, DOWN)][-2 * rounds:]
            return len(last) == 2 * rounds and all(a != b for a, b in zip(last, last[1:]))
        self.wait(takes_turns, f"{rounds} rounds of one loop; the last messages: "
                  f"{[m.topic for m in self.tap_.seen()][-20:]}", 2 * HEALS)
        for _ in range(2):  # two loops side by side may look like one for a moment, not for long
            begin = len([m for m in self.tap_.seen() if m.topic in (UP, DOWN)])
            self.wait_for_more(UP, rounds)
            passed = [m.topic for m in self.tap_.seen() if m.topic in (UP, DOWN)][begin:]
            self.assertTrue(all(a != b for a, b in zip(passed, passed[1:])), passed)

    def wait_for_silence(self):
        """Our server has let every loop of a Python meter end, and begun a single one."""
        begin = len(self.tap_.seen())

        def silence():
            times = [m.at for m in self.tap_.seen()[begin:] if m.topic in (UP, DOWN)]
            return any(later - earlier >= 4 for earlier, later in zip(times, times[1:]))
        self.wait(silence, "a silence of 5 s", 4 * HEALS)

    def check_never_fell(self, first=0):
        totals = self.opened(UP, [m for m in self.tap_.seen(UP) if not m.retained])
        self.assertTrue(totals)
        self.assertEqual(totals, sorted(totals), "the total fell")
        self.assertGreaterEqual(totals[0], first)
        return totals[-1]

    def inject_doubles(self, topics, messages=4, copies=3):
        """The next messages of each topic are published again, some at once."""
        for topic in topics:
            for _ in range(messages):
                self.wait_for_more(topic, 1)
                token = self.tap_.seen(topic)[-1].payload
                for _ in range(copies):
                    self.tap_.publish(topic, token)

    def check_the_ledger(self, least=0):
        """Rows numbered from 1, the first is where the epoch starts; cost is the total times the price."""
        rows = self.server_.readings()
        self.assertEqual([(row["epoch"], row["sequence"]) for row in rows], [(1, n) for n in range(1, len(rows) + 1)])
        totals = [row["total_pulses"] for row in rows]
        self.assertEqual(totals, sorted(set(totals)), "each total is one row")
        self.assertEqual(totals[0], 0)
        self.assertGreaterEqual(totals[-1], least)
        status = self.server_.status()
        self.assertEqual((status["wire"], status["source"], status["refused"], status["held"]),
                         ("classic", "unstated", 0, 0))
        cost = (status["total_pulses"] * 39 + 5) // 10  # at £0.00039, in ten-thousandths, rounded once
        self.assertEqual(status["cost"], f"{cost // 10_000}.{cost % 10_000:04}")
        return status["total_pulses"]


class PythonMeter(Classic):
    """A Python meter and our server."""

    def setUp(self):
        super().setUp()
        self.add()
        self.tap_ = self.tap(self.broker_)

    def check_the_end(self, meter, first=0):
        meter.kill()
        total = self.check_never_fell(first)
        self.wait(lambda: self.server_.status()["total_pulses"] == total, f"the server's total to be {total}")
        self.check_the_ledger(first)
        self.assertNotIn("refused", self.server_.process.err())
        self.server_.process.stop()

    def test_from_an_empty_broker_where_the_meter_waits_to_be_spoken_to(self):
        meter = self.peer("meter", "--wait")
        meter.wait_out("begins with 0")
        self.server_.run()
        meter.wait_out(r"sent \d+", count=3)
        self.check_one_loop()
        self.check_the_end(meter)

    def test_from_an_empty_broker_where_the_meter_begins(self):
        self.server_.run()
        meter = self.peer("meter")
        meter.wait_out(r"confirmed \d+", count=3)
        self.check_one_loop()
        line, = self.server_.process.wait_out(r"^.*hall  Total Units = \d+, Total Cost .*$")[:1]
        self.assertRegex(line, r"Total Units = \d+, Total Cost \(@£0\.00039 per unit\): £\d+\.\d{4}$")
        self.check_the_end(meter)

    def test_from_a_retained_total(self):
        self.tap_.publish(UP, self.seal(4711), retain=True).wait_for_publish()
        meter = self.peer("meter", "--wait")
        meter.wait_out("begins with 4711")
        self.server_.run()
        meter.wait_out(r"confirmed 4711", count=1)
        self.assertEqual([row["total_pulses"] for row in self.server_.readings()[:2]], [0, 4711])
        self.check_one_loop()
        self.check_the_end(meter, 4711)

    def test_D6_each_side_restarted_in_turn(self):
        self.server_.run()
        meter = self.peer("meter")
        for _ in range(2):
            meter.wait_out(r"confirmed \d+", count=3)
            self.server_.process.kill()
            self.server_.run()
            self.wait_for_more(UP, 3)
            meter.kill()
            meter = self.peer("meter")
        meter.wait_out(r"confirmed \d+", count=3)
        self.server_.process.stop()
        meter.wait_out(r"sent \d+")
        self.server_.run()
        self.wait_for_silence()
        self.check_one_loop()
        self.check_the_end(meter)

    def test_D6_our_server_takes_over_from_a_python_one_without_a_second_loop(self):
        """The last confirmation was Python's, and the meter is about to answer it: were the total that the broker keeps
        confirmed once more, there would be more confirmations than totals from then on."""
        python = self.peer("server")
        meter = self.peer("meter", pause=("4", "4.5"))  # so long that our server is there before it sends again
        self.wait_for_more(DOWN, 2)
        python.kill()
        passed = [m.topic for m in self.tap_.seen() if m.topic in (UP, DOWN)]
        self.assertEqual(passed[-1], DOWN, passed)
        self.server_.run()
        self.wait_for_more(DOWN, 3)
        ahead = 0  # confirmations that no total has answered yet, beyond the one that the meter had then
        for topic in [m.topic for m in self.tap_.seen() if m.topic in (UP, DOWN)][len(passed):]:
            ahead += 1 if topic == DOWN else -1
            self.assertLessEqual(ahead, 0, "two loops")
        self.check_the_end(meter)

    def test_B2_doubles_start_no_second_loop(self):
        self.server_.run()
        meter = self.peer("meter")
        meter.wait_out(r"confirmed \d+", count=2)
        self.inject_doubles((UP, DOWN, UP))
        self.wait_for_silence()
        self.check_one_loop()
        meter.kill()
        self.server_.process.stop()
        totals = [row["total_pulses"] for row in self.server_.readings()]
        self.assertEqual(totals, sorted(set(totals)))

    def test_D4_a_broker_that_forgot_everything(self):
        self.server_.run()
        meter = self.peer("meter")
        meter.wait_out(r"confirmed \d+", count=3)
        self.broker_.kill()
        self.broker_.start()
        self.tap_.ready()
        self.wait_for_silence()
        self.check_one_loop()
        self.check_the_end(meter)

    def test_I1_I3_totals_of_another_kind_and_falls_are_refused_with_one_line_and_an_event(self):
        wrong = {"negative": b"-5", "space": b" 5", "hex": b"0x10", "exponent": b"1e9", "large": b"9223372036854775808",
                 "bytes": b"\xff\xfe\xfd", "plus": b"+5", "line": b"5\n", "zeros": b"007", "underscore": b"1_001",
                 "arabic": "\u0661\u0662".encode(), "nul": b"12\0", "empty": b"", "fall": b"9", "key": None}
        for name in wrong:
            self.add(name, "--up-topic", f"{name}/up", "--down-topic", f"{name}/down")
        self.server_.run()
        self.wait(lambda: all(f"{name}/up" in self.broker_.log() for name in wrong), "all subscriptions")
        for name, plaintext in wrong.items():
            self.tap_.publish(f"{name}/up", self.seal(10))
            self.wait(lambda: (self.server_.status(name) or {}).get("total_pulses") == 10, "the right total")
            token = self.fernet.encrypt(plaintext) if plaintext is not None else \
                Fernet(Fernet.generate_key()).encrypt(b"12")
            for _ in range(3):
                self.tap_.publish(f"{name}/up", token)
            line, = self.server_.process.wait_err(rf"^.*warning: meter {name}: .*$")
            self.assertIn({"key": "does not open", "fall": "below the stored 10"}.get(name, "no total"), line)
            self.assertEqual(self.server_.status(name)["total_pulses"], 10)
            self.assertLessEqual(set(self.opened(f"{name}/down")), {0, 10}, "confirmed what was refused")
        with sqlite3.connect(f"file:{self.server_.data / 'ledger.sqlite'}?mode=ro", uri=True) as ledger:
            events = ledger.execute("SELECT meter, detail FROM event WHERE kind IN (2, 8)").fetchall()
        self.assertEqual(sorted(meter for meter, _ in events), sorted(wrong), events)
        self.server_.process.stop()
        self.assertNotIn(self.key.decode(), self.server_.process.err() + self.server_.process.out())


class PythonServer(Classic):
    """A Python server and our meter."""

    def setUp(self):
        super().setUp()
        self.meter_ = self.add()
        self.meter_.configure(simulation_seed=7)
        self.tap_ = self.tap(self.broker_)

    def check_the_end(self, first=0):
        self.meter_.process.stop()
        total = self.meter_.register()["total_pulses"]
        self.wait(lambda: self.opened(UP)[-1] == total, "the last reading to be the register")
        self.assertEqual(self.check_never_fell(first), total)

    def test_from_an_empty_broker(self):
        self.peer("server")
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server: total \d+", count=3)
        self.check_one_loop()
        self.check_the_end()
        self.meter_.run()
        words, = self.meter_.process.wait_out(r"last confirmation, opened: total (\d+)$")
        self.assertIn(int(words), self.opened(DOWN))

    def test_from_a_retained_total(self):
        self.tap_.publish(UP, self.seal(4711), retain=True).wait_for_publish()
        self.peer("server").wait_out("received 4711")
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server", count=3)
        self.check_one_loop()
        self.check_the_end(4711)

    def test_D6_each_side_restarted_in_turn(self):
        server = self.peer("server")
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server", count=2)
        for how in ("stop", "kill"):
            getattr(self.meter_.process, how)()
            self.meter_.run()
            self.meter_.process.wait_out(r"confirmed by the server", count=2)
            server.kill()
            server = self.peer("server")
            server.wait_out(r"received \d+", count=3)
        self.check_one_loop()
        self.check_the_end()

    def test_B2_doubles_start_no_second_loop(self):
        self.peer("server")
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server", count=2)
        self.inject_doubles((UP, DOWN))
        self.check_one_loop()
        self.meter_.process.stop()
        shown = [int(total) for _, total in re.findall(METER_LINE, self.meter_.process.out(), re.MULTILINE)]
        self.assertEqual(shown, sorted(shown))

    def test_D4_a_broker_that_forgot_everything(self):
        self.peer("server")
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server", count=2)
        self.broker_.kill()
        self.broker_.start()
        self.tap_.ready()
        self.check_one_loop()
        self.check_the_end()

    def test_P1_D1_nothing_is_published_that_is_not_on_disk(self):
        self.peer("server")
        for _ in range(3):
            self.meter_.run()
            self.meter_.process.wait_out(r"confirmed by the server", count=1)
            self.meter_.process.kill()
            self.assertLessEqual(max(self.opened(UP)), self.meter_.register()["total_pulses"])
        self.check_never_fell()

    def test_P6_a_lost_disk_goes_on_from_the_retained_total(self):
        self.peer("server")
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server", count=3)
        self.meter_.process.kill()
        shutil.rmtree(self.meter_.state)
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server", count=2)
        self.check_the_end()

    def test_a_retained_total_of_another_key_is_not_written_over(self):
        foreign = Fernet(Fernet.generate_key()).encrypt(b"4711")
        self.tap_.publish(UP, foreign, retain=True).wait_for_publish()
        self.meter_.run()
        line, = self.meter_.process.wait_err(r"^.*nothing is sent.*$")
        self.assertIn(f"`mosquitto_pub -h 127.0.0.1 -p {self.broker_.port} -t 'UNITS1221' -r -n`", line)
        self.assertEqual([m.payload for m in self.tap_.seen(UP)], [foreign])
        self.tap_.publish(UP, b"", retain=True)  # as the line says
        self.wait(lambda: self.opened(UP), "the first reading")
        self.meter_.process.stop()


    def test_I1_answers_and_retained_totals_of_another_kind_change_nothing(self):
        wrong = (b"-5", b" 5", b"0x10", b"1e9", b"9223372036854775808", b"\xff\xfe\xfd", b"", b"+5", b"5\n", b"007",
                 b"1_001", "\u0661\u0662".encode(), b"12\0")
        self.tap_.publish(UP, self.fernet.encrypt(b"1e9"), retain=True).wait_for_publish()
        self.meter_.run()
        line, = self.meter_.process.wait_err(r"^.*nothing is sent.*$")
        self.assertIn(f"-t '{UP}' -r -n`", line)
        self.assertEqual(len(self.tap_.seen(UP)), 1)
        self.tap_.publish(UP, b"", retain=True).wait_for_publish()  # as the line says
        self.peer("server")
        self.meter_.process.wait_out(r"confirmed by the server", count=2)
        for plaintext in wrong:
            self.tap_.publish(DOWN, self.fernet.encrypt(plaintext))
        self.tap_.publish(DOWN, self.seal(2 ** 63 - 1))  # a total, but never sent
        self.tap_.publish(DOWN, b"junk")
        self.meter_.process.wait_err(rf"a message on {DOWN} does not open with this meter's key")
        confirmed = len(re.findall("confirmed by the server", self.meter_.process.out()))
        self.meter_.process.wait_out(r"confirmed by the server", count=confirmed + 2)
        self.check_one_loop()
        self.meter_.process.stop()
        for words in (rf"a message on {DOWN} holds no total but not a plain decimal number: refused",
                      rf"a message on {DOWN} holds no total but a number above 2\^63-1: refused",
                      rf"a message on {DOWN} holds the total {2 ** 63 - 1}, .*more than half of what a total can be"):
            self.assertRegex(self.meter_.process.err(), words)
        self.assertLess(self.meter_.register()["total_pulses"], 10_000)


class BothOurs(Classic):
    def setUp(self):
        super().setUp()
        self.meter_ = self.add(key=False)
        self.meter_.configure(simulation_seed=7)
        self.fernet = Fernet(self.meter_.setting("key"))
        self.tap_ = self.tap(self.broker_)

    def run_both(self):
        self.server_.run()
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server", count=3)

    def test_one_loop_and_equal_totals(self):
        self.run_both()
        self.check_one_loop()
        self.meter_.process.stop()
        self.wait_equal_totals(self.server_, self.meter_)
        self.check_the_ledger()
        self.check_never_fell()

    def test_P6_disk_and_retained_total_lost_the_server_knows(self):
        self.run_both()
        self.meter_.process.stop()
        total = self.wait_equal_totals(self.server_, self.meter_)["total_pulses"]
        self.tap_.publish(UP, b"", retain=True).wait_for_publish()
        shutil.rmtree(self.meter_.state)
        self.meter_.run()
        self.wait(lambda: (self.server_.status()["total_pulses"] or 0) > total, "a total above the old one", 2 * HEALS)
        self.meter_.process.stop()
        self.assertGreater(self.wait_equal_totals(self.server_, self.meter_)["total_pulses"], total)

    def test_listen_opens_both_ways(self):
        self.run_both()
        listener = Process(self, "listen", self.server_.arguments("broker", "listen", "UNITS122+", password=True))
        self.assertEqual(listener.wait_exit(), 2)  # no filter: + is a whole level
        listener = Process(self, "listen", self.server_.arguments("broker", "listen", "#", password=True))
        up, = listener.wait_out(rf"{UP}, QoS 1, \d+ bytes: meter hall: total (\d+), classic$")[:1]
        down, = listener.wait_out(rf"{DOWN}, QoS 1, \d+ bytes: to meter hall: confirmed total (\d+), classic$")[:1]
        self.assertIn(int(up), self.opened(UP))
        self.assertIn(int(down), self.opened(DOWN))
        self.tap_.publish(DOWN, self.seal("1e9"))
        listener.wait_out(rf"{DOWN}, QoS 1, 100 bytes: not ours, though on the topic of meter hall: gAAAA")
        listener.stop()

    def test_K7_the_key_is_in_the_two_files_only(self):
        self.run_both()
        key = self.meter_.setting("key")
        for process in (self.server_.process, self.meter_.process):
            self.assertNotIn(key, process.out() + process.err())
            for name in ("cmdline", "environ"):
                self.assertNotIn(key.encode(), pathlib.Path(f"/proc/{process.pid}/{name}").read_bytes())
        self.assertNotIn(key, (self.server_.data / "keystore.json").read_text())
        self.assertEqual(self.meter_.config.stat().st_mode & 0o777, 0o600)

    def test_a_meter_has_one_wire_and_a_state_folder_too(self):
        self.run_both()
        self.meter_.process.stop()
        self.meter_.configure(meter_wire=None, meter_up_topic=None, meter_down_topic=None)
        done = self.run_command(self.meter_.arguments())
        self.assertEqual(done.returncode, 2)
        self.assertIn("hall on the classic wire", done.stderr)


class Setting(Classic):
    def refused(self, *arguments, words=(), name="hall"):
        out = self.folder / "refused.toml"
        done = self.server_.command("meter", "add", name, "--wire", "classic", "--out", out, *arguments, password=True)
        self.assert_refused(done, 2, *words)
        self.assertFalse(out.exists())

    def test_a_second_classic_meter_on_the_same_topics_is_refused(self):
        self.add("hall")
        self.refused(name="attic", words=('"hall"', UP, DOWN, "--up-topic"))
        self.refused("--up-topic", "a", name="attic", words=('"hall"',))
        self.refused("--up-topic", DOWN, "--down-topic", UP, name="attic", words=('"hall"',))
        self.add("attic", "--up-topic", "a", "--down-topic", "b")

    def test_P5_the_pace_is_the_same_ten_seconds_on_both_wires(self):
        for name, wire in (("hall", "classic"), ("attic", "sealed")):
            out = self.folder / f"{name}.toml"
            self.server_.command("meter", "add", name, "--wire", wire, "--out", out, password=True, check=True)
            self.assertEqual(Meter(self, name, out).setting("interval_s"), "10")

    def test_topics_that_can_not_be_are_refused(self):
        for topic in ("", "a/#", "+/a", "a b", "x" * 129, "é", "$SYS/a", "pulsemeter/a"):
            self.refused("--up-topic", topic, words=("--up-topic: ",))
            self.refused("--down-topic", topic, words=("--down-topic: ",))
        self.refused("--up-topic", "a", "--down-topic", "a", words=("--up-topic", "--down-topic"))

    def test_K7_a_key_file_is_a_secret_file_that_holds_a_key(self):
        open_to_all = self.secret_file(self.folder / "open", self.key.decode())
        open_to_all.chmod(0o644)
        self.refused("--key-file", open_to_all, words=(open_to_all, "chmod 600"))
        self.refused("--key-file", self.folder / "missing", words=(self.folder / "missing",))
        for place, text in enumerate(("", "hello", self.key.decode()[:-1], self.key.decode() * 2)):
            file = self.secret_file(self.folder / f"bad{place}", text)
            self.refused("--key-file", file, words=(file, "Fernet key"))

    def test_what_goes_with_one_wire_only(self):
        self.refused("--imp-per-kwh", 3200, words=("3200", "1000"))
        out = self.folder / "sealed.toml"
        for option, value in (("--key-file", self.key_file), ("--up-topic", "a"), ("--down-topic", "a")):
            done = self.server_.command("meter", "add", "hall", "--out", out, option, value, password=True)
            self.assert_refused(done, 2, option, "--wire classic")
        done = self.server_.command("meter", "add", "hall", "--out", out, "--wire", "open", password=True)
        self.assert_refused(done, 2, "--wire", "classic")

    def test_the_list_shows_wire_and_topics(self):
        self.add("hall")
        self.server_.add("attic")
        plain = self.server_.command("meter", "list", check=True).stdout
        self.assertRegex(plain, r"hall .*classic: UNITS1221, UNITS1222\n")
        self.assertRegex(plain, r"attic .*sealed\n")
        listed = json.loads(self.server_.command("meter", "list", "--json", check=True).stdout)["meters"]
        self.assertEqual([(m["id"], m["wire"], m.get("up_topic"), m.get("down_topic")) for m in listed],
                         [("hall", "classic", UP, DOWN), ("attic", "sealed", None, None)])
        self.assertEqual(self.server_.status("hall")["wire"], "classic")
        self.assertIn("classic", self.server_.command("status", check=True).stdout)

    def test_the_key_of_the_python_pair_is_taken_as_it_is(self):
        self.assertEqual(self.add("hall").setting("key"), self.key.decode())
