"""The benchmarks stay runnable: one short round each. Their figures are for people, on a quiet machine."""
import json
import os
import pathlib
import subprocess
import unittest

from harness import ROOT, Case

LOAD = ROOT / "build" / "dev" / "tests" / "bench" / "load"


class Benchmarks(Case):
    @unittest.skipUnless(os.access(LOAD, os.X_OK), f"{LOAD} is not built (cmake --preset dev)")
    def test_throughput_measures_the_broker_ours_and_both_python_servers(self):
        done = subprocess.run(["/usr/bin/python3", ROOT / "tests" / "bench" / "throughput.py", ROOT / "build" / "dev",
                               "--programs", os.environ["PULSEMETER_BUILD"], "--rounds", "1", "--readings", "400",
                               "--meters", "2", "--json"], capture_output=True, text=True, timeout=300, check=False,
                              env={**self.environment, "TMPDIR": str(self.folder)})
        self.assertEqual(done.returncode, 0, done.stderr)
        runs = json.loads(done.stdout)
        self.assertEqual(list(runs), ["broker", "ours", "python", "python+nodelay"])
        for name, figures in runs.items():
            for key, value in figures[0].items():
                self.assertGreater(value, 0 if key != "cpu_us" else -1, f"{name}: {key}")
        self.assertLessEqual(runs["ours"][0]["confirmations"], 1)
        self.assertEqual(runs["python"][0]["confirmations"], 1)
        self.assertEqual(list(pathlib.Path(self.folder).glob("pulsemeter-bench-*")), [], "left behind")
