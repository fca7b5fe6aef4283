"""Row H2: what a service manager is told. Here the test is the manager: it hears what systemd would. That systemd itself
restarts what it hears nothing of is shown in tests/package/."""
import ctypes
import errno
import os
import pathlib
import socket
import threading
import time

from harness import Case

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
LIMIT = 4  # seconds; each feed comes after a quarter of it
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Manager:
    """Its socket, and what was heard on it."""

    def __init__(self, case):
        self.path, self.heard = case.folder / "notify", []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        case.addCleanup(self.socket.close)
        threading.Thread(target=self._listen, daemon=True).start()
        case.environment = {**case.environment, "NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(LIMIT * 1_000_000)}

    def _listen(self):
        try:
            while message := self.socket.recv(1000):
                self.heard.append(message.decode())
        except OSError:
            pass

    def feeds(self):
        return self.heard.count("WATCHDOG=1")

    def wait_feeds(self, case, count):
        case.wait(lambda before=self.feeds(): self.feeds() >= before + count, f"{count} feeds of the watchdog")


class Service(Case):
    def setUp(self):
        super().setUp()
        self.broker_ = self.broker()
        self.server_ = self.server(self.broker_)
        self.meter_ = self.server_.add()
        self.trace = self.folder / "quiet.trace"
        self.trace.write_text("# pulsemeter trace 1\n1 1 1\n2000001 0 2\n")  # one pulse, then nothing

    def test_H2_a_quiet_night_and_an_outage_feed_the_watchdog(self):
        manager = Manager(self)
        self.meter_.run(f"replay={self.trace}")
        self.wait(lambda: "READY=1" in manager.heard, "READY=1, with no server to answer")
        self.broker_.stop()
        manager.wait_feeds(self, 6)  # half as long again as the limit
        self.meter_.process.stop()
        self.wait(lambda: "STOPPING=1" in manager.heard, "STOPPING=1")
        self.assertTrue(any(word.startswith("STATUS=sensor ok; not connected") for word in manager.heard), manager.heard)

    def test_H2_the_server_feeds_the_watchdog_without_broker_and_meters(self):
        self.broker_.stop()
        manager = Manager(self)
        self.server_.run(connected=False)
        manager.wait_feeds(self, 6)
        self.assertEqual(manager.heard[0], "READY=1")
        self.server_.process.stop()
        self.wait(lambda: manager.heard[-1] == "STOPPING=1", "STOPPING=1")

    def test_H2_one_thread_that_stands_still_ends_the_feeding_and_no_other_matters(self):
        self.server_.run()
        manager = Manager(self)
        self.meter_.run(f"replay={self.trace}")
        self.meter_.process.wait_out("confirmed by the server")
        pid = self.meter_.process.pid
        threads = {(pathlib.Path(f"/proc/{pid}/task/{task}/comm").read_text().strip(), int(task) == pid): int(task)
                   for task in os.listdir(f"/proc/{pid}/task")}
        for stuck in (threads["edges", False], pid):
            self.ptrace(PTRACE_SEIZE, stuck)
            self.ptrace(PTRACE_INTERRUPT, stuck)
            self.wait(lambda of=stuck: "t (tracing stop)" in pathlib.Path(f"/proc/{pid}/task/{of}/status").read_text(),
                      "the thread to stand still")
            before = manager.feeds()
            if stuck == pid:  # the edge thread goes on alone
                time.sleep(LIMIT)
            else:  # the loop goes on: it takes its readings
                taken = self.meter_.process.out().count(" reading ")
                self.meter_.process.wait_out(" reading ", count=taken + 2 * LIMIT)
            self.assertLessEqual(manager.feeds(), before + 1, "fed although a thread stood still")  # one was on its way
            self.ptrace(PTRACE_DETACH, stuck)
            manager.wait_feeds(self, 2)

    def ptrace(self, request, thread):
        """Stops one thread of many, which no signal can."""
        if libc.ptrace(request, thread, None, None) == -1:
            if ctypes.get_errno() == errno.EPERM:
                self.skipTest("this machine allows nobody to trace")
            raise OSError(ctypes.get_errno(), "ptrace")
