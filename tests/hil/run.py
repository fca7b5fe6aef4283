#!/usr/bin/python3
"""Runs meter-pi, as it is built for the Pi, on an emulated board with a real kernel and real edges on its pins, against
a real broker and the server on this host. Needs the trees `pi` and `board` (toolchains/make-sysroot.sh).

usage: run.py [--long] [--jobs N] [-k PATTERN] [DEV-BUILD [PI-BUILD]]        (default: build/dev build/pi)
"""

import argparse
import importlib.util
import os
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path += [str(HERE), str(ROOT / "tests" / "integration")]
TEST_LIMIT, LONG_TEST_LIMIT = 600, 6 * 3600  # seconds
_spec = importlib.util.spec_from_file_location("runner", ROOT / "tests" / "integration" / "run.py")
runner = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(runner)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("builds", metavar="BUILD", nargs="*", help="default: build/dev build/pi")
    parser.add_argument("--long", action="store_true", help="with the long figures: power cuts by the thousand, hours")
    parser.add_argument("--jobs", type=int, default=2, help="boards at once (default: 2; each keeps a core busy)")
    parser.add_argument("-k", metavar="PATTERN", action="append", help="only tests whose names contain it")
    options = parser.parse_args()

    builds = [pathlib.Path(build).resolve() for build in options.builds]
    builds += [ROOT / "build" / "dev", ROOT / "build" / "pi"][len(builds):]
    os.environ["PULSEMETER_BUILD"], os.environ["PULSEMETER_PI_BUILD"] = map(str, builds)
    os.environ["PULSEMETER_LONG"] = "1" if options.long else "0"

    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{pattern}*" for pattern in options.k] if options.k else None
    names = sorted(runner.tests_in(loader.discover(str(HERE))))
    if loader.errors:
        sys.exit("\n".join(loader.errors))
    names.sort(key=lambda name: "P2" not in name)  # the longest first
    return runner.run_all(names, options.jobs, LONG_TEST_LIMIT if options.long else TEST_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
