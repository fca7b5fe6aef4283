#!/usr/bin/python3
"""Confirmed readings a second, latency and CPU a reading: meter-server beside a server in Python that does the same work
(as it comes, and with TCP_NODELAY), beside one on a bare socket (socket_server.cpp), and beside what the broker can pass
at all. All on this machine, in turn, a fresh ledger and broker each time; the medians and their ratios are printed.
Absolute figures are this machine's, the ratios are what to quote.

usage: throughput.py [BUILD] [--programs BUILD] [--rounds 5] [--readings 20000] [--meters 100] [--json]
"""
import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "integration"))
import many_meters

PASSWORD = "correct horse battery staple"
WINDOW = 1000
PYTHON_SHARE = 10  # a tenth of the readings is enough for the slow ones
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def wait(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > end:
            sys.exit(f"throughput: waited in vain for {what}")
        time.sleep(0.02)
    return answer


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.server = str(options.programs / "server" / "meter-server")
        self.load, self.socket_server = (str(options.build / "tests" / "bench" / name) for name in ("load", "socket_server"))
        self.password = folder / "password"
        with open(os.open(self.password, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(PASSWORD)
        self.running = []

    def end(self):
        for process in reversed(self.running):
            process.terminate()
        for process in reversed(self.running):
            process.wait(20)
        self.running = []

    def start(self, command, **streams):
        self.running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, **streams))
        return self.running[-1]

    def broker(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n"
                          "max_inflight_messages 1000\nmax_queued_messages 100000\n"
                          + ("user root\n" if os.geteuid() == 0 else ""))
        mosquitto = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        self.start([mosquitto, "-c", config], stderr=subprocess.DEVNULL)
        wait(lambda: listening(port), "the broker")
        return port

    def make_data(self):
        """A data folder with a meter for each reading that may be on its way, the file with their keys, and that of the
        few meters of the other runs."""
        data = self.folder / "data"
        self.command("init", "--broker", "mqtt://127.0.0.1", data=data)
        self.command("meter", "add", "meter-0", "--out", self.folder / "meter.toml", data=data)
        names = [f"meter-{n}" for n in range(max(WINDOW, self.options.meters))]
        keys = many_meters.replace_meters(data / "keystore.json", names, PASSWORD)
        lines = [f"{name} {many_meters.encode(key)}\n" for name, key in zip(names, keys)]
        self.meters, self.meter_each = self.folder / "meters", self.folder / "meter-each"
        for path, count in ((self.meters, self.options.meters), (self.meter_each, len(lines))):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
                file.writelines(lines[:count])

    def command(self, *words, data):
        subprocess.run([self.server, *map(str, words), "--data", data, "--password-file", self.password], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start_ours(self, port):
        data = self.folder / "fresh"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(self.folder / "data", data)
        settings = data / "server.toml"
        settings.write_text(re.sub(r'(?m)^url = .*', f'url = "mqtt://127.0.0.1:{port}"', settings.read_text()))
        log = self.folder / "server.log"
        with open(log, "w", encoding="utf-8") as file:
            process = self.start([self.server, "run", "--data", data, "--password-file", self.password],
                                 stdout=subprocess.DEVNULL, stderr=file)
        wait(lambda: "connected to" in log.read_text(), "meter-server")
        return process

    def start_peer(self, port, program, *extra):
        for old in self.folder.glob("peer.sqlite*"):
            old.unlink()
        process = self.start([*program, str(port), self.meter_each, self.folder / "peer.sqlite", *extra], stdout=subprocess.PIPE)
        if process.stdout.readline() != b"ready\n":
            sys.exit(f"throughput: {program[-1]} did not start")
        return process

    def loaded(self, *words):
        return json.loads(subprocess.run([self.load, *map(str, words)], check=True, capture_output=True).stdout)

    def measure(self, name):
        """One run: of a server its rate under load, CPU and confirmations a reading, its rate with as many meters as there
        are readings on their way (a confirmation each, then), and its latency; {"rate"} of the broker."""
        if name == "broker":
            done = self.with_server(None, lambda port, _: self.loaded("ceiling", port, 2 * self.options.readings, WINDOW))
            return {"rate": done["messages"] / done["seconds"]}
        count = self.options.readings // (PYTHON_SHARE if name.startswith("python") else 1)

        def loaded(port, pid):
            before = cpu_seconds(pid)
            done = self.loaded("confirmed", port, self.meters, count, WINDOW)
            return done, cpu_seconds(pid) - before
        done, cpu = self.with_server(name, loaded)
        each = self.with_server(name, lambda port, _: self.loaded("confirmed", port, self.meter_each, count, WINDOW))
        single = self.with_server(name, lambda port, _: self.loaded("latency", port, self.meters,
                                                                    max(20, self.options.readings // 40)))
        return {"rate": count / done["seconds"], "cpu_us": 1e6 * cpu / count, "confirmations": done["confirmations"] / count,
                "each_rate": count / each["seconds"], "each_confirmations": each["confirmations"] / count,
                "p50_ms": single["p50_ms"]}

    def with_server(self, name, work):
        """work(port, pid)'s answer, beside a fresh broker and that server with a fresh ledger."""
        port = self.broker()
        try:
            return work(port, self.start_server(name, port).pid if name else None)
        finally:
            self.end()

    def start_server(self, name, port):
        if name == "ours":
            return self.start_ours(port)
        if name == "socket":
            return self.start_peer(port, [self.socket_server])
        return self.start_peer(port, ["/usr/bin/python3", HERE / "python_server.py"],
                               *(["--nodelay"] if name == "python+nodelay" else []))


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", type=pathlib.Path, default=ROOT / "build" / "dev",
                        help="the build folder whose load and socket_server are used (default: build/dev)")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build" / "release",
                        help="the build folder whose meter-server is measured (default: build/release)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--readings", type=int, default=20_000)
    parser.add_argument("--meters", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="every run's figures, for scripts")
    options = parser.parse_args()
    options.build, options.programs = options.build.resolve(), options.programs.resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    names = ["broker", "ours", "python", "python+nodelay", "socket"]
    runs = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="pulsemeter-bench-") as folder:
        bench = Bench(options, pathlib.Path(folder))
        try:
            bench.make_data()
            for number in range(options.rounds):
                for name in names:
                    print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr, flush=True)
                    runs[name].append(bench.measure(name))
        finally:
            bench.end()
    if options.json:
        print(json.dumps(runs))
        return
    middle = {name: {key: statistics.median(run[key] for run in runs[name]) for key in runs[name][0]} for name in names}
    print(f"medians of {options.rounds}, {options.meters} meters, {WINDOW} readings on their way\n")
    print(f"{'':16}{'confirmed/s':>12}{'of C/2':>8}{'CPU µs':>8}{'p50 ms':>8}{'confirmations':>15}{'one each':>10}{'of C/2':>8}")
    half = middle["broker"]["rate"] / 2
    for name in names[1:]:
        figures = middle[name]
        print(f"{name:16}{figures['rate']:12,.0f}{figures['rate'] / half:8.0%}{figures['cpu_us']:8.0f}"
              f"{figures['p50_ms']:8.2f}{figures['confirmations']:15.2f}{figures['each_rate']:10,.0f}"
              f"{figures['each_rate'] / half:8.0%}")
    ours, python, nodelay, bare = (middle[name] for name in names[1:])
    print(f"\nC, the broker alone: {middle['broker']['rate']:,.0f} messages/s; a confirmed reading passes it twice")
    print(f"one each: {WINDOW} readings on their way, one of each meter; ours then confirms each by itself "
          f"({ours['each_confirmations']:.2f} confirmations a reading)")
    print(f"confirmed/s against Python as it comes {ours['rate'] / python['rate']:.1f}×, with TCP_NODELAY "
          f"{ours['rate'] / nodelay['rate']:.1f}×; one each {ours['each_rate'] / python['each_rate']:.1f}×, "
          f"{ours['each_rate'] / nodelay['each_rate']:.1f}×")
    print(f"CPU a reading against Python with TCP_NODELAY {ours['cpu_us'] / nodelay['cpu_us']:.2f}×")
    print(f"one at a time, p50, against Python with TCP_NODELAY {ours['p50_ms'] / nodelay['p50_ms']:.2f}×, "
          f"against the bare socket {ours['p50_ms'] / bare['p50_ms']:.2f}×")


if __name__ == "__main__":
    main()
