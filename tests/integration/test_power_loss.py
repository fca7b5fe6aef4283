"""Rows P4 and P6, and the register that was lost: full disks, old state folders, clones."""
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import time

from harness import HEALS, Case, Process
from wire import Keys, Peer, reading

METER_LINE = r"hall  reading (\d+): "
CONFIRMED = r"confirmed by the server"


class SmallDisk:
    """A folder on a file system of 4 MiB that can be filled to the last byte. It is mounted in a namespace of its own,
    so that no root is needed and it goes with the process that holds it. Where the machine forbids that, the
    programs' files are limited in size instead (RLIMIT_FSIZE): a write fails too, but later and with another error."""

    def __init__(self, case, name):
        self.path = self.seen_from_here = case.folder / name
        self.path.mkdir()
        self.filler, self.real = None, False
        if os.environ.get("PULSEMETER_NO_MOUNT") != "1":
            user = os.geteuid() != 0
            words = ["unshare", "--mount", *(["--user", "--map-root-user"] if user else []), "sh", "-c",
                     'mount -t tmpfs -o size=4m,mode=0700 tmpfs "$0" && echo mounted && exec sleep infinity', self.path]
            holder = Process(case, "small-disk", words, env={**case.environment, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
            case.wait(lambda: "mounted" in holder.out() or not holder.running(), "the small disk", 20)
            self.real = holder.running()
        if self.real:
            case.within = ["nsenter", "--target", holder.pid, "--mount",
                           *(["--user", "--preserve-credentials"] if user else [])]
            self.seen_from_here = pathlib.Path(f"/proc/{holder.pid}/root{self.path}")
        print(f"        {name}: a full disk is " + ("a tmpfs of 4 MiB" if self.real else "a limit of file sizes"))

    def popen_arguments(self):
        return {"restore_signals": False}  # SIGXFSZ stays ignored, as Python has it: the write fails instead

    def fill(self, process):
        if not self.real:  # not 0: the process's own output goes to files too
            self._limit(process, max(path.stat().st_size for path in self.path.rglob("*")))
            return
        self.filler = self.seen_from_here / "filler"
        with open(self.filler, "wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass

    def free(self, process):
        if self.real:
            self.filler.unlink()
        else:
            self._limit(process, "unlimited")

    def _limit(self, process, size):
        subprocess.run(["prlimit", "--pid", str(process.pid), f"--fsize={size}:"], check=True)


class FullDisk(Case):
    def test_P4_a_full_disk_of_the_meter_loses_nothing_and_heals(self):
        broker = self.broker()
        server = self.server(broker)
        meter = server.add(simulation_model="household", simulation_speed=500)
        keys, tap = Keys.of(meter), self.tap(broker)
        disk = SmallDisk(self, "state-disk")
        meter.state = disk.path / "state"
        server.run()
        meter.run(**disk.popen_arguments())
        meter.process.wait_out(CONFIRMED, count=2)
        disk.fill(meter.process)
        meter.process.wait_err(r"counting goes on")
        published = {m.payload for m in tap.seen(keys.up_topic)}
        lines, total = len(meter.process.wait_out(METER_LINE)), server.status()["total_pulses"]
        full_since = time.monotonic()
        self.wait(lambda: time.monotonic() - full_since > 3, "three intervals on the full disk", alive=meter.process)
        if disk.real:  # a file of limited size can be written from its start again
            self.assertEqual(len(meter.process.wait_out(METER_LINE)), lines, "nothing is numbered without a disk")
        lines = len(meter.process.wait_out(METER_LINE))
        new = {keys.open_up(m.payload)[1]["sequence"] for m in tap.seen(keys.up_topic) if m.payload not in published}
        self.assertLessEqual(max(new, default=0), lines, "nothing is published that was not stored")
        disk.free(meter.process)
        meter.process.wait_err(r"takes readings again")
        meter.process.wait_out(METER_LINE, count=lines + 2)
        meter.process.stop()
        register = self.wait_equal_totals(server, meter)
        self.assertGreater(register["total_pulses"], total, "counted meanwhile")
        self.assertEqual(sorted(server.rows()), [(1, s) for s in range(1, register["sequence"] + 1)])
        self.assertTrue(any("disk_trouble" in row["events"] for row in server.rows().values()), "and a reading says so")

    def test_P4_a_full_disk_of_the_server_confirms_nothing_that_it_has_not_and_heals(self):
        broker = self.broker()
        disk = SmallDisk(self, "data-disk")
        server = self.server(broker, data=disk.path / "data")
        meter = server.add(simulation_seed=7)
        peer = Peer(self, self.tap(broker), Keys.of(server.add("peer")))
        server.run(**disk.popen_arguments())
        meter.run()
        meter.process.wait_out(CONFIRMED, count=2)
        peer.hello()
        readings = {(1, s): reading(1, s, 2 * s) for s in range(1, 6001)}
        disk.fill(server.process)
        for fields in readings.values():  # more than what fits into space that the ledger has already
            peer.send(fields)
        server.process.wait_err(r"nothing is confirmed meanwhile")
        stored = len(meter.process.wait_out(METER_LINE))
        meter.process.wait_out(METER_LINE, count=stored + 3)
        self.assertTrue(server.process.running())
        self.assertEqual(peer.confirmed() - set(server.rows("peer")), set(), "confirmed and absent")
        self.assertLess(len(peer.confirmed()), len(readings), "the disk was not full enough to tell")
        disk.free(server.process)
        server.process.wait_err(r"ledger works again")

        def all_confirmed():
            for key in sorted(set(readings) - peer.confirmed()):
                peer.send(readings[key])
            end = time.monotonic() + 5
            while time.monotonic() < end and not set(readings) <= peer.confirmed():
                time.sleep(0.2)
            return set(readings) <= peer.confirmed()
        self.wait(all_confirmed, "all of the peer's readings, sent again")
        last = int(meter.process.wait_out(METER_LINE)[-1])
        self.wait(lambda: {(1, s) for s in range(1, last + 1)} <= set(server.rows()), "the outage's readings too",
                  2 * HEALS)
        meter.process.stop()
        self.wait_equal_totals(server, meter)
        self.assertEqual({key: row["total_pulses"] for key, row in server.rows("peer").items()},
                         {key: fields["total"] for key, fields in readings.items()})

    def test_P4_a_full_disk_at_the_meters_start_is_one_clear_line(self):
        server = self.server(self.broker())
        meter = server.add()
        disk = SmallDisk(self, "state-disk")
        if not disk.real:
            command = ["prlimit", "--fsize=0:", *meter.arguments(state=disk.path / "state")]
        else:
            disk.fill(None)
            command = meter.arguments(state=disk.path / "state")
        done = self.run_command(command, **disk.popen_arguments())
        self.assertIn(done.returncode, (1, 2))
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertIn(str(disk.path), done.stderr)


    def test_P4_a_read_only_disk_at_the_start_of_either_program_is_one_clear_line(self):
        server = self.server(self.broker())
        meter = server.add()
        server.run()
        meter.run()
        meter.process.wait_out(CONFIRMED)
        meter.process.stop()
        server.process.stop()
        before = server.rows(), meter.register()
        for command, folder in ((server.arguments("run", password=True), server.data), (meter.arguments(), meter.state)):
            read_only = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.geteuid() != 0 else []), "sh", "-c",
                         'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"', folder, *command]
            done = self.run_command(read_only)
            if "mount: " in done.stderr or "unshare: " in done.stderr:
                self.skipTest(f"this machine lets nobody mount: {done.stderr.strip()}")
            self.assertIn(done.returncode, (1, 2), done.stderr)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
            self.assertRegex(done.stderr, f"{folder}.*([Rr]ead-only|readonly|writable)")
        self.assertEqual((server.rows(), meter.register()), before)


class StalledDisk(Case):
    def test_C4_counting_goes_on_while_the_disk_stands_still(self):
        pulses, trace = 600, self.folder / "steady.trace"
        edges = (f"{n * 10_000_000} {n % 2} {n}\n" for n in range(1, 2 * pulses + 1))  # 50 pulses a second
        trace.write_text("# pulsemeter trace 1\n" + "".join(edges))
        broker = self.broker()
        server = self.server(broker)
        meter = server.add()
        server.run()
        meter.run(f"replay={trace}")
        meter.process.wait_out(CONFIRMED, count=2)
        store = sqlite3.connect(meter.state / "meter.sqlite", isolation_level=None)
        self.addCleanup(store.close)
        store.execute("BEGIN IMMEDIATE")  # the meter's next commit waits for this, 5 s at most
        stored = len(meter.process.wait_out(METER_LINE))
        before = self.wakes(meter.process)
        since = time.monotonic()
        self.wait(lambda: time.monotonic() - since > 4, "four seconds of a disk that stands still", alive=meter.process)
        after = self.wakes(meter.process)
        self.assertLessEqual(len(meter.process.wait_out(METER_LINE)), stored + 1, "the disk did not stand still")
        store.execute("ROLLBACK")
        # the loop waits, and one thread is woken by every edge all the same: 100 a second
        self.assertGreater(max(after[thread] - before.get(thread, 0) for thread in after), 200)
        meter.process.wait_out(rf"Total Units = {pulses}, .*simulated$")
        meter.process.stop()
        register = self.wait_equal_totals(server, meter)
        self.assertEqual((register["total_pulses"], register["missed_edges"]), (pulses, 0))

    def wakes(self, process):
        """How often each thread has gone to sleep, and was woken."""
        counts = {}
        for status in pathlib.Path(f"/proc/{process.pid}/task").glob("*/status"):
            counts[status.parent.name] = int(re.search(r"(?m)^voluntary_ctxt_switches:\s+(\d+)", status.read_text())[1])
        return counts


class LostAndOldRegisters(Case):
    def totals_never_fall(self, server):
        rows = server.rows()
        totals = [rows[key]["total_pulses"] for key in sorted(rows)]
        self.assertEqual(totals, sorted(totals))
        return rows

    def put_an_old_folder_back(self, server, meter):
        """Counts on past an image of the meter's folder, and stops it with that; answers the register before."""
        meter.process.wait_out(CONFIRMED, count=2)
        meter.process.stop()
        old = self.folder / "image"
        shutil.copytree(meter.state, old)
        meter.run()
        meter.process.wait_out(METER_LINE, count=4)
        meter.process.stop()
        before = self.wait_equal_totals(server, meter)
        shutil.rmtree(meter.state)
        shutil.copytree(old, meter.state)
        return before

    def test_P6_an_old_state_folder_put_back_begins_a_new_epoch(self):
        broker, server, meter = self.all_running(simulation_seed=7)
        keys, tap = Keys.of(meter), self.tap(broker)
        before = self.put_an_old_folder_back(server, meter)
        meter.run()
        meter.process.wait_err(r"server is ahead")
        meter.process.wait_out(CONFIRMED, count=2)
        meter.process.stop()
        register = self.wait_equal_totals(server, meter)
        self.assertEqual(register["epoch"], before["epoch"] + 1)
        self.assertGreaterEqual(register["total_pulses"], before["total_pulses"])
        rows = self.totals_never_fall(server)
        self.assertIn("server_was_ahead", rows[2, 1]["events"])
        contents = {}
        for message in tap.seen(keys.up_topic):
            kind, fields = keys.open_up(message.payload)
            if kind == "Reading":
                at = fields["epoch"], fields["sequence"]
                self.assertEqual(contents.setdefault(at, fields), fields, f"{at} has two contents")

    def test_P6_a_clone_beside_the_original_is_noticed_and_falsifies_nothing(self):
        broker, server, meter = self.all_running(simulation_seed=7)
        meter.process.wait_out(CONFIRMED, count=2)
        meter.process.stop()
        self.wait_equal_totals(server, meter)
        image = self.folder / "image"
        shutil.copytree(meter.state, image)
        copied = server.status()["sequence"]
        meter.run()
        self.wait(lambda: server.status()["sequence"] > copied, "a reading that the image does not have")
        original = meter.process
        clone = meter.run(state=image)
        clone.wait_err(r"server is ahead of this register .*clone")
        # the server names both: the copy that began an epoch, and the original that goes on in the older one
        server.process.wait_err(r"warning: meter hall: epoch 2 reading 1 .* knew more than the meter's disk")
        server.process.wait_err(r"warning: meter hall: epoch 1 reading \d+ .* after a newer epoch began")
        for process in (clone, original):
            process.wait_out(METER_LINE, count=4)
            process.stop()
        alarms = re.findall(r"warning: (meter hall: .*)", server.process.err())
        with sqlite3.connect(server.data / "ledger.sqlite") as ledger:
            events = [f"meter hall: {detail}" for detail, in ledger.execute("SELECT detail FROM event WHERE kind = 13")]
        self.assertEqual(sorted(events), sorted(alarms))
        # two registers run under one name: each life of them is consistent in itself
        rows = server.rows()
        for epoch in {epoch for epoch, _ in rows}:
            totals = [rows[key]["total_pulses"] for key in sorted(rows) if key[0] == epoch]
            self.assertEqual(totals, sorted(totals), f"epoch {epoch}")

    def test_P6_a_lost_state_folder_comes_back_from_the_server(self):
        broker, server, meter = self.all_running(simulation_seed=7)
        meter.process.wait_out(CONFIRMED, count=4)
        meter.process.stop()
        before = self.wait_equal_totals(server, meter)
        shutil.rmtree(meter.state)
        meter.run()
        meter.process.wait_err(r"no register here")
        meter.process.wait_out(CONFIRMED, count=2)
        meter.process.stop()
        register = self.wait_equal_totals(server, meter)
        self.assertEqual(register["epoch"], before["epoch"] + 1)
        rows = self.totals_never_fall(server)
        self.assertEqual(rows[2, 1]["total_pulses"], before["total_pulses"], "goes on where the server was")
        self.assertIn("register_recovered", rows[2, 1]["events"])
        self.assertEqual(server.status()["refused"], 0)

    def test_P6_pulses_before_the_greeting_are_counted_on_top(self):
        broker, server, meter = self.all_running(simulation_seed=7)
        meter.process.wait_out(CONFIRMED, count=2)
        meter.process.stop()
        before = self.wait_equal_totals(server, meter)
        server.process.stop()
        shutil.rmtree(meter.state)
        meter.run()
        counted = int(meter.process.wait_out(r"hall  (\d+) pulses counted", count=3)[-1])
        self.assertGreater(counted, 0)
        server.run()
        meter.process.wait_out(CONFIRMED, count=2)
        meter.process.stop()
        register = self.wait_equal_totals(server, meter)
        self.assertGreaterEqual(register["total_pulses"], before["total_pulses"] + counted)
        self.assertEqual(server.rows()[2, 1]["total_pulses"], before["total_pulses"])

    def test_P6_pulses_before_the_greeting_are_counted_on_top_of_an_old_state_folder_too(self):
        broker, server, meter = self.all_running(simulation_seed=7)
        before = self.put_an_old_folder_back(server, meter)
        server.process.stop()
        start = meter.register()["total_pulses"]
        self.assertLess(start, before["total_pulses"])
        meter.run()
        counted = int(meter.process.wait_out(r"hall  (\d+) pulses counted", count=3)[-1]) - start
        self.assertGreater(counted, 0)
        server.run()
        meter.process.wait_out(CONFIRMED, count=2)
        meter.process.stop()
        register = self.wait_equal_totals(server, meter)
        self.assertGreaterEqual(register["total_pulses"], before["total_pulses"] + counted)
        self.assertEqual(server.rows()[2, 1]["total_pulses"], before["total_pulses"])

    def test_P3_a_damaged_register_is_refused_and_then_recovered(self):
        broker, server, meter = self.all_running(simulation_seed=7)
        meter.process.wait_out(CONFIRMED, count=2)
        meter.process.stop()
        before = self.wait_equal_totals(server, meter)
        store = meter.state / "meter.sqlite"
        damaged = bytearray(store.read_bytes())
        for place in range(4096, len(damaged), 7):
            damaged[place] ^= 0xA5
        store.write_bytes(damaged)
        done = self.run_command(meter.arguments())
        self.assertIn(done.returncode, (1, 2))
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertIn(str(store), done.stderr)
        self.assertIn("move the file away", done.stderr)
        store.rename(pathlib.Path(f"{store}.damaged"))
        for rest in ("-wal", "-shm"):
            pathlib.Path(f"{store}{rest}").unlink(missing_ok=True)
        meter.run()
        meter.process.wait_out(CONFIRMED, count=2)
        meter.process.stop()
        register = self.wait_equal_totals(server, meter)
        self.assertGreaterEqual(register["total_pulses"], before["total_pulses"])
