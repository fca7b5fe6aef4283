#!/usr/bin/env python3
"""Runs the fuzzers, two at a time, each from its seeds in corpus/NAME. Row I1.

usage: tests/fuzz/run.py BUILD [--seconds N | --long] [--keep] [NAME...]

  --seconds N  each target's time (default 20)
  --long       ten minutes each
  --keep       takes what was found new into corpus/, as few files as reach the same
What made a target fail is kept in BUILD/fuzz/; `BUILD/tests/fuzz/fuzz_NAME FILE` shows it again.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LARGEST = {"token": 4096, "plaintext": 160, "classic": 64, "config": 2048, "trace": 2048, "meter_store": 256, "ledger": 256,
           "keystore": 2048}  # bytes


def run(build, target, seconds, keep):
    program = (build / "tests" / "fuzz" / f"fuzz_{target}").resolve()
    seeds = HERE / "corpus" / target
    failures = build.resolve() / "fuzz"
    failures.mkdir(exist_ok=True)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()  # no disk to wear out
    with tempfile.TemporaryDirectory(prefix="pulsemeter-fuzz-", dir=memory) as folder:
        found = pathlib.Path(folder) / "found"
        found.mkdir()
        environment = {**os.environ, "TMPDIR": folder}
        command = [program, found, seeds, f"-max_total_time={seconds}", "-timeout=25", "-rss_limit_mb=2048",
                   f"-max_len={LARGEST[target]}", "-print_final_stats=1", "-verbosity=1",
                   f"-artifact_prefix={failures}/{target}-"]
        done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True,
                              errors="replace", timeout=seconds + 300, check=False)
        log = done.stderr + done.stdout
        if keep and done.returncode == 0:
            merge = [str(program), "-set_cover_merge=1", "-use_counters=0", str(seeds), str(found)]
            subprocess.run(merge, env=environment, capture_output=True, timeout=600, check=True)
    executions = re.search(r"stat::number_of_executed_units: (\d+)", log)
    reached = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", log)
    if done.returncode != 0 or not executions or not reached:
        return target, f"FAILED\n{log[-6000:]}"
    coverage, features, corpus = reached[-1]
    return target, f"{executions[1]} executions, {coverage} edges, {features} features, corpus {corpus}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_intermixed_args()
    seconds = 600 if options.long else options.seconds
    failed = 0
    targets = options.names or list(LARGEST)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run, options.build, target, seconds, options.keep) for target in targets]
        for each in concurrent.futures.as_completed(runs):
            target, result = each.result()
            failed += result.startswith("FAILED")
            print(f"I1 {target}, {seconds} s: {result}", flush=True)
    print(f"{len(targets) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
