#!/usr/bin/python3
"""Confirmed readings a second, latency and CPU a reading: meter-server beside servers in Python (python_server.py: one that
does the same work, and one that stores nothing, as the one that people move over from; each as it comes and with
TCP_NODELAY), beside one on a bare socket (socket_server.cpp), and beside what the broker can pass at all. All on this
machine, in turn, a fresh ledger and broker each time; the medians and their ratios are printed. Every server is scheduled
as the unit of meter-server's package says (batch). Absolute figures are this machine's, the ratios are what to quote.

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
PYTHON_SHARE = 4  # a quarter of the readings is enough for the slow ones
AS_A_SERVICE = ("/usr/bin/chrt", "--batch", "0")
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

NAMES = ("broker", "ours", "python+memory", "python+memory+nodelay", "python+disk", "python+disk+nodelay", "socket")
FIGURES = {"rate": "confirmed/s", "each_rate": "one each", "cpu_us": "CPU", "each_cpu_us": "CPU, one each", "p50_ms": "p50"}
GOALS = (  # ours against whom, by which figure: the floor and the aim
    ("broker", "each_rate", 0.55, 0.8),
    ("python+memory", "each_rate", 8, 12),
    ("python+memory+nodelay", "each_rate", 1.4, 1.9),
    ("python+memory+nodelay", "each_cpu_us", 0.65, 0.4),
    ("socket", "p50_ms", 2, 1.3),
)


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
            process = self.start([*AS_A_SERVICE, self.server, "run", "--data", data, "--password-file", self.password],
                                 stdout=subprocess.DEVNULL, stderr=file)
        wait(lambda: "connected to" in log.read_text(), "meter-server")
        return process

    def start_peer(self, port, program, *extra):
        for old in self.folder.glob("peer.sqlite*"):
            old.unlink()
        process = self.start([*AS_A_SERVICE, *program, str(port), self.meter_each, self.folder / "peer.sqlite", *extra],
                             stdout=subprocess.PIPE)
        if process.stdout.readline() != b"ready\n":
            sys.exit(f"throughput: {program[-1]} did not start")
        return process

    def loaded(self, *words):
        return json.loads(subprocess.run([self.load, *map(str, words)], check=True, capture_output=True).stdout)

    def measure(self, name):
        """One run: of a server its rate under load, CPU and confirmations a reading, the same with as many meters as there
        are readings on their way (a confirmation each, then), and its latency; {"rate"} of the broker."""
        if name == "broker":
            done = self.with_server(None, lambda port, _: self.loaded("ceiling", port, 2 * self.options.readings, WINDOW))
            return {"rate": done["messages"] / done["seconds"]}
        count = self.options.readings // (PYTHON_SHARE if name.startswith("python") else 1)

        def confirmed(meters, prefix):
            def loaded(port, pid):
                before = cpu_seconds(pid)
                done = self.loaded("confirmed", port, meters, count, WINDOW)
                return done, cpu_seconds(pid) - before
            done, cpu = self.with_server(name, loaded)
            return {f"{prefix}rate": count / done["seconds"], f"{prefix}cpu_us": 1e6 * cpu / count,
                    f"{prefix}confirmations": done["confirmations"] / count}
        single = self.with_server(name, lambda port, _: self.loaded("latency", port, self.meters,
                                                                    max(20, self.options.readings // 40)))
        return {**confirmed(self.meters, ""), **confirmed(self.meter_each, "each_"), "p50_ms": single["p50_ms"]}

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
                               *(f"--{word}" for word in name.split("+")[1:] if word != "disk"))


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def ratios(middle):
    """Ours against each peer, {peer: {figure: ratio}}; against the broker it is of half its rate, as a confirmed reading
    passes it twice."""
    ours, half = middle["ours"], middle["broker"]["rate"] / 2
    against = {"broker": {key: ours[key] / half for key in ("rate", "each_rate")}}
    for name in NAMES[2:]:
        against[name] = {key: ours[key] / middle[name][key] if middle[name][key] else None for key in FIGURES}
    return against


def goals(against):
    for name, key, floor, aim in GOALS:
        ratio = against[name][key]
        sign = 1 if aim > floor else -1
        met = [ratio is not None and sign * ratio >= sign * goal for goal in (floor, aim)]
        yield {"against": name, "figure": key, "ratio": ratio, "floor": floor, "floor_met": met[0], "aim": aim, "aim_met": met[1]}


def show(options, middle, against):
    half = middle["broker"]["rate"] / 2
    print(f"medians of {options.rounds}, {options.meters} meters, {WINDOW} readings on their way\n")
    print(f"{'':22}{'confirmed/s':>12}{'of C/2':>8}{'CPU µs':>8}{'confirmations':>15}{'one each':>10}{'of C/2':>8}{'CPU µs':>8}"
          f"{'p50 ms':>8}")
    for name in NAMES[1:]:
        figures = middle[name]
        print(f"{name:22}{figures['rate']:12,.0f}{figures['rate'] / half:8.0%}{figures['cpu_us']:8.0f}"
              f"{figures['confirmations']:15.2f}{figures['each_rate']:10,.0f}{figures['each_rate'] / half:8.0%}"
              f"{figures['each_cpu_us']:8.0f}{figures['p50_ms']:8.2f}")
    print(f"\nC, the broker alone: {middle['broker']['rate']:,.0f} messages/s; a confirmed reading passes it twice")
    print(f"one each: {WINDOW} readings on their way, one of each meter; ours then confirms each by itself "
          f"({middle['ours']['each_confirmations']:.2f} confirmations a reading)")
    print("memory: stores nothing, one confirmation a reading; disk: a commit a reading\n")
    print(f"{'ours against':22}" + "".join(f"{word:>15}" for word in FIGURES.values()))
    for name, found in against.items():
        cells = (f"{found[key]:.2f}×" if found.get(key) else "" for key in FIGURES)
        print(f"{name if name != 'broker' else 'C/2':22}" + "".join(f"{cell:>15}" for cell in cells).rstrip())
    print()
    for goal in goals(against):
        print(f"{FIGURES[goal['figure']]} against {goal['against'] if goal['against'] != 'broker' else 'C/2'}: "
              f"{goal['ratio']:.2f}×; " + ", ".join(f"{word} {goal[word]}× {'met' if goal[word + '_met'] else 'not met'}"
                                                   for word in ("floor", "aim")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", type=pathlib.Path, default=ROOT / "build" / "dev",
                        help="the build folder whose load and socket_server are used (default: build/dev)")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build" / "release",
                        help="the build folder whose meter-server is measured (default: build/release)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--readings", type=int, default=20_000)
    parser.add_argument("--meters", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="every run's figures and the ratios, for scripts")
    options = parser.parse_args()
    options.build, options.programs = options.build.resolve(), options.programs.resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    runs = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory(prefix="pulsemeter-bench-") as folder:
        bench = Bench(options, pathlib.Path(folder))
        try:
            bench.make_data()
            for number in range(options.rounds):
                for name in NAMES:
                    print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr, flush=True)
                    runs[name].append(bench.measure(name))
        finally:
            bench.end()
    middle = {name: {key: statistics.median(run[key] for run in runs[name]) for key in runs[name][0]} for name in NAMES}
    against = ratios(middle)
    if options.json:
        print(json.dumps({"runs": runs, "ratios": against, "goals": list(goals(against))}))
    else:
        show(options, middle, against)


if __name__ == "__main__":
    main()
