#!/usr/bin/env python3
"""Does the simulated world notice what it is there for? Plants one fault after another in a copy of the sources, builds
sim_world there, and runs it: each fault must be caught, and the sources as they are must pass.

usage: tests/sim/plant-faults.py [--actions N] [-k PATTERN] [--list]

  --actions N   in each run at most (400,000)
  -k PATTERN    only the faults whose names contain it
  --list        the faults' names, each of which has its place in the sources

Prints a table. Exit 1 if a fault is missed, or a text to be replaced is not in the sources any more.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Fault:
    name: str
    file: str
    sound: str
    faulty: str


FAULTS = [
    Fault("confirm before commit", "server/head_end.cpp",
          "    const std::vector<Appended> appended = ledger_.append(batch.readings, batch.now);\n",
          "    std::vector<Appended> appended(batch.readings.size(), Appended{Accepted{}});\n"
          "    try {\n        appended = ledger_.append(batch.readings, batch.now);\n"
          "    } catch (const std::exception&) {\n    }\n"),
    Fault("accept an equal sequence", "server/admission.cpp",
          "        return equal ? Outcome{Duplicate{}} : Outcome{Conflict{}};\n",
          "        return equal ? Outcome{Accepted{}} : Outcome{Conflict{}};\n"),
    Fault("take a conflict for a duplicate", "server/admission.cpp",
          "        return equal ? Outcome{Duplicate{}} : Outcome{Conflict{}};\n",
          "        return equal || true ? Outcome{Duplicate{}} : Outcome{Conflict{}};\n"),
    Fault("let a total fall", "server/admission.cpp",
          "    if (fall_was_accepted ? !not_below && !not_above : !not_below)\n",
          "    if (fall_was_accepted && !not_below && !not_above)\n"),
    Fault("skip the HMAC", "shared/crypto/fernet.cpp",
          "        if (CRYPTO_memcmp(mac.data(), token.last(mac_size).data(), mac_size) != 0)\n",
          "        if (CRYPTO_memcmp(mac.data(), token.last(mac_size).data(), mac_size) == 12345)\n"),
    Fault("note only the last rows of a day", "server/sqlite_ledger_open_days.cpp",
          "row_count = row_count + ?5", "row_count = ?5"),
    Fault("seal a day's rows without their end", "server/sqlite_ledger_open_days.cpp",
          "last = max(last, ?4)", "last = min(last, ?4)"),
    Fault("forget the epoch", "meter-pi/energy_register.cpp", "    if (!ahead)\n", "    if (!ahead || server_knows)\n"),
    Fault("confirm a range over a gap", "server/head_end.cpp",
          "meter == other.meter && epoch == other.epoch && sequence.value + 1 == other.sequence.value;",
          "meter == other.meter && epoch == other.epoch && sequence.value < other.sequence.value;"),
    Fault("delete the outbox on PUBACK", "meter-pi/meter.cpp",
          "            break; // the bus wakes us when there is room again\n",
          "            break;\n        if (const auto* sent = std::get_if<Reading>(&send.message))\n"
          "            (void)uplink_.received(Confirmation{sent->epoch, sent->sequence, sent->sequence}, {});\n"),
    Fault("number before the greeting", "meter-pi/meter.cpp",
          "        if (!register_.greeted()) {\n", "        if (!register_.greeted() && register_.stored().epoch.value == 0) {\n"),
    Fault("publish before store", "meter-pi/meter.cpp",
          "    const std::size_t thinned = parts_.store.commit(with_reading);\n",
          "    uplink_.stored(reading, now);\n    send_messages(now);\n"
          "    const std::size_t thinned = parts_.store.commit(with_reading);\n"),
    Fault("reuse a sequence after a failed commit", "meter-pi/sqlite_meter_store_impl.hpp",
          "        if (!is_open || (kind != SQLITE_IOERR && kind != SQLITE_FULL))\n            database.reset();\n",
          "        if (!is_open || kind != SQLITE_OK)\n            database.reset();\n"),
    Fault("take the server's lower total", "meter-pi/energy_register.cpp",
          "        begin_epoch(next, std::max(state.total, now_.numbered),\n"
          "                    Pulses{std::max(state.total, base_.total).value + counted_in_epoch()}, state.start);\n",
          "        begin_epoch(next, state.total, Pulses{state.total.value + counted_in_epoch()}, state.start);\n"),
    Fault("count a simulated pulse as measured", "meter-pi/energy_register.cpp",
          "        .source = now_.source,\n        .quality", "        .source = Source::measured,\n        .quality"),
    Fault("believe an old State", "meter-pi/uplink.cpp",
          "        if (greeted_ || state->nonce != hello_.nonce)", "        if (greeted_)"),
    Fault("send once and trust the broker", "meter-pi/uplink.cpp",
          "    messages_.push_back({flight.reading, false});\n", ""),
    Fault("forget more than was confirmed", "meter-pi/sqlite_meter_store.cpp",
          "DELETE FROM outbox WHERE epoch = ? AND sequence BETWEEN ? AND ?",
          "DELETE FROM outbox WHERE epoch = ? AND (sequence > ? OR 1) AND sequence <= ?"),
    Fault("do not wait for the meter's disk", "meter-pi/sqlite_meter_store_file.cpp",
          "PRAGMA synchronous = EXTRA", "PRAGMA synchronous = NORMAL"),
    Fault("do not wait for the ledger's disk", "server/sqlite_ledger_file.cpp",
          "PRAGMA synchronous = EXTRA", "PRAGMA synchronous = NORMAL"),
    Fault("leave a duplicate unconfirmed", "server/head_end.cpp",
          "std::holds_alternative<Accepted>(outcome) || std::holds_alternative<Duplicate>(outcome)",
          "std::holds_alternative<Accepted>(outcome)"),
    Fault("thin nothing", "meter-pi/sqlite_meter_store.cpp",
          "            if (rows >= impl_->limit)\n", "            if (rows >= impl_->limit && false)\n"),
    Fault("thin the last reading of an epoch", "meter-pi/sqlite_meter_store.cpp",
          '                            "sequence < (SELECT max(sequence) FROM outbox WHERE epoch = old.epoch AND {0}) "\n',
          '                            "sequence > 0 "\n'),
    Fault("bill a fall twice", "server/sqlite_ledger_queries.cpp",
          "(may_have_fallen ? falls(file, life, end) : Wide{0})", "(may_have_fallen ? 2 * falls(file, life, end) : Wide{0})"),
    Fault("let what waits for the ledger grow", "server/server.cpp",
          "            if (waiting_.size() < parts_.most.waiting)\n", ""),
    Fault("merge confirmed ranges over a gap", "meter-pi/uplink.cpp",
          "confirmation.first.value <= known.last.value + 1", "confirmation.first.value <= known.last.value + 2"),
]


def copy_sources(to: pathlib.Path) -> None:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    for name in filter(None, names):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, to / name)
    if (ROOT / "build/sysroot").exists():
        (to / "build").mkdir()
        (to / "build/sysroot").symlink_to((ROOT / "build/sysroot").resolve())


class Copy:
    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.environment = dict(os.environ, CCACHE_BASEDIR=str(folder), CCACHE_NOHASHDIR="1",
                                CCACHE_SLOPPINESS="pch_defines,time_macros")
        copy_sources(folder)
        command = ["cmake", "--preset", "dev"]
        if shutil.which("ccache"):
            command.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        self.must(command)

    def must(self, command: list[str]) -> None:
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} has failed:\n{(done.stdout + done.stderr)[-3000:]}")

    def verdict(self, actions: int) -> tuple[bool, str]:
        """Was something caught, and the line that says what."""
        self.must(["cmake", "--build", "build/dev", "--target", "sim_world", "--parallel", str(os.cpu_count())])
        try:
            done = subprocess.run(["build/dev/tests/sim/sim_world", "--actions", str(actions)], cwd=self.folder,
                                  capture_output=True, text=True, timeout=1800)
        except subprocess.TimeoutExpired:
            return False, "half an hour, and no verdict"
        told = re.search(r"VIOLATION.*|aborted.*", done.stdout + done.stderr)
        if done.returncode != 1 or told is None:
            return False, done.stdout.split("\n")[0]
        line = told.group()
        if line.startswith("aborted"):
            return True, "an ENSURE of the program"
        return True, line


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--actions", type=int, default=400_000)
    parser.add_argument("-k", default="")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if options.k in fault.name]
    missing = [f"{fault.file} has not exactly one place for \"{fault.name}\"" for fault in faults
               if (ROOT / fault.file).read_text().count(fault.sound) != 1]
    if missing:
        sys.exit("\n".join(missing))
    if options.list:
        print("\n".join(fault.name for fault in faults))
        return 0

    wrong = 0
    with tempfile.TemporaryDirectory(prefix="plant-faults-") as folder:
        copy = Copy(pathlib.Path(folder))
        caught, words = copy.verdict(options.actions)
        print(f"| {'no fault':40} | {'FALSE ALARM' if caught else 'passes':6} | {words} |", flush=True)
        wrong += caught
        for fault in faults:
            file = copy.folder / fault.file
            sound = file.read_text()
            file.write_text(sound.replace(fault.sound, fault.faulty))
            began = time.monotonic()
            caught, words = copy.verdict(options.actions)
            file.write_text(sound)
            print(f"| {fault.name:40} | {'caught' if caught else 'MISSED':6} | {words} | "
                  f"{time.monotonic() - began:.0f} s |", flush=True)
            wrong += not caught
    print(f"{len(faults) + 1 - wrong} passed, {wrong} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
