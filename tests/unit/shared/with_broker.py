#!/usr/bin/python3
"""Runs a command beside a mosquitto of its own on a free loopback port, and ends that mosquitto whatever happens.

    with_broker.py COMMAND [ARGUMENT...]

The command finds BROKER_PORT and BROKER_LOG in its environment, and in BROKER_CONTROL the number of a socket: each
word that it writes there and ends with a line feed (kill, start, freeze, thaw) is done to the broker, then answered
by a line feed. Exits as the command does."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

MOSQUITTO = "/usr/sbin/mosquitto"
CONFIG = """listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 20
user root
log_dest file {folder}/log
"""


def end_with_us():
    """In a child: also if we are killed outright, which no finally sees."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Broker:
    def __init__(self, folder):
        self.folder = folder
        self.process = None
        for _ in range(5):  # someone else may take the port that was free a moment ago
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            with open(f"{folder}/conf", "w", encoding="utf-8") as file:
                file.write(CONFIG.format(port=self.port, folder=folder))
            if self.start():
                return
        sys.exit(f"{MOSQUITTO} does not start, its log: {folder}/log")

    def start(self):
        self.process = subprocess.Popen([MOSQUITTO, "-c", f"{self.folder}/conf"], preexec_fn=end_with_us)
        while self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return True
            except ConnectionRefusedError:
                time.sleep(0.01)
        return False

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def do(self, word):
        if word == "kill":
            self.kill()
        elif word == "start":
            if not self.start():
                sys.exit(f"{MOSQUITTO} does not start again")
        elif word == "freeze":
            self.process.send_signal(signal.SIGSTOP)
        elif word == "thaw":
            self.process.send_signal(signal.SIGCONT)
        else:
            sys.exit(f"with_broker.py: unknown word {word}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="with-broker.") as folder:
        broker = Broker(folder)
        command = None
        try:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                environment = dict(os.environ, BROKER_PORT=str(broker.port), BROKER_LOG=f"{folder}/log",
                                   BROKER_CONTROL=str(theirs.fileno()))
                command = subprocess.Popen(sys.argv[1:], env=environment, pass_fds=[theirs.fileno()],
                                           preexec_fn=end_with_us)
                theirs.close()
                for word in ours.makefile("r"):  # until the command, or what it left behind, has gone
                    broker.do(word.strip())
                    ours.sendall(b"\n")
                sys.exit(command.wait())
        finally:
            if command and command.poll() is None:
                command.kill()
            broker.kill()


main()
