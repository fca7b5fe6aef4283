"""A board whose pin really blinks: a stock Debian arm64 kernel in QEMU, pulses put on its GPIO lines from outside.

    with Board(folder, board_tree, pi_tree, programs, settings, broker_port) as board:
        board.run("meter-pi …")           # a command in the guest's shell, its output returned
        board.pulse(1000)                 # pulses on GPIO17

A pulse is closed by a fence: a little program in the guest watches one line and answers on another. An emulated CPU
is slower than whoever injects, so without it the emulator itself would swallow interrupts. With one CPU the kernel
hands edges on in order, hence everything before the fence's answer has been time-stamped and queued.
The guest reaches nothing but the broker: 10.0.2.100:1883 is the host's 127.0.0.1:broker_port.
"""

import collections
import json
import os
import pathlib
import re
import select
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time

import image
from disk import Disk

PL061 = 0x9030000
CHIP, DRIVER = "9030000.pl061", "/sys/bus/amba/drivers/pl061_gpio"
BOOTS = 180  # seconds; two or three on a quiet machine
FENCE_IN, FENCE_OUT = image.LINES.index("GPIO6"), image.LINES.index("GPIO5")


class LineSocket:
    """A unix socket that speaks in lines."""

    def __init__(self, path: str, deadline: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self._socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self._socket.settimeout(30)
        self._pending = b""

    def send(self, line: str) -> None:
        self._socket.sendall(line.encode() + b"\n")

    def receive(self) -> str:
        while b"\n" not in self._pending:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError("QEMU has closed its socket")
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode().rstrip("\r")

    def waits(self, timeout: float) -> bool:
        """Is there something to be received, now or within the time?"""
        return b"\n" in self._pending or bool(select.select([self._socket], [], [], timeout)[0])

    def close(self) -> None:
        self._socket.close()


class Monitor:
    """QEMU's management protocol (QMP)."""

    def __init__(self, path: str, deadline: float) -> None:
        self._lines = LineSocket(path, deadline)
        self._lines.receive()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments):
        self._lines.send(json.dumps({"execute": command, "arguments": arguments}))
        while True:
            answer = json.loads(self._lines.receive())
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def close(self) -> None:
        self._lines.close()


class Pins:
    """The lines of the guest's GPIO controller, from outside (QEMU's qtest protocol)."""

    def __init__(self, path: str, deadline: float, controller: str) -> None:
        self._lines = LineSocket(path, deadline)
        self._controller = controller
        self._changes: collections.deque[tuple[int, int]] = collections.deque()

    def _command(self, command: str) -> str:
        self._lines.send(command)
        while (answer := self._lines.receive()).startswith("IRQ"):
            self._note(answer)
        if not answer.startswith("OK"):
            raise RuntimeError(f"{command}: {answer}")
        return answer

    def set(self, line: int, level: int) -> None:
        self._command(f"set_irq_in {self._controller} unnamed-gpio-in {line} {level}")

    def get(self, line: int) -> int:
        data = int(self._command(f"readl {PL061 + ((1 << line) << 2):#x}").split()[1], 16)
        return data >> line & 1

    def watch_outputs(self) -> None:
        """From now on next_change() hears of every level that the guest puts out."""
        self._command(f"irq_intercept_out {self._controller}")

    def _note(self, message: str) -> None:
        _, direction, line = message.split()
        self._changes.append((int(line), {"raise": 1, "lower": 0}[direction]))

    def next_change(self, timeout: float) -> tuple[int, int] | None:
        """(line, level), in the order in which they came."""
        if not self._changes and self._lines.waits(timeout):
            self._note(self._lines.receive())
        return self._changes.popleft() if self._changes else None

    def close(self) -> None:
        self._lines.close()


class Board:
    def __init__(self, folder: pathlib.Path, board_tree: pathlib.Path, pi_tree: pathlib.Path,
                 programs: list[pathlib.Path], settings: dict[str, bytes], broker_port: int,
                 disk: Disk | None = None) -> None:
        """Lays the device tree and the initramfs into `folder`; `programs` must have the fence among them."""
        self._device_tree, self._initramfs = folder / "board.dtb", folder / "initramfs"
        image.write_device_tree(self._device_tree)
        image.write_initramfs(self._initramfs, board_tree, pi_tree, programs, settings)
        self._kernel = image.kernel(board_tree)
        self._broker_port = broker_port
        self._disk_arguments = disk.qemu_arguments() if disk else []
        self._console = ""
        self._read = 0  # how much of the console has been looked at
        self._more = threading.Condition()
        self._commands = 0
        self.pulses = 0  # begun on GPIO17

    def __enter__(self) -> "Board":
        try:
            return self._boot()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_) -> None:
        for name in ["_pins", "_monitor"]:
            if hasattr(self, name):
                getattr(self, name).close()
        self._qemu.kill()
        self._qemu.wait()
        self._sockets.cleanup()

    def _boot(self) -> "Board":
        # A unix socket's path is short at most; the project's need not be.
        self._sockets = tempfile.TemporaryDirectory(prefix="board-")
        qtest, qmp = f"{self._sockets.name}/qtest", f"{self._sockets.name}/qmp"
        relay = shlex.join([sys.executable, str(image.HERE / "relay.py"), str(self._broker_port)]).replace(",", ",,")
        self._qemu = subprocess.Popen(
            ["qemu-system-aarch64", *image.MACHINE, "-display", "none", "-monitor", "none", "-serial", "stdio",
             "-no-reboot", "-kernel", str(self._kernel), "-initrd", str(self._initramfs), "-dtb",
             str(self._device_tree), "-append", "console=ttyAMA0 panic=-1 quiet", "-netdev",
             f"user,id=network,restrict=on,guestfwd=tcp:10.0.2.100:1883-cmd:{relay}", "-device",
             "virtio-net-pci,netdev=network,romfile=", "-qtest", f"unix:{qtest},server=on,wait=off", "-qtest-log",
             "none", "-qmp", f"unix:{qmp},server=on,wait=off", *self._disk_arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        threading.Thread(target=self._listen, daemon=True).start()
        deadline = time.monotonic() + BOOTS
        self._monitor = Monitor(qmp, deadline)
        devices = self._monitor.execute("qom-list", path="/machine/unattached")
        controller = next(device["name"] for device in devices if device["type"] == "child<pl061>")
        self._pins = Pins(qtest, deadline, f"/machine/unattached/{controller}")
        self.wait_for("^board is ready$", BOOTS)
        self._start_fence()
        return self

    def _start_fence(self) -> None:
        self.start("fence GPIO6 GPIO5")
        self.wait_for("^fence is ready$")

    def _listen(self) -> None:
        while True:
            data = os.read(self._qemu.stdout.fileno(), 65536)
            with self._more:
                self._console += data.decode(errors="replace").replace("\r", "")
                self._more.notify_all()
            if not data:
                return

    def wait_for(self, pattern: str, timeout: float = 60) -> re.Match:
        """Waits for a line on the console, behind the one that was last waited for."""
        deadline = time.monotonic() + timeout
        with self._more:
            while True:
                if match := re.compile(pattern, re.MULTILINE).search(self._console, self._read):
                    self._read = match.end()
                    return match
                if time.monotonic() > deadline or self._qemu.poll() is not None:
                    raise TimeoutError(f"{pattern!r} has not come; the console's end:\n{self._console[-2000:]}")
                self._more.wait(0.5)

    def _type(self, line: str) -> None:
        self._qemu.stdin.write(line.encode() + b"\n")

    def run(self, command: str, timeout: float = 60) -> str:
        """Runs a command to its end and returns its output; one that fails is an error."""
        self._commands += 1
        start = self._read
        self._type(f"{command}; code=$?; echo; echo end-{self._commands}-$code")
        end = self.wait_for(rf"^end-{self._commands}-(\d+)$", timeout)
        output = self._console[start:end.start()].strip("\n")
        if end.group(1) != "0":
            raise RuntimeError(f"{command}: exit code {end.group(1)}\n{output}")
        return output

    def start(self, command: str) -> None:
        """Starts a command in the background."""
        self._type(f"{command} &")

    def cut_power(self) -> None:
        """The board is off at once, whatever it was doing; may be called by another thread."""
        self._qemu.kill()

    def console(self) -> str:
        with self._more:
            return self._console

    def remove_chip(self) -> None:
        """The GPIO controller vanishes from under whoever has lines of it, as a removed module's or overlay's does."""
        self.run(f"kill $(pidof fence); while pidof fence; do sleep 0.1; done; echo {CHIP} >{DRIVER}/unbind")

    def return_chip(self) -> None:
        self.run(f"echo {CHIP} >{DRIVER}/bind")
        self._start_fence()

    def set_link(self, state: str) -> None:
        """Pulls the network cable ("down") or puts it back ("up")."""
        self._monitor.execute("set_link", name="network", up={"up": True, "down": False}[state])

    def set_level(self, level: int, line: str = "GPIO17") -> None:
        self._pins.set(image.LINES.index(line), level)
        self._fence()

    def pulse(self, count: int, on: float = 0.003, off: float = 0.003, rest: int = 0) -> None:
        """Puts pulses on GPIO17: at least `on` and `off` seconds apart as the guest's own clock measures them; low at
        rest, or high (1)."""
        for _ in range(count):
            self.pulses += 1
            self.set_level(1 - rest)
            time.sleep(on)
            self.set_level(rest)
            time.sleep(off)

    def follow(self, out: str, into: str, stop: threading.Event) -> None:
        """A jumper wire: what the guest puts out on one line goes to another, until `stop`. Nobody else may use the
        pins meanwhile. No level lasts less than 3 ms, however late it comes."""
        self._pins.watch_outputs()
        while not stop.is_set():
            if change := self._pins.next_change(0.1):
                line, level = change
                if line == image.LINES.index(out):
                    self.set_level(level, into)
                    time.sleep(0.003)

    def _fence(self) -> None:
        before = self._pins.get(FENCE_OUT)
        deadline = time.monotonic() + 20
        self._pins.set(FENCE_IN, 1)
        while self._pins.get(FENCE_OUT) == before:
            if time.monotonic() > deadline:
                raise TimeoutError("the fence does not answer: the guest is stuck")
            time.sleep(0.00005)
        self._pins.set(FENCE_IN, 0)
