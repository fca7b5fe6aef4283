"""The benchmarks stay runnable: one short round each, but for footprint.py, which takes minutes and strace. Their figures are for people, on a quiet machine."""
import json
import os
import pathlib
import sqlite3
import subprocess
import unittest

from harness import ROOT, Case

DEV = ROOT / "build" / "dev"


def built(program):
    path = DEV / "tests" / "bench" / program
    return unittest.skipUnless(os.access(path, os.X_OK), f"{path} is not built (cmake --preset dev)")


class Benchmarks(Case):
    @built("load")
    @built("socket_server")
    def test_throughput_measures_the_broker_ours_four_python_servers_and_a_bare_socket(self):
        done = subprocess.run(["/usr/bin/python3", ROOT / "tests" / "bench" / "throughput.py", DEV,
                               "--programs", os.environ["PULSEMETER_BUILD"], "--rounds", "1", "--readings", "200",
                               "--meters", "2", "--json"], capture_output=True, text=True, timeout=300, check=False,
                              env={**self.environment, "TMPDIR": str(self.folder)})
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        runs = found["runs"]
        pythons = [f"python+{kind}" for kind in ("memory", "memory+nodelay", "disk", "disk+nodelay")]
        self.assertEqual(list(runs), ["broker", "ours", *pythons, "socket"])
        for name, figures in runs.items():
            for key, value in figures[0].items():
                self.assertGreater(value, 0 if not key.endswith("cpu_us") else -1, f"{name}: {key}")
        self.assertLessEqual(runs["ours"][0]["confirmations"], 1)
        for name in (*pythons, "socket"):
            self.assertEqual((runs[name][0]["confirmations"], runs[name][0]["each_confirmations"]), (1, 1), name)
        self.assertEqual(list(found["ratios"]), ["broker", *pythons, "socket"])
        for name in ("python+memory", "python+memory+nodelay"):
            self.assertAlmostEqual(found["ratios"][name]["each_rate"], runs["ours"][0]["each_rate"] / runs[name][0]["each_rate"])
        self.assertEqual(list(pathlib.Path(self.folder).glob("pulsemeter-bench-*")), [], "left behind")

    @built("fernet")
    def test_fernet_measures_ours_and_pythons(self):
        done = self.run_command(["/usr/bin/python3", ROOT / "tests" / "bench" / "fernet.py", DEV, "--rounds", "1",
                                 "--seconds", "0.01", "--json"], check=True, timeout=120)
        runs = json.loads(done.stdout)
        self.assertEqual(list(runs), ["ours", "python"])
        for name, (figures,) in runs.items():
            self.assertEqual(set(figures), {"seal/64", "seal/127", "open/64", "open/127"}, name)
            self.assertTrue(all(ns > 0 for ns in figures.values()), figures)

    @built("ledger_size")
    def test_ledger_size_measures_a_ledger_that_can_be_read(self):
        done = self.run_command([DEV / "tests" / "bench" / "ledger_size", self.folder, 2, 200], check=True, timeout=120)
        found = json.loads(done.stdout)
        ledger = self.folder / "ledger.sqlite"
        self.assertEqual((found["readings"], found["bytes"]), (200, ledger.stat().st_size))
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as opened:
            self.assertEqual(opened.execute("SELECT count(*) FROM reading").fetchone(), (200,))
