#!/usr/bin/python3
"""What sealing and opening a Fernet token takes: ours (fernet.cpp, Google Benchmark) in turns with Python's `cryptography`
on the same bytes; medians and ratios. Nothing is judged: read the ratios.

usage: fernet.py [BUILD] [--rounds 5] [--seconds 0.5] [--json]      (BUILD: a release build with the tests)
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import time
import timeit

import cryptography
from cryptography.fernet import Fernet

SIZES = (64, 127)


def ours(program, seconds):
    done = subprocess.run([program, "--benchmark_format=json", f"--benchmark_min_time={seconds}"], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return {tuple(run["name"].split("/")): run["cpu_time"] for run in json.loads(done.stdout)["benchmarks"]}


def python(seconds):
    fernet, found = Fernet(Fernet.generate_key()), {}
    for size in SIZES:
        plain = b"Z" * size
        token = fernet.encrypt(plain)
        for name, work in (("seal", lambda: fernet.encrypt(plain)), ("open", lambda: fernet.decrypt(token))):
            timer = timeit.Timer(work, timer=time.process_time)  # CPU time, as of ours: others may use the machine
            count = max(1, int(seconds / (timer.timeit(200) / 200)))
            found[name, str(size)] = timer.timeit(count) / count * 1e9
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", type=pathlib.Path, default="build/release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each of four figures, ours and Python's")
    parser.add_argument("--json", action="store_true", help="every run's figures, for scripts")
    options = parser.parse_args()
    program = options.build.resolve() / "tests" / "bench" / "fernet"

    runs = {"ours": [], "python": []}
    for _ in range(options.rounds):
        runs["ours"].append(ours(program, options.seconds))
        runs["python"].append(python(options.seconds))
    if options.json:
        print(json.dumps({name: [{"/".join(key): ns for key, ns in run.items()} for run in each]
                          for name, each in runs.items()}))
        return
    print(f"medians of {options.rounds}; cryptography {cryptography.__version__}\n")
    print(f"{'':12}{'ours, ns':>10}{'Python, ns':>12}{'ratio':>8}")
    for key in runs["ours"][0]:
        us, them = (statistics.median(run[key] for run in runs[name]) for name in ("ours", "python"))
        print(f"{key[0]} {key[1]:>4} B {us:10,.0f}{them:12,.0f}{them / us:7.1f}×")


if __name__ == "__main__":
    main()
