"""What the tests of private brokers stand on: a mosquitto with settings of its own, and both programs on it."""
import pathlib
import re
import subprocess

from authority import Authority
from harness import Broker, Case

USER, SECRET = "hall-meter", "a broker's secret 9!"
VERSIONS = {"5": "5", "3_1_1": "3.1.1"}
DYNAMIC_SECURITY = next(iter(pathlib.Path("/usr/lib").glob("*/mosquitto_dynamic_security.so")), None)


class PrivateCase(Case):
    """`lines` are mosquitto's; a broker given "tls" shows a certificate of self.ca."""

    def setUp(self):
        super().setUp()
        self.url, self.settings = None, {}

    def ca_(self):
        if not hasattr(self, "ca"):
            self.ca = Authority(self.folder / "ca")
        return self.ca

    def private_broker(self, *lines, tls=False, host="127.0.0.1", certificate=None, start=True):
        self.broker_ = Broker(self)
        self.set_lines(*lines, tls=tls, certificate=certificate)
        if start:
            self.broker_.start()
        self.url = f"{'mqtts' if tls else 'mqtt'}://{host}:{self.broker_.port}"
        return self.broker_

    def set_lines(self, *lines, tls=False, certificate=None):
        kept = [line for line in self.broker_.config.read_text().splitlines()
                if line.split()[0] in ("listener", "log_dest", "log_type", "connection_messages", "persistence", "user",
                                       "persistence_location")]
        if tls:
            cert, key = certificate or self.ca_().sign("broker")
            kept += [f"certfile {cert}", f"keyfile {key}"]
        self.broker_.config.write_text("\n".join([*kept, *(lines or ("allow_anonymous true",))]) + "\n")

    def users(self):
        """A password file with one user and his password."""
        path = self.folder / "users"
        path.touch(0o600)
        subprocess.run(["mosquitto_passwd", "-b", path, USER, SECRET], check=True, capture_output=True,
                       env={"PATH": "/usr/bin:/bin:/usr/sbin"}, timeout=20)
        return ("allow_anonymous false", f"password_file {path}")

    def password(self, text=SECRET):
        path = self.folder / f"secret-{len(list(self.folder.glob('secret-*')))}"
        return self.secret_file(path, text + "\n")

    def both(self, version="5", **settings):
        """A server and a meter whose [broker] has the settings, neither of them running."""
        server = self.server(self.broker_, initialise=False)
        server.command("init", "--broker", self.url, password=True, check=True)
        meter = server.add()
        self.set_both(server, meter, mqtt_version=version, **settings)
        return server, meter

    def set_both(self, server, meter, **settings):
        as_text = {key: None if value is None else str(value) for key, value in settings.items()}
        meter.configure(**{f"broker_{key}": value for key, value in as_text.items()})
        server.configure(**{f"broker_{key}": value for key, value in as_text.items()})

    def run_both(self, server, meter):
        server.run(connected=False)
        meter.run()
        return server.process, meter.process

    def wait_healed(self, server, meter):
        count = len(re.findall("confirmed by the server", meter.process.out()))
        meter.process.wait_out(r"confirmed by the server", count=count + 1)
        self.assertTrue(server.process.running() and meter.process.running())

    def refused(self, server, meter, *words):
        """Each says in one line, which holds the words, why it can't be, and stays up."""
        for process in self.run_both(server, meter):
            pattern = "(?m)^.*" + ".*".join(re.escape(word) for word in words) + ".*$"
            process.wait_err(pattern)
            said = [line for line in process.err().splitlines() if " warning: " in line]
            self.assertEqual(len(said), 1, process.err())
            self.assertIn(self.url, said[0])
            self.assertTrue(process.running())
            self.assertNotIn(SECRET, process.err() + process.out())
        self.assertNotIn("confirmed by", meter.process.out())
