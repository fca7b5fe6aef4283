#!/usr/bin/env python3
"""The packages and the services in them: installed into a clean Debian, run under its systemd, upgraded, removed, purged.

usage: test_package.py [--long] [DEV-BUILD [PI-BUILD [ARCHIVE-OF-A-CLEAN-TREE]]]
--long also builds the server's package for the Pi (arm64) and looks at it: minutes.

The meter's package is the Pi's (arm64). The program in it is asked for its version under an emulator; what runs as
the service here is the same program of the development build, simulating, with every other setting of the unit; a real
line under the unit is tests/hil/test_under_systemd.py.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from machine import Machine

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PASSWORD = "three quiet horses"
MQTT_PASSWORD = "an owl in the loft"
CLIENT_KEY = "-----BEGIN PRIVATE KEY----- of nobody"
METER, SERVER = "pulsemeter-meter", "pulsemeter-server"
UNITS = {METER: ROOT / "meter-pi/systemd/pulsemeter-meter.service", SERVER: ROOT / "server/systemd/pulsemeter-server.service"}
STATE = {each: f"/var/lib/{each}" for each in UNITS}

# What a program may do in the service's place; each line of its output is an attempt and the error, 0 if it worked.
PROBE = r"""
use POSIX; use Socket;
sub try_it { my ($name, $done) = @_; print "$name ", ($done ? 0 : $! + 0), "\n"; }
open(STDOUT, ">", "$ENV{STATE_DIRECTORY}/probe") or die $!;
my ($machine) = (POSIX::uname())[4];
my ($adjtime, $unshare) = $machine eq "x86_64" ? (305, 272) : (266, 97);
my $timex = "\0" x 208;
try_it("ask-the-clock", syscall($adjtime, 0, $timex) != -1);
my $set = pack("L! q q", 0x100, 0, 0) . "\0" x 184; # ADJ_SETOFFSET by nothing
try_it("set-the-clock", syscall($adjtime, 0, $set) != -1);
try_it("new-namespace", syscall($unshare, 0x10000000) != -1);
try_it("packet-socket", socket(my $packet, 17, SOCK_RAW, 0));
try_it("netlink-socket", socket(my $netlink, 16, SOCK_RAW, 0));
try_it("internet-socket", socket(my $tcp, AF_INET, SOCK_STREAM, 0));
try_it("listen", socket(HEARD, AF_INET, SOCK_STREAM, 0) && bind(HEARD, sockaddr_in(0, INADDR_ANY)) && listen(HEARD, 1));
try_it("write-etc", open(my $etc, ">", "/etc/probe"));
try_it("write-other-state", open(my $var, ">", "/var/lib/probe"));
try_it("write-null", open(my $null, ">", "/dev/null"));
try_it("open-device", open(my $device, "<", "/dev/probed"));
try_it("read-secret", open(my $secret, "<", "$ENV{SECRET}"));
try_it("read-credential", open(my $credential, "<", "$ENV{CREDENTIALS_DIRECTORY}/$ENV{CREDENTIAL}"));
try_it("see-others", -e "/proc/1/comm");
"""
EPERM, ENOENT, EACCES, EROFS, EAFNOSUPPORT = 1, 2, 13, 30, 97


def archive_of(build, package):
    found = sorted(build.glob(f"{package}_*.deb"))
    if len(found) != 1:
        raise AssertionError(f"one {package}_*.deb was wanted in {build}: {found}; run cpack there")
    return found[0]


def libraries_of(program):
    """The files that a native program loads."""
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return re.findall(r"=> (/\S+)", listed)


def newer(package, folder):
    """The same package with a higher version."""
    contents = folder / "newer"
    shutil.rmtree(contents, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-R", package, contents], check=True)
    control = contents / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*", "Version: 99.0", control.read_text()))
    made = folder / f"{package.name.split('_')[0]}_99.0.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", contents, made], check=True, stdout=subprocess.DEVNULL)
    return made


class PackageCase(unittest.TestCase):
    def check_lintian(self, package):
        if shutil.which("lintian") is None:
            self.skipTest("there is no lintian")
        done = subprocess.run(["lintian", "--fail-on", "error", "--allow-root", package], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def check_contents(self, package, name, architecture, program):
        asked = subprocess.run(["dpkg-deb", "-f", package, "Package", "Architecture"], capture_output=True, text=True)
        self.assertEqual(asked.stdout, f"Package: {name}\nArchitecture: {architecture}\n")
        listed = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True).stdout
        for file in [f"./usr/bin/{program}", f"./usr/share/man/man1/{program}.1.gz", f"./usr/lib/systemd/system/{name}.service"]:
            self.assertRegex(listed, rf"(?m)^-rw.r-.r-. root/root .* {re.escape(file)}$")


class Packages(PackageCase):
    def test_lintian_finds_no_error(self):
        for package in PACKAGES.values():
            self.check_lintian(package)

    def test_each_is_for_its_machine_and_holds_what_it_needs(self):
        self.check_contents(PACKAGES[METER], METER, "arm64", "meter-pi")
        self.check_contents(PACKAGES[SERVER], SERVER, "amd64", "meter-server")

    def test_who_builds_the_program_alone_can_pack_it(self):
        documents = [PI_BUILD / "meter-pi/debian" / name for name in ("meter-pi.1.gz", "changelog.gz")]
        for document in documents:
            document.unlink()
        subprocess.run(["cmake", "--build", PI_BUILD, "--target", "meter-pi"], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual([document for document in documents if not document.exists()], [])

    def test_H1_exposure_is_at_most_2_0_for_the_meter_and_1_5_for_the_server(self):
        for name, most in [(METER, "20"), (SERVER, "15")]:
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={most}", "--no-pager",
                                   UNITS[name]], capture_output=True, text=True)
            self.assertIn("Overall exposure level", done.stdout, done.stderr)
            self.assertEqual(done.returncode, 0, done.stdout[-300:])


class ServerForThePi(PackageCase):
    def test_the_server_for_the_pi_is_a_package_too(self):
        build = ROOT / "build/pi-server"
        for step in [["cmake", "--preset", "pi", "-B", build, "-D", "PULSEMETER_SERVER=ON", "-D", "PULSEMETER_TESTS=OFF"],
                     ["cmake", "--build", build]]:
            subprocess.run(step, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        for old in build.glob("*.deb"):
            old.unlink()
        subprocess.run(["cpack"], check=True, cwd=build, stdout=subprocess.DEVNULL)
        package = archive_of(build, SERVER)
        self.check_contents(package, SERVER, "arm64", "meter-server")
        self.check_lintian(package)
        emulated = [shutil.which("qemu-aarch64") or "qemu-aarch64-static", "-L", ROOT / "build/sysroot/pi",
                    build / "server/meter-server", "--version"]
        self.assertRegex(subprocess.run(emulated, capture_output=True, text=True).stdout, r"^meter-server [0-9.]+")


class Services(unittest.TestCase):
    """One machine, booted once; the tests go on from each other in the order of their numbers."""

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("a systemd in namespaces takes root")
        cls.addClassCleanup(shutil.rmtree, folder := pathlib.Path(tempfile.mkdtemp(prefix="pulsemeter-package-")))
        cls.folder = folder
        cls.machine = Machine(TREE)
        cls.addClassCleanup(cls.machine.close)
        for package in PACKAGES.values():
            shutil.copy(package, cls.machine.root / "root")
        # As a user does it. Dependencies come from the machine's own mirror.
        cls.machine.run("apt-get", "-q", "-y", "--no-install-recommends", "install",
                        *(f"/root/{package.name}" for package in PACKAGES.values()), timeout=300)
        cls.put_native_meter()
        cls.machine.boot()

    @classmethod
    def put_native_meter(cls):
        native = cls.machine.root / "opt/native"
        native.mkdir()
        shutil.copy(BUILD / "meter-pi/meter-pi", native)
        for library in libraries_of(BUILD / "meter-pi/meter-pi"):
            if not (cls.machine.root / library.lstrip("/")).exists():
                shutil.copy(library, native)
        cls.drop_in(METER, "10-native", "Environment=LD_LIBRARY_PATH=/opt/native", "ExecStart=",
                    "ExecStart=/opt/native/meter-pi run --config %d/meter.toml --source simulate")

    @classmethod
    def drop_in(cls, unit, name, *lines):
        folder = cls.machine.root / f"etc/systemd/system/{unit}.service.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.conf").write_text("\n".join(["[Service]", *lines, ""]))

    def reload(self):
        self.machine.run("systemctl", "daemon-reload")

    def as_server(self, *words):
        return self.machine.run("runuser", "-u", SERVER, "--", "meter-server", *words, "--data", STATE[SERVER])

    def readings(self):
        """Of the meter that runs now."""
        return json.loads(self.as_server("readings", "hall", "--json").stdout)["readings"]

    def register(self):
        done = self.machine.run("env", "LD_LIBRARY_PATH=/opt/native", "/opt/native/meter-pi", "status", "--json", "--state", STATE[METER])
        return json.loads(done.stdout)["registers"][0]

    def wait_for_more_readings(self):
        before = len(self.readings())
        self.machine.wait(lambda: len(self.readings()) > before, "another confirmed reading")

    def test_1_installed_and_waiting_for_its_secret(self):
        for unit in UNITS:
            self.assertEqual(self.machine.show(unit, "ActiveState", "ConditionResult", "UnitFileState"), ["inactive", "no", "enabled"])
            self.machine.run("id", unit)
        if emulator := shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static"):
            done = subprocess.run([emulator, "-L", self.machine.root, self.machine.root / "usr/bin/meter-pi", "--version"],
                                  capture_output=True, text=True)
            self.assertRegex(done.stdout, r"^meter-pi [0-9.]+ \(libgpiod 2", done.stderr)

    def test_2_H1_both_count_send_and_confirm_under_the_restrictions(self):
        self.machine.run("install", "-m", "600", "-o", SERVER, "/dev/stdin", "/run/password", text=PASSWORD)
        self.machine.run("install", "-m", "600", "/dev/stdin", "/etc/pulsemeter/server.password", text=PASSWORD)
        self.machine.run("install", "-d", "-o", SERVER, "/run/out")
        self.as_server("init", "--broker", "mqtt://127.0.0.1", "--password-file", "/run/password")
        self.as_server("meter", "add", "hall", "--interval", "1", "--out", "/run/out/hall.toml", "--password-file", "/run/password")
        self.machine.run("install", "-m", "600", "/run/out/hall.toml", "/etc/pulsemeter/meter.toml")
        type(self).key = re.search('key = "(.*)"', self.machine.run("cat", "/run/out/hall.toml").stdout).group(1)
        self.probe()
        self.machine.run("systemctl", "start", *UNITS)
        self.machine.wait(lambda: len(self.readings()) >= 3, "three confirmed readings")
        for unit in UNITS:
            owner = self.machine.run("stat", "-c", "%U", f"/proc/{self.machine.show(unit, 'MainPID')}").stdout.strip()
            self.assertEqual(owner, unit, "a user of its own")
            folder = self.machine.run("stat", "-c", "%U %a", STATE[unit]).stdout.strip()
            self.assertEqual(folder, f"{unit} 700")
        scheduling = self.machine.run("chrt", "--pid", self.machine.show(SERVER, "MainPID")).stdout
        self.assertIn("SCHED_BATCH", scheduling)
        self.assertIn("connected", self.machine.show(METER, "StatusText"))
        self.assertEqual(self.machine.show(SERVER, "StatusText"), "connected to the broker")
        self.check_probe()

    def probe(self):
        self.machine.run("mknod", "-m", "666", "/dev/probed", "c", "10", "229")  # FUSE, which anyone may open
        (self.machine.root / "opt/probe").write_text(PROBE)
        for unit, secret, credential in [(METER, "meter.toml", "meter.toml"), (SERVER, "server.password", "password")]:
            self.drop_in(unit, "20-probe", f"Environment=SECRET=/etc/pulsemeter/{secret} CREDENTIAL={credential}",
                         "ExecStartPre=/usr/bin/perl /opt/probe")
        self.reload()

    def check_probe(self):
        """The very system calls, as the service's user in its sandbox: what is to be forbidden is forbidden by something."""
        for unit in UNITS:
            lines = self.machine.run("cat", f"{STATE[unit]}/probe").stdout.splitlines()
            found = {name: int(error) for name, error in (line.split() for line in lines)}
            expected = {"ask-the-clock": 0 if unit == METER else EPERM, "set-the-clock": EPERM, "new-namespace": EPERM,
                        "packet-socket": EAFNOSUPPORT, "netlink-socket": EAFNOSUPPORT, "internet-socket": 0, "listen": EPERM,
                        "write-etc": EROFS, "write-other-state": EROFS, "write-null": 0,
                        "open-device": EPERM if unit == METER else ENOENT,  # the server sees no device at all
                        "read-secret": EACCES, "read-credential": 0, "see-others": ENOENT}
            self.assertEqual(found, expected, unit)
            (self.machine.root / f"etc/systemd/system/{unit}.service.d/20-probe.conf").unlink()
        self.reload()

    def test_3_H2_an_outage_never_restarts_and_a_stuck_program_is_restarted(self):
        for unit in UNITS:
            self.drop_in(unit, "30-watchdog", "WatchdogSec=8", "RestartSec=0")
        self.reload()
        self.machine.run("systemctl", "stop", "mosquitto")
        self.machine.run("systemctl", "restart", *UNITS)
        for unit in UNITS:  # fed again and again while nothing can be sent
            last, limit = self.machine.show(unit, "WatchdogTimestampMonotonic", "WatchdogUSec")
            self.assertEqual(limit, "8s")
            for _ in range(5):  # a feed comes after a quarter of the limit: more than the limit, all in all
                last = self.machine.wait(lambda before=last, of=unit: (now := self.machine.show(of, "WatchdogTimestampMonotonic")) != before
                                         and now, f"{unit} to feed the watchdog")
            self.assertEqual(self.machine.show(unit, "NRestarts", "ActiveState"), ["0", "active"])
        self.machine.run("systemctl", "start", "mosquitto")
        self.wait_for_more_readings()
        stuck = {unit: self.machine.show(unit, "MainPID") for unit in UNITS}
        for unit in UNITS:
            self.machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", unit)
        for unit in UNITS:
            self.machine.wait(lambda of=unit: self.machine.show(of, "NRestarts", "ActiveState") == ["1", "active"],
                              f"{unit} to be restarted")
            self.assertNotEqual(self.machine.show(unit, "MainPID"), stuck[unit])
            self.assertIn("atchdog timeout", self.machine.run("journalctl", "--no-pager", "-u", unit).stdout)
        self.wait_for_more_readings()

    def test_4_what_only_a_person_can_mend_is_not_tried_again(self):
        for unit, secret, code in [(METER, "meter.toml", "2"), (SERVER, "server.password", "3")]:
            self.machine.run("systemctl", "stop", unit)
            path = self.machine.root / "etc/pulsemeter" / secret
            right = path.read_text()
            path.write_text("something else")
            self.machine.run("systemctl", "start", unit, check=False)
            self.machine.wait(lambda of=unit: self.machine.show(of, "ActiveState") == "failed", f"{unit} to give up")
            self.assertEqual(self.machine.show(unit, "NRestarts", "ExecMainStatus"), ["0", code])
            path.write_text(right)
            self.machine.run("systemctl", "reset-failed", unit)
            self.machine.run("systemctl", "start", unit)
        self.wait_for_more_readings()

    def doctor(self):
        done = self.machine.run("env", "LD_LIBRARY_PATH=/opt/native", "/opt/native/meter-pi", "doctor", "--json", "--config",
                                "/etc/pulsemeter/meter.toml", "--state", STATE[METER], check=False)
        return {each["check"]: each for each in json.loads(done.stdout)["findings"]}

    def test_5_a_brokers_files_reach_the_service_from_their_folder(self):
        """The broker wants a password; beside meter.toml the service does not see it, and doctor knows that."""
        mosquitto = self.machine.root / "etc/mosquitto"
        (mosquitto / "conf.d/two.conf").write_text("per_listener_settings true\nlistener 1883 127.0.0.1\nallow_anonymous true\n"
                                                   "listener 1884 127.0.0.1\npassword_file /etc/mosquitto/users\n")
        self.machine.run("mosquitto_passwd", "-b", "-c", "/etc/mosquitto/users", "hall", MQTT_PASSWORD)
        self.machine.run("chown", "mosquitto", "/etc/mosquitto/users")
        self.machine.run("systemctl", "restart", "mosquitto")
        config = self.machine.root / "etc/pulsemeter/meter.toml"
        config.write_text(re.sub("(?m)^url = .*", 'url = "mqtt://127.0.0.1:1884"\nusername = "hall"\npassword_file = "mqtt-password"',
                                 config.read_text()))
        self.machine.run("install", "-m", "600", "/dev/stdin", "/etc/pulsemeter/mqtt-password", text=MQTT_PASSWORD)
        self.machine.run("systemctl", "restart", METER, check=False)
        self.machine.wait(lambda: self.machine.show(METER, "ActiveState", "ExecMainStatus") == ["failed", "2"], "the meter to give up")
        remedy = 'put it into the folder /etc/pulsemeter/broker, and write "broker/mqtt-password"'
        self.assertIn(remedy, self.machine.run("journalctl", "--no-pager", "-u", METER).stdout)
        files = self.doctor()["broker files"]
        self.assertEqual([files["health"], files["remedy"]], ["wrong", remedy])

        self.machine.run("install", "-D", "-m", "600", "/dev/stdin", "/etc/pulsemeter/broker/mqtt-password", text=MQTT_PASSWORD)
        config.write_text(config.read_text().replace('"mqtt-password"', '"broker/mqtt-password"'))
        self.machine.run("systemctl", "start", METER)
        self.wait_for_more_readings()
        found = self.doctor()
        self.assertEqual([found[each]["health"] for each in ("broker files", "login", "server")], ["ok"] * 3)

        self.machine.run("touch", "/dev/gpiochip9")  # a chip that answers nonsense is a line of the report
        found = self.doctor()
        self.assertEqual([found["sensor line"]["health"], found["level"]["health"], found["login"]["health"]], ["wrong", "not looked at", "ok"])
        self.machine.run("rm", "/dev/gpiochip9")

    def test_6_an_upgrade_restarts_and_goes_on(self):
        for unit, secret in [(METER, "meter.toml"), (SERVER, "server.password")]:
            self.check_upgrade_of_one_that_cannot_start(unit, self.machine.root / "etc/pulsemeter" / secret)
        before, epoch = {unit: self.machine.show(unit, "MainPID") for unit in UNITS}, self.register()["epoch"]
        for package in PACKAGES.values():
            shutil.copy(made := newer(package, self.folder), self.machine.root / "root")
            self.machine.run("dpkg", "-i", f"/root/{made.name}")
        for unit in UNITS:
            state, pid = self.machine.show(unit, "ActiveState", "MainPID")
            self.assertEqual(state, "active")
            self.assertNotEqual(pid, before[unit])
        self.wait_for_more_readings()
        self.assertEqual(self.register()["epoch"], epoch)

    def check_upgrade_of_one_that_cannot_start(self, unit, secret):
        right = secret.read_text()
        secret.write_text("something else")
        done = self.machine.run("dpkg", "-i", f"/root/{PACKAGES[unit].name}")
        self.assertIn(f"{unit}.service does not start: see journalctl -u {unit}.service", done.stderr)
        self.assertEqual(self.machine.run("dpkg-query", "-W", "-f", "${Status}", unit).stdout, "install ok installed")
        secret.write_text(right)
        self.machine.run("systemctl", "reset-failed", unit)
        self.machine.run("systemctl", "start", unit)

    def test_7_remove_keeps_the_register_and_what_is_configured(self):
        total = self.register()["total_pulses"]
        self.machine.run("dpkg", "--remove", *UNITS)
        self.assertGreaterEqual(self.register()["total_pulses"], total)
        for unit in UNITS:
            self.assertNotEqual(self.machine.show(unit, "ActiveState"), "active")
        for path in ["etc/pulsemeter/meter.toml", "etc/pulsemeter/server.password", "var/lib/pulsemeter-server/keystore.json"]:
            self.assertTrue((self.machine.root / path).exists(), path)
        self.machine.run("dpkg", "-i", *(f"/root/{unit}_99.0.deb" for unit in UNITS))
        self.wait_for_more_readings()

    def test_8_purge_keeps_no_secret(self):
        rows = len(self.readings())
        self.as_server("backup", "--out", "/run/out/backup")
        self.as_server("restore", "--from", "/run/out/backup")
        aside, = (self.machine.root / STATE[SERVER].lstrip("/")).glob("replaced-*")
        for folder, owner in [("/etc/pulsemeter/broker", "root"), ("/etc/pulsemeter", "root"), (STATE[SERVER], SERVER),
                              (f"{STATE[SERVER]}/{aside.name}", SERVER)]:
            for name, secret in [("mqtt-password", MQTT_PASSWORD), ("hall.key", CLIENT_KEY)]:
                self.machine.run("install", "-D", "-m", "600", "-o", owner, "/dev/stdin", f"{folder}/{name}", text=secret)
        for secret in [MQTT_PASSWORD, CLIENT_KEY]:
            found = self.machine.run("grep", "-rlF", "-e", secret, "/etc/pulsemeter", *STATE.values())
            self.assertEqual(len(found.stdout.splitlines()), 4)
        shutil.copy(BUILD / "server/meter-server", self.machine.root / "opt/native")
        self.machine.run("dpkg", "--purge", *UNITS)
        self.machine.run("rm", "-r", "/run/out", "/run/password")
        for secret in [self.key, PASSWORD, MQTT_PASSWORD, CLIENT_KEY]:
            found = self.machine.run("grep", "-rlF", "--exclude-dir=proc", "--exclude-dir=sys", "--exclude-dir=dev", "-e", secret, "/", check=False)
            self.assertEqual(found.stdout, "")
        for path in ["etc/pulsemeter", "var/lib/pulsemeter-meter", "var/lib/pulsemeter-server/keystore.json",
                     "var/lib/pulsemeter-server/server.toml"]:
            self.assertFalse((self.machine.root / path).exists(), path)
        left = (self.machine.root / "var/lib/pulsemeter-server").rglob("*")
        self.assertEqual({path.name.partition("-")[0] for path in left}, {"ledger.sqlite", "replaced"})
        self.assertGreater((self.machine.root / "var/lib/pulsemeter-server/ledger.sqlite").stat().st_size, 0)
        self.assertGreater((aside / "ledger.sqlite").stat().st_size, 0)
        self.assertGreater(rows, 0)


def main():
    global BUILD, PI_BUILD, TREE, PACKAGES
    arguments = [pathlib.Path(each).resolve() for each in sys.argv[1:] if each != "--long"]
    BUILD, PI_BUILD, TREE = arguments + [ROOT / "build/dev", ROOT / "build/pi", ROOT / "build/package/clean.tar"][len(arguments):]
    PACKAGES = {METER: archive_of(PI_BUILD, METER), SERVER: archive_of(BUILD, SERVER)}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the machine is ended too
    classes = [Packages, *([ServerForThePi] if "--long" in sys.argv else []), Services]
    tests = unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromTestCase, classes))
    result = unittest.TextTestRunner(verbosity=2, failfast=True).run(tests)
    for test, why in result.skipped:
        print(f"skipped: {test}: {why}")
    failed = len(result.errors) + len(result.failures)
    run = result.testsRun - sum(isinstance(test, unittest.TestCase) for test, _ in result.skipped)  # a class counts as none
    skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
    print(f"{run - failed} passed, {failed} failed{skipped}")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
