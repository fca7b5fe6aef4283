#!/usr/bin/python3
"""Runs the integration tests, several at once (they mostly wait), each in a process of its own.

usage: run.py [[--build] DIR] [--long] [--quickstart] [--soak HOURS] [--jobs N] [-k PATTERN]
"""
import argparse
import fnmatch
import io
import multiprocessing
import os
import pathlib
import signal
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
TEST_LIMIT, LONG_TEST_LIMIT = 400, 7200  # seconds, then its whole process group is killed


def tests_in(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests_in(each)
        else:
            yield each.id()


def run_one(name, result_end):
    os.setpgid(0, 0)  # so that a hung test goes with all that it started
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # cleanups of a test that is ended early
    result = unittest.TestResult()
    output = io.StringIO()
    sys.stdout = output
    unittest.defaultTestLoader.loadTestsFromName(name).run(result)
    problems = [text for _, text in result.errors + result.failures]
    if result.unexpectedSuccesses:
        problems.append("unexpected success")
    skipped = [why for _, why in result.skipped]
    verdict = "failed" if problems else "skipped" if skipped or not result.testsRun else "passed"
    result_end.send((verdict, output.getvalue(), "\n".join(problems + skipped)))


class Running:
    def __init__(self, name, limit):
        self.name, self.started, self.limit = name, time.monotonic(), limit
        self.end, result_end = multiprocessing.Pipe(duplex=False)
        self.process = multiprocessing.Process(target=run_one, args=(name, result_end))
        self.process.start()
        result_end.close()

    def seconds(self):
        return time.monotonic() - self.started

    def outcome(self):
        """None while it runs."""
        if self.end.poll():
            try:
                answer = self.end.recv()
            except EOFError:
                answer = ("failed", "", "its process ended without a result")
            self.process.join()
            return answer
        if self.seconds() > self.limit:
            self.kill()
            return ("failed", "", f"not done after {self.limit} s")
        return None

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="DIR", nargs="?", help="the same as --build DIR")
    parser.add_argument("--build", metavar="DIR", default=os.environ.get("PULSEMETER_BUILD", "build/dev"),
                        help="the build folder whose programs are tested (default: build/dev)")
    parser.add_argument("--long", action="store_true", help="the long figures of requirements.md")
    parser.add_argument("--quickstart", action="store_true", help="quickstart.sh too: it builds build/release")
    parser.add_argument("--soak", metavar="HOURS", type=float, help="for so long everything at once, and nothing else")
    parser.add_argument("--jobs", type=int, default=8, help="tests at once (default: 8; they mostly wait)")
    parser.add_argument("-k", metavar="PATTERN", action="append", help="only tests whose names contain it")
    options = parser.parse_args()

    build = pathlib.Path(options.folder or options.build).resolve()
    for program in ("meter-pi/meter-pi", "server/meter-server"):
        if not os.access(build / program, os.X_OK):
            sys.exit(f"{build / program} is not there: build it first, or name another folder with --build")
    os.environ["PULSEMETER_BUILD"] = str(build)
    os.environ["PULSEMETER_LONG"] = "1" if options.long else "0"

    os.environ["PULSEMETER_SOAK"] = str(options.soak or 0)

    loader = unittest.TestLoader()
    names = sorted(tests_in(loader.discover(str(HERE))))
    if loader.errors:
        sys.exit("\n".join(loader.errors))
    if not options.quickstart:
        names = [name for name in names if not name.startswith("test_quickstart.")]
    names = [name for name in names if name.startswith("test_soak.") == (options.soak is not None)]
    if options.k:
        names = [name for name in names if any(fnmatch.fnmatchcase(name, f"*{word}*") for word in options.k)]
    # the slow ones first, so that none of them is alone at the end
    slow = ("killed_9", "kill_9", "D4", "D6", "quickstart", "B1", "D5")
    names.sort(key=lambda name: not any(word in name for word in slow))

    limit = LONG_TEST_LIMIT if options.long or options.quickstart else TEST_LIMIT
    return run_all(names, options.jobs, limit + 3600 * (options.soak or 0))


def run_all(names, jobs, limit):
    """Runs them, `jobs` at once, each for `limit` seconds at most, and says how each went; the exit code."""
    waiting, running, counts = list(names), [], {"passed": 0, "failed": 0, "skipped": 0}
    failures, left_out = [], []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all that was started is ended too
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(Running(waiting.pop(0), limit))
            for test in list(running):
                answer = test.outcome()
                if answer is None:
                    continue
                running.remove(test)
                verdict, output, text = answer
                counts[verdict] += 1
                print(f"{verdict:7} {test.seconds():5.1f} s  {test.name}", flush=True)
                print(output, end="", flush=True)
                if verdict == "skipped":
                    left_out.append(f"skipped: {test.name}: {text}")
                if verdict == "failed":
                    failures.append((test.name, text))
            time.sleep(0.05)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        for test in running:
            test.kill()

    for name, text in failures:
        print(f"\n==== {name}\n{text}")
    print(*left_out, sep="\n", end="\n" if left_out else "")
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}")
    return 1 if counts["failed"] or not names else 0


if __name__ == "__main__":
    sys.exit(main())
