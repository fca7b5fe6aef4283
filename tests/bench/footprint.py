#!/usr/bin/python3
"""meter-pi's footprint beside a Python meter of the same job (python_meter.py): the same trace, server and broker, run in
turns; medians and ratios. Nothing is judged: figures depend on the machine, read the ratios.

usage: footprint.py [BUILD] [--meter PROGRAM] [--rounds N] [--window SECONDS]
(strace is needed for what goes to the card; PROGRAM: another meter-pi than BUILD's, such as one linked as the Pi's)
"""
import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
import harness

READINGS_A_DAY = 24 * 3600 // 10  # at the default interval
PULSES_A_SECOND = 100
NEVER = 3600  # a reading's interval, in seconds: none is due while anything is measured


def write_traces(folder):
    """One pulse and then nothing, and ten minutes of many pulses."""
    quiet, busy = folder / "quiet.trace", folder / "busy.trace"
    quiet.write_text("# pulsemeter trace 1\n1 1 1\n2000001 0 2\n")
    period = 1_000_000_000 // PULSES_A_SECOND
    lines = [f"{n * period + 1} 1 {2 * n - 1}\n{n * period + 2_000_001} 0 {2 * n}\n" for n in range(1, 600 * PULSES_A_SECOND)]
    busy.write_text("# pulsemeter trace 1\n" + "".join(lines))
    return {"quiet": quiet, "busy": busy}


def per_thread(pid, file, pick):
    return sum(pick(pathlib.Path(f"/proc/{pid}/task/{task}/{file}").read_text()) for task in os.listdir(f"/proc/{pid}/task"))


def wake_ups(pid):
    return per_thread(pid, "status", lambda text: int(re.search(r"(?m)^voluntary_ctxt_switches:\s+(\d+)", text).group(1)))


def cpu_us(pid):
    return per_thread(pid, "schedstat", lambda text: int(text.split()[0])) / 1e3


def memory_mb(pid, kind):
    return int(re.search(rf"{kind}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


class Measuring(harness.Case):
    def runTest(self):
        self.traces = write_traces(self.folder)
        self.broker_ = self.broker()
        self.server_ = self.server(self.broker_)
        self.server_.run()
        self.meters = 0
        found = {}
        for turn in range(OPTIONS.rounds):
            for name in ("meter-pi", "Python"):
                print(f"round {turn + 1} of {OPTIONS.rounds}: {name}", file=sys.stderr, flush=True)
                for quantity, value in self.measure(name).items():
                    found.setdefault(quantity, {}).setdefault(name, []).append(value)
        print(f"{'':40} {'meter-pi':>10} {'Python':>10} {'ratio':>7}")
        for quantity, values in found.items():
            ours, peer = (statistics.median(values[name]) for name in ("meter-pi", "Python"))
            print(f"{quantity:40} {ours:10.1f} {peer:10.1f} {ours / peer if peer else float('nan'):7.2f}")

    def command(self, name, meter, trace):
        if name == "Python":
            return ["/usr/bin/python3", HERE / "python_meter.py", meter.config, trace, meter.state]
        return [OPTIONS.meter or harness.program("meter-pi"), *meter.arguments(f"replay={trace}")[1:]]

    def start(self, name, trace, interval, *within):
        """Runs until its first reading is confirmed; the process and how long that took."""
        self.meters += 1
        meter = self.server_.add(f"m{self.meters}", interval=interval)
        self.server_.process.wait_err(rf"meter m{self.meters}: waiting for its readings")
        started = time.monotonic()
        process = harness.Process(self, name, [*within, *self.command(name, meter, self.traces[trace])])
        process.wait_out("confirmed by the server")
        return process, time.monotonic() - started

    def idle(self, process):
        """Wake-ups and microseconds of CPU, a second."""
        woken, used = wake_ups(process.pid), cpu_us(process.pid)
        time.sleep(OPTIONS.window)
        return (wake_ups(process.pid) - woken) / OPTIONS.window, (cpu_us(process.pid) - used) / OPTIONS.window

    def measure(self, name):
        found = {}
        process, seconds = self.start(name, "quiet", NEVER)
        found["start to first confirmed reading, ms"] = seconds * 1000
        time.sleep(2)  # what the start still has to do
        found["wake-ups a second, no reading due"], _ = self.idle(process)
        process.stop()

        process, _ = self.start(name, "quiet", 10)
        found["wake-ups a second, one every 10 s"], idle_us = self.idle(process)
        found["RSS, MB"] = memory_mb(process.pid, "VmRSS")
        found["of it not shared with files, MB"] = memory_mb(process.pid, "RssAnon")
        process.stop()

        process, _ = self.start(name, "busy", 10)
        used = cpu_us(process.pid)
        time.sleep(OPTIONS.window)
        busy_us = (cpu_us(process.pid) - used) / OPTIONS.window
        found["CPU a pulse, us"] = (busy_us - idle_us) / PULSES_A_SECOND
        process.stop()

        if shutil.which("strace"):
            found.update(self.card(name))
        return found

    def card(self, name):
        """Readings ten times as often as by default: what goes to the card depends on their number, not on time."""
        log = self.folder / f"strace-{self.meters}"
        process, _ = self.start(name, "busy", 1, "strace", "-f", "-qq", "-o", log, "-e", "trace=fsync,fdatasync,pwrite64")
        confirmed = lambda: len(re.findall("confirmed by the server", process.out()))
        count = lambda: (confirmed(), log.read_text())
        (first, before) = count()
        process.wait_out("confirmed by the server", count=first + int(OPTIONS.window))
        last, after = count()
        part, readings = after[len(before):], last - first
        before_sync = re.split(r"\bf(?:data)?sync\(", part)
        syncs, commits = len(before_sync) - 1, before_sync[1:-1]  # whole ones, a reading each
        written = sum(map(int, re.findall(r"\bpwrite64\(.*\) = (\d+)", "".join(commits)))) / len(commits)
        child, = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), 15)
        process.wait_exit()
        return {"syncs a day": syncs / readings * READINGS_A_DAY,
                "written to the card a day, MB": written * READINGS_A_DAY / 1e6}


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", default="build/release")
    parser.add_argument("--meter", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window", type=float, default=20)
    OPTIONS = parser.parse_args()
    os.environ["PULSEMETER_BUILD"] = str(pathlib.Path(OPTIONS.build).resolve())
    result = unittest.TextTestRunner(verbosity=0).run(Measuring())
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
