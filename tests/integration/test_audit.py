"""The audit of the ledger, its backup and the way back, with the real programs."""
import re
import shutil

import ledger_rows
from harness import Case, Server, rounds
from wire import Keys, Peer, reading

DAY = 86_400_000


def head_of(text):
    return re.search(r"\b\d+-[0-9a-f]{64}\b", text).group()


class Audit(Case):
    def setUp(self):
        super().setUp()
        self.broker_ = self.broker()
        self.server_ = self.server(self.broker_)
        self.peer = Peer(self, self.tap(self.broker_), Keys.of(self.server_.add("hall")))

    def send(self, sequences):
        for sequence in sequences:
            self.peer.send(reading(1, sequence, 5 * sequence))
        self.peer.wait_confirmed((1, s) for s in sequences)

    def age(self, data=None):
        """Makes all that the (stopped) ledger received today something of yesterday."""
        with ledger_rows.connect(data or self.server_.data) as ledger:
            ledger.execute("UPDATE reading SET facts = shift(facts, ?) WHERE sequence BETWEEN "
                           "(SELECT min(first) FROM open_day) AND (SELECT max(last) FROM open_day)", (-DAY,))
            ledger.execute("UPDATE open_day SET day = day - 1")
            ledger_rows.note_anew(ledger)

    def verify(self, *arguments, server=None):
        return (server or self.server_).command("verify", *arguments, password=True)

    def seal_yesterday(self):
        self.server_.run()
        self.peer.hello()
        self.send(range(1, 11))
        self.server_.process.stop()
        self.age()
        self.server_.run().wait_err(r"sealed up to yesterday; its head: 1-")

    def test_a_closed_day_is_sealed_and_a_changed_row_is_named(self):
        self.seal_yesterday()
        self.send(range(11, 16))
        done = self.verify()  # beside the running server
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"hall: 10 readings sealed, 5 not yet; head 1-[0-9a-f]{64}\nall in order; head 1-")
        head = head_of(done.stdout)
        self.assertEqual(self.verify("--expect", head).returncode, 0)
        self.assert_refused(self.verify("--expect", "1-00"), 2, "--expect")
        self.assert_refused(self.verify("--expect", head[:-1] + ("0" if head[-1] != "0" else "1")), 1, "seal 1")
        self.server_.process.stop()

        with ledger_rows.connect(self.server_.data) as ledger:
            ledger.execute("UPDATE reading SET facts = change_total(facts, 1) WHERE sequence = 7")
        self.assert_refused(self.verify(), 1, "meter hall, epoch 1 reading 7")
        with ledger_rows.connect(self.server_.data) as ledger:
            ledger.execute("UPDATE reading SET facts = change_total(facts, -1) WHERE sequence = 7")
            ledger.execute("DELETE FROM seal")
        self.assert_refused(self.verify("--expect", head), 1, "there are 0 seals")

    def test_P3_a_damaged_reading_of_today_is_named_and_refused_unless_the_operator_says_so(self):
        self.server_.run()
        self.peer.hello()
        self.send(range(1, 11))
        with ledger_rows.connect(self.server_.data) as ledger:  # beside the running server
            ledger.execute("UPDATE reading SET facts = change_total(facts, 1) WHERE sequence = 7")
        named = (r"meter hall, epoch 1: of the readings 1 to 10 that came on \d{4}-\d\d-\d\d, at least one is not as it "
                 "was stored")
        self.assertRegex(self.assert_refused(self.verify(), 1, "meter hall"), named)
        backup = self.folder / "backup"
        self.assertRegex(self.server_.command("backup", "--out", backup, check=True).stderr, "so is its copy .*" + named)
        self.assert_refused(self.server_.command("restore", "--from", backup), 2, "take another backup")
        self.server_.process.stop()

        refused = self.server_.run(connected=False)
        self.assertEqual(refused.wait_exit(), 2)
        self.assertRegex(refused.err(), named + r"\): restore it from a backup; without one, --accept-damage goes on")
        self.assertEqual(self.server_.status()["sequence"], 10)

        wrong = self.secret_file(self.folder / "wrong", "not the password\n")
        self.assert_refused(self.server_.command("restore", "--from", backup, "--accept-damage", "--password-file", wrong), 3,
                            "Authentication failed")
        restored = self.server_.command("restore", "--from", backup, "--accept-damage", check=True)
        self.assertRegex(restored.stderr, named + r"\): restored as it is; run wants --accept-damage, too")
        self.server_.run("--accept-damage").wait_err(named + r"\): going on with it as it is")
        self.peer.hello()
        self.send([11])
        self.assertRegex(self.server_.command("status", check=True).stdout, r"\nalarm .*  this server  damaged: " + named)
        with ledger_rows.connect(self.server_.data) as ledger:  # … and back
            ledger.execute("UPDATE reading SET facts = change_total(facts, -1) WHERE sequence = 7")
        self.assertIn("all in order", self.verify().stdout)

        with ledger_rows.connect(backup) as ledger:  # beside a server that would not take it
            ledger.execute("UPDATE reading SET facts = x'00' WHERE sequence = 7")
        illegible = "restore", "--from", backup, "--accept-damage"
        self.assert_refused(self.server_.command(*illegible), 2, "damaged")
        with ledger_rows.connect(backup) as ledger:
            ledger.execute("DELETE FROM reading WHERE sequence = 7")
        done = self.server_.command(*illegible)
        self.assertEqual(done.returncode, 2)
        self.assertIn("stop it first", done.stderr)
        self.assertEqual(self.server_.status()["sequence"], 11)

    def test_a_backup_beside_a_running_server_is_restored_and_the_next_readings_heal(self):
        self.seal_yesterday()
        self.send(range(11, 16))
        backup = self.folder / "backup"
        done = self.server_.command("backup", "--out", backup, check=True)
        head = head_of(done.stdout)
        self.assertEqual(sorted(each.name for each in backup.iterdir()),
                         ["keystore.json", "ledger.sqlite", "server.toml"])
        for each in backup.iterdir():
            self.assertEqual(each.stat().st_mode & 0o777, 0o600, each)
        self.assertEqual(backup.stat().st_mode & 0o777, 0o700)
        self.assert_refused(self.server_.command("backup", "--out", backup), 2, "exists already")
        self.send(range(16, 31))  # confirmed, forgotten by the meter, not in the backup

        self.server_.process.kill()
        shutil.rmtree(self.server_.data)  # the disk is gone
        restored = self.server_.command("restore", "--from", backup, check=True)
        self.assertEqual(head_of(restored.stdout), head)
        self.assertEqual(self.verify("--expect", head).returncode, 0)
        self.assertEqual(self.server_.status()["total_pulses"], 75)
        self.assertNotIn("gaps", self.server_.status())

        self.server_.run()
        self.send([31])
        status = self.server_.status()
        self.assertEqual((status["total_pulses"], status["cost"]), (155, "0.0585"))
        self.assertEqual(status["gaps"], [{"epoch": 1, "first": 16, "last": 30}])
        self.assertIn("gap 16…30", self.server_.command("status", check=True).stdout)
        self.assertEqual(sorted(self.server_.rows()), [(1, s) for s in [*range(1, 16), 31]])
        self.server_.process.stop()

        # Over a folder that holds something nothing is deleted.
        again = self.server_.command("restore", "--from", backup, check=True)
        aside = next(self.server_.data.glob("replaced-*"))
        self.assertIn(str(aside), again.stdout)
        kept = Server(self, self.broker_, initialise=False, data=aside)
        self.assertEqual(kept.status()["total_pulses"], 155)
        self.assertEqual(self.server_.status()["total_pulses"], 75)

    def test_a_backup_is_restored_under_a_running_server_which_goes_on_with_it(self):
        self.seal_yesterday()
        running = self.server_.process
        self.send(range(11, 16))
        backup = self.folder / "backup"
        head = head_of(self.server_.command("backup", "--out", backup, check=True).stdout)
        self.send(range(16, 31))  # confirmed, forgotten by the meter, not in the backup
        added = Keys.of(self.server_.add("cellar"))  # nor is this one
        other = Peer(self, self.peer.tap, added)
        self.server_.process.wait_err("meter cellar: waiting")
        other.hello()
        other.send(reading(1, 1, 0))
        other.wait_confirmed([(1, 1)])

        restored = self.server_.command("restore", "--from", backup, check=True)
        self.assertEqual(head_of(restored.stdout), head)
        running.wait_err("was restored from a backup: going on with its ledger, keys and settings")
        running.wait_err("connected to mqtt", count=2)
        self.peer.hello()
        self.send([31, 32])
        self.assertTrue(running.running())
        status = self.server_.status()
        self.assertEqual(status["total_pulses"], 160)
        self.assertEqual(status["gaps"], [{"epoch": 1, "first": 16, "last": 30}])
        self.assertEqual(sorted(self.server_.rows()), [(1, s) for s in [*range(1, 16), 31, 32]])  # none is invented
        self.assertIsNone(self.server_.status("cellar"), "a meter that the backup does not know")
        self.assertEqual(self.verify("--expect", head).returncode, 0)
        aside = next(self.server_.data.glob("replaced-*"))
        self.assertIn(str(aside), restored.stdout)
        kept = Server(self, self.broker_, initialise=False, data=aside)
        self.assertEqual(kept.status()["total_pulses"], 150)
        self.assertEqual(kept.status("cellar")["total_pulses"], 0)
        self.assertEqual(kept.command("verify", "--password-file", self.server_.password_file).returncode, 0)

        # Whenever it happens, what is confirmed afterwards is in the ledger that lies there.
        for time in range(rounds(3, 30)):
            first = 40 + 100 * time
            self.peer.send(reading(1, first, 5 * first))
            self.server_.command("restore", "--from", backup, check=True)
            connected = len(running.wait_err("was restored from a backup", count=time + 2))
            running.wait_err("connected to mqtt", count=connected + 1)
            self.peer.hello()
            self.send(range(first + 1, first + 20))
            self.assertGreaterEqual(set(self.server_.rows()), {(1, s) for s in range(first + 1, first + 20)})
        running.stop()

    def test_a_running_server_whose_password_is_not_the_backups_ends_and_says_so(self):
        running = self.server_.run()
        self.peer.hello()
        self.send([1, 2])
        backup = self.folder / "backup"
        self.server(self.broker_, password="another one").command("backup", "--out", backup, check=True)
        self.server_.command("restore", "--from", backup, check=True)
        self.assertEqual(running.wait_exit(), 3)
        # It may have looked for new meters in the backup's keys before: that is a line, too.
        self.assertRegex(running.err().splitlines()[-1], "error: .*Authentication failed")
        kept = Server(self, self.broker_, initialise=False, data=next(self.server_.data.glob("replaced-*")))
        self.assertEqual(sorted(kept.rows()), [(1, 1), (1, 2)])

    def test_a_backup_of_an_older_server_is_restored_and_itself_left_as_it_is(self):
        backup = self.folder / "backup"
        self.server_.command("backup", "--out", backup, check=True)
        ledger = backup / "ledger.sqlite"
        for layout in (1, 2):
            with self.subTest(layout=layout):
                ledger.unlink()
                ledger_rows.make_older(ledger, layout, [5 * n for n in range(1, 11)])
                before = ledger.read_bytes()
                self.server_.command("restore", "--from", backup, check=True)
                self.assertEqual((sorted(self.server_.rows()), self.server_.status()["total_pulses"]),
                                 ([(1, n) for n in range(1, 11)], 50))
                self.server_.run().wait_err("sealed up to yesterday; its head: 1-")
                self.server_.process.stop()
                self.assertRegex(self.verify().stdout, "hall: 10 readings sealed, 0 not yet")
                self.assertEqual([each.name for each in sorted(backup.iterdir())],
                                 ["keystore.json", "ledger.sqlite", "server.toml"])
                self.assertEqual(ledger.read_bytes(), before)

    def test_a_damaged_backup_is_refused_before_anything_is_touched(self):
        self.seal_yesterday()
        self.server_.process.stop()
        backup = self.folder / "backup"
        self.server_.command("backup", "--out", backup, check=True)
        ledger = backup / "ledger.sqlite"
        with ledger_rows.connect(backup) as database:
            database.execute("VACUUM")  # so that no page is unused
        good = ledger.read_bytes()

        def restore(*options):
            return self.server_.command("restore", "--from", backup, *options)
        with ledger_rows.connect(backup) as database:  # changed, but no damage to SQLite
            database.execute("UPDATE reading SET facts = change_total(facts, 1) WHERE sequence = 7")
        password = "--password-file", self.server_.password_file
        self.assert_refused(restore(*password), 2, ledger, "meter hall, epoch 1 reading 7")
        wrong = self.secret_file(self.folder / "wrong", "not the password\n")
        self.assert_refused(restore("--password-file", wrong), 3, "Authentication failed")
        page = int.from_bytes(good[16:18], "big")
        for first in range(page, len(good), page):  # the head is well
            with self.subTest(page=first // page + 1):
                ledger.write_bytes(good[:first] + b"\xa5" * page + good[first + page:])
                self.assert_refused(restore(), 2, ledger, "take another backup")
        self.assertEqual(self.server_.status()["total_pulses"], 50)
        self.assertEqual(list(self.server_.data.glob("re*")), [])
        ledger.write_bytes(good)
        self.assertEqual(restore(*password).returncode, 0)

    def test_what_is_no_backup_is_refused_and_nothing_is_touched(self):
        self.server_.run()
        self.peer.hello()
        self.send([1, 2])
        self.server_.process.stop()
        backup = self.folder / "backup"
        self.server_.command("backup", "--out", backup, check=True)
        self.assert_refused(self.server_.command("restore", "--from", self.folder / "nowhere"), 2, "nowhere")
        self.assert_refused(self.server_.command("restore", "--from", self.server_.data), 2, "from itself")
        with open(backup / "ledger.sqlite", "r+b") as ledger:
            ledger.write(b"\0" * 100)
        self.assert_refused(self.server_.command("restore", "--from", backup), 2, "ledger.sqlite")
        (backup / "keystore.json").unlink()
        self.assert_refused(self.server_.command("restore", "--from", backup), 2, "no complete backup")
        self.assertEqual(self.server_.status()["total_pulses"], 10)
        self.assertEqual(list(self.server_.data.glob("replaced-*")), [])
        self.assert_refused(self.server_.command("backup", "--out", self.folder / "no" / "such"), 2, "no/such")
