"""What the integration tests stand on: a mosquitto, both programs, and an observer, each in a folder of its own.

Every process is ended by its own pid when its test ends. Ports are free ones on loopback. Nothing waits without a
time-out, and a time-out shows the tail of every log. The programs are those in $PULSEMETER_BUILD (see run.py).
"""
import fcntl
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
import threading
import time
import unittest

import paho.mqtt.client
import paho.mqtt.subscribeoptions

ROOT = pathlib.Path(__file__).resolve().parents[2]
LONG = os.environ.get("PULSEMETER_LONG") == "1"
SEED = int(os.environ.get("PULSEMETER_SEED", "1"))
HEALS = 60  # seconds within which everything must have healed: back-offs are jittered and at most 30 s or so
PASSWORD = "correct horse battery staple"


def program(name):
    build = pathlib.Path(os.environ.get("PULSEMETER_BUILD", ROOT / "build" / "dev"))
    return str(build / {"meter-pi": "meter-pi", "meter-server": "server"}[name] / name)


def rounds(short, long):
    return long if LONG else short


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """One run of a program. Its stdout and stderr go to files, so that it never waits for a reader."""

    def __init__(self, case, name, command, **popen):
        self.case, self.name = case, name
        base = case.folder / "logs" / f"{len(case.processes):02}-{name}"
        base.parent.mkdir(exist_ok=True)
        self.out_path, self.err_path = pathlib.Path(f"{base}.out"), pathlib.Path(f"{base}.err")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            popen = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, "env": case.environment, **popen}
            self.popen = subprocess.Popen([str(word) for word in [*case.within, *command]], **popen)
        self.pid = self.popen.pid
        case.processes.append(self)
        case.addCleanup(self.kill)

    def out(self):
        return self.out_path.read_text("utf-8", "replace")

    def err(self):
        return self.err_path.read_text("utf-8", "replace")

    def running(self):
        return self.popen.poll() is None

    def _wait_match(self, read, what, pattern, timeout, count):
        def matched():
            found = re.findall(pattern, read(), re.MULTILINE)
            return found if len(found) >= count else None
        return self.case.wait(matched, f"{count} × /{pattern}/ on {what} of {self.name}", timeout,
                              alive=None if matched() else self)

    def wait_out(self, pattern, timeout=HEALS, count=1):
        return self._wait_match(self.out, "stdout", pattern, timeout, count)

    def wait_err(self, pattern, timeout=HEALS, count=1):
        return self._wait_match(self.err, "stderr", pattern, timeout, count)

    def wait_exit(self, timeout=20):
        self.case.wait(lambda: not self.running(), f"the end of {self.name}", timeout)
        return self.popen.returncode

    def send_signal(self, number):
        self.popen.send_signal(number)

    def stop(self, number=signal.SIGTERM, timeout=20):
        """Asks it to end, and insists that it does so cleanly."""
        self.send_signal(number)
        code = self.wait_exit(timeout)
        self.case.assertEqual(code, 0, f"{self.name} after {signal.Signals(number).name}\n{self.case.tails()}")

    def kill(self):
        if self.running():
            self.popen.kill()
        self.popen.wait(20)


class Terminal:
    """A pseudo-terminal that is a process's controlling one; collects what it shows."""

    def __init__(self, case):
        self.master, self.slave = os.openpty()
        self.shown, self._case = b"", case
        case.addCleanup(os.close, self.master)
        os.set_blocking(self.master, False)

    def popen_arguments(self):
        # from the child, before exec: the new session's controlling terminal
        return {"stdin": self.slave, "start_new_session": True,
                "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}

    def text(self):
        try:
            while chunk := os.read(self.master, 65536):
                self.shown += chunk
        except (BlockingIOError, OSError):
            pass
        return self.shown.decode("utf-8", "replace")

    def wait(self, words, timeout=20):
        self._case.wait(lambda: words in self.text(), f"{words!r} on the terminal", timeout)

    def type(self, text):
        os.write(self.master, text.encode())


class Broker:
    """A mosquitto that keeps its port over restarts. `queues`: "deep", or "default", which drop what is too much."""

    def __init__(self, case, persistent=False, queues="deep"):
        self.case, self.port, self.process = case, free_port(), None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="broker-", dir=case.folder))
        self.config = self.folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "log_dest stderr", "log_type all",
                 "connection_messages true", *(["max_queued_messages 100000"] if queues == "deep" else []),
                 f"persistence {'true' if persistent else 'false'}", f"persistence_location {self.folder}/"]
        if os.geteuid() == 0:
            lines.append("user root")  # else it drops to a user who can't read this folder
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"

    @staticmethod
    def program():
        return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")

    def start(self):
        self.process = Process(self.case, "mosquitto", [self.program(), "-c", str(self.config)])
        self.case.wait(lambda: listening(self.port), "mosquitto's port", 20, alive=self.process)
        return self

    def stop(self):
        self.process.stop()

    def kill(self):
        self.process.kill()

    def wipe(self):
        for database in self.folder.glob("*.db*"):
            database.unlink()

    def log(self):
        return self.process.err()


class Message:
    def __init__(self, message):
        self.at = time.monotonic()
        self.topic, self.payload = message.topic, bytes(message.payload)
        self.qos, self.retained = message.qos, bool(message.retain)


class Tap:
    """Another client of the broker: records every message in order, and publishes whatever it likes. With as_published
    by MQTT 5: a message has the QoS and the retain flag that its sender gave it."""

    def __init__(self, case, broker, topics="#", as_published=False):
        self.case, self.lock, self.messages, self.subscribed = case, threading.Lock(), [], threading.Event()
        self.topics = topics
        protocol, how = paho.mqtt.client.MQTTv311, {"qos": 1}
        if as_published:
            protocol = paho.mqtt.client.MQTTv5
            how = {"options": paho.mqtt.subscribeoptions.SubscribeOptions(qos=2, retainAsPublished=True)}
        self.client = paho.mqtt.client.Client(client_id=f"tap-{os.getpid()}-{id(self):x}", protocol=protocol)
        self.client.reconnect_delay_set(0.1, 0.2)
        self.client.max_inflight_messages_set(1000)
        self.client.max_queued_messages_set(0)
        self.client.on_connect = lambda client, *_: client.subscribe(self.topics, **how)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_disconnect = lambda *_: self.subscribed.clear()
        self.client.on_message = self._record
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        case.addCleanup(self.close)
        self.ready()

    def _record(self, _client, _userdata, message):
        with self.lock:
            self.messages.append(Message(message))

    def ready(self):
        """Waits until it is subscribed (again)."""
        self.case.wait(self.subscribed.is_set, "the tap's subscription", 20)

    def seen(self, topic=None):
        with self.lock:
            return [m for m in self.messages if topic is None or m.topic == topic]

    def publish(self, topic, payload, retain=False, qos=1):
        return self.client.publish(topic, payload, qos=qos, retain=retain)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def configure(case, path, **settings):
    """configure(case, file, meter_interval_s=1, simulation_seed=7): sets keys of a file's tables; None removes one."""
    text = path.read_text()
    for setting, value in settings.items():
        table, key = setting.split("_", 1)
        head, mark, rest = text.partition(f"[{table}]")
        case.assertTrue(mark, f"[{table}] in {path}")
        body, end = (rest, "") if "\n[" not in rest else rest.split("\n[", 1)
        body = re.sub(rf"(?m)^{key} *=.*\n?", "", body).rstrip("\n")
        if value is not None:
            body += f"\n{key} = {json.dumps(value, ensure_ascii=False)}"
        text = head + mark + body + "\n" + (f"\n[{end}" if end else "")
    path.write_text(text)


class Server:
    """A data folder and the commands on it."""

    def __init__(self, case, broker, initialise=True, data=None, password=PASSWORD):
        self.case, self.broker, self.process = case, broker, None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="server-", dir=case.folder))
        self.data = pathlib.Path(data) if data else self.folder / "data"
        self.password_file = case.secret_file(self.folder / "password", password + "\n")
        if initialise:
            self.command("init", "--broker", broker.url, password=True, check=True)

    def arguments(self, *arguments, password=False):
        extra = ["--password-file", str(self.password_file)] if password else []
        return [program("meter-server"), *map(str, arguments), "--data", str(self.data), *extra]

    def command(self, *arguments, password=False, check=False):
        return self.case.run_command(self.arguments(*arguments, password=password), check=check)

    def add(self, name="hall", interval=1, **settings):
        """`meter add`, and the meter that has the file. Settings as in configure()."""
        config = self.folder / f"{name}.toml"
        self.command("meter", "add", name, "--interval", interval, "--out", config, password=True, check=True)
        meter = Meter(self.case, name, config)
        if settings:
            meter.configure(**settings)
        return meter

    def configure(self, **settings):
        configure(self.case, self.data / "server.toml", **settings)

    def run(self, *extra, connected=True, **popen):
        self.process = Process(self.case, "meter-server", self.arguments("run", *extra, password=True), **popen)
        if connected:
            self.process.wait_err(r"connected to mqtts?:")
        return self.process

    def status(self, name="hall"):
        meters = json.loads(self.command("status", "--json", check=True).stdout)["meters"]
        return next((meter for meter in meters if meter["id"] == name), None)

    def readings(self, name="hall"):
        return json.loads(self.command("readings", name, "--json", check=True).stdout)["readings"]

    def rows(self, name="hall"):
        return {(row["epoch"], row["sequence"]): row for row in self.readings(name)}


class Meter:
    """A meter's configuration, its state folder and its runs."""

    def __init__(self, case, name, config):
        self.case, self.name, self.config, self.process = case, name, pathlib.Path(config), None
        self.state = self.config.with_name(f"{name}-state")

    def configure(self, **settings):
        configure(self.case, self.config, **settings)
        return self

    def setting(self, key):
        return re.search(rf'(?m)^{key} = "?([^"\n#]*?)"? *(#.*)?$', self.config.read_text()).group(1)

    def arguments(self, source="simulate", state=None):
        return [program("meter-pi"), "run", "--config", str(self.config), "--source", source, "--state",
                str(state or self.state)]

    def run(self, source="simulate", state=None, **popen):
        self.process = Process(self.case, f"meter-pi-{self.name}", self.arguments(source, state), **popen)
        return self.process

    def status(self, state=None):
        done = self.case.run_command([program("meter-pi"), "status", "--json", "--state", str(state or self.state)],
                                     check=True)
        return json.loads(done.stdout)

    def register(self, source="simulated", state=None):
        return next((each for each in self.status(state)["registers"] if each["source"] == source), None)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pulsemeter-test-"))
        self.folder.chmod(0o755)  # some programs run as another user; the secret files have their own modes
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.processes, self.within = [], []  # `within` goes before every command: into another namespace
        self.random = random.Random(f"{SEED} {self.id()}")
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder / "home"), "NO_COLOR": "1",
                            "LANG": "C.UTF-8", "TZ": "UTC"}

    # Makers
    def broker(self, **options):
        return Broker(self, **options).start()

    def server(self, broker, **options):
        return Server(self, broker, **options)

    def tap(self, broker, topics="#"):
        return Tap(self, broker, topics)

    def all_running(self, name="hall", **settings):
        """The usual three: (broker, server, meter), each running and connected."""
        broker = self.broker()
        server = self.server(broker)
        meter = server.add(name, **settings)
        server.run()
        meter.run()
        meter.process.wait_out(r"confirmed by the server")
        return broker, server, meter

    def secret_file(self, path, text):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        return pathlib.Path(path)

    # Waiting
    def wait(self, condition, what, timeout=HEALS, alive=None):
        """The condition's first true answer. `alive` is a process whose end means that waiting is in vain."""
        end = time.monotonic() + timeout
        while True:
            if answer := condition():
                return answer
            ended = alive is not None and not alive.running()
            if ended and (answer := condition()):
                return answer
            if ended or time.monotonic() > end:
                why = f"{alive.name} ended with {alive.popen.returncode}" if ended else f"{timeout} s went by"
                self.fail(f"waited for {what}, but {why}\n{self.tails()}")
            time.sleep(0.03)

    def wait_equal_totals(self, server, meter, timeout=HEALS):
        """After the meter was stopped: everything it has counted is on the server."""
        register = meter.register()
        self.wait(lambda: (server.status(meter.name) or {}).get("total_pulses") == register["total_pulses"],
                  f"the server's total to be the register's {register}", timeout)
        return register

    def tails(self, lines=25):
        parts = []
        for process in self.processes[-8:]:
            for path in (process.out_path, process.err_path):
                if path.exists() and (text := path.read_text("utf-8", "replace")):
                    state = "running" if process.running() else f"ended with {process.popen.returncode}"
                    tail = "\n".join("    " + line[:300] for line in text.splitlines()[-lines:])
                    parts.append(f"  {path.name} ({state}):\n{tail}")
        return "\n".join(parts)

    # Commands
    def run_command(self, command, check=False, timeout=30, **options):
        options = {"stdin": subprocess.DEVNULL, "env": self.environment, **options}
        done = subprocess.run([str(word) for word in [*self.within, *command]], capture_output=True, text=True, encoding="utf-8",
                              timeout=timeout, **options)
        if check and done.returncode != 0:
            self.fail(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stderr}\n{self.tails()}")
        return done

    def assert_refused(self, done, code, *words):
        """Ended with that code and said why in one line on stderr that holds all the words."""
        self.assertEqual(done.returncode, code, f"{done.args}\n{done.stdout}{done.stderr}")
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, f"one line was wanted of {done.args}:\n{done.stderr}")
        for word in words:
            self.assertIn(str(word), lines[0])
        self.assertEqual(done.stdout, "")
        return lines[0]
