"""on-a-pi.sh, the test for people with a real Pi, as far as it goes without one: the script itself, its commands run by
the board's shell, pulses made by the program that makes them on a Pi. Not shown by this: ssh and scp (stand-ins carry
the commands to the board's serial line, and copy files that are there already), the jumper (the host's), pull resistors,
and what a Pi's own GPIO controller and its timing make of it.
"""

import base64
import json
import os
import pathlib
import shlex
import socket
import sys
import threading

from board_case import BoardCase

HERE = pathlib.Path(__file__).resolve().parent
# Both are this: the words after the host, and standard input, to the test; its answer out.
STAND_IN = """#!{python}
import base64, json, socket, sys
data = b"" if sys.stdin.isatty() or {copies} else sys.stdin.buffer.read()
with socket.socket(socket.AF_UNIX) as test:
    test.connect({path!r})
    stream = test.makefile("rwb")
    stream.write(json.dumps([{copies}, sys.argv[1:], base64.b64encode(data).decode()]).encode() + b"\\n")
    stream.flush()
    code, output = json.loads(stream.readline())
sys.stdout.write(output)
sys.exit(code)
"""


class OnAPi(BoardCase):
    def setUp(self):
        super().setUp()
        self.boot()
        self.socket = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.socket.close)
        self.socket.bind(str(self.folder / "ssh.socket"))
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()
        for name, copies in [("ssh", False), ("scp", True)]:
            stand_in = self.folder / name
            stand_in.write_text(STAND_IN.format(python=sys.executable, path=str(self.folder / "ssh.socket"), copies=copies))
            stand_in.chmod(0o755)
        self.environment |= {"SSH": str(self.folder / "ssh"), "SCP": str(self.folder / "scp")}
        self.commands = []

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                copies, words, data = json.loads(stream.readline())
                stream.write(json.dumps(self.copy(words) if copies else self.shell(words, data)).encode() + b"\n")

    def copy(self, words):
        programs = [pathlib.Path(word).name for word in words[1:-1]]
        target = words[-1].partition(":")[2]
        self.board.run(f"cp {' '.join(f'/bin/{name}' for name in programs)} {target}")
        return 0, ""

    def shell(self, words, data):
        host, command = words
        self.commands.append(command)
        fed = f"echo {data} | base64 -d | " if base64.b64decode(data) else ""
        said = self.board.run(f"{fed}sh -c {shlex.quote(command)}; echo code-$?", timeout=300)
        output, _, code = said.rpartition("code-")
        return int(code), output

    def script(self, *words):
        return self.run_command([HERE / "on-a-pi.sh", *words, "pi@board", os.environ["PULSEMETER_PI_BUILD"]], timeout=400)

    def test_C1_the_script_for_a_real_pi_counts_what_it_sends_and_cleans_up(self):
        done, stop = [], threading.Event()
        jumper = threading.Thread(target=self.board.follow, args=("GPIO18", "GPIO17", stop), daemon=True)
        jumper.start()
        try:
            done = self.script("--quick")
        finally:
            stop.set()
            jumper.join(30)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("all 700 pulses counted", done.stdout)
        self.assertEqual(self.board.run("pidof meter-pi; ls /tmp").strip(), "")
        key = [command for command in self.commands if "key" in command]
        self.assertEqual(key, [], "a secret in a command")

    def test_the_script_for_a_real_pi_notices_that_the_jumper_is_missing(self):
        done = self.script("--quick")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("the register has 0, 100 were sent", done.stdout)
        self.assertIn("jumper", done.stderr)
        self.assertEqual(self.board.run("pidof meter-pi; ls /tmp").strip(), "")
