"""What meter add writes about the broker is what the meter then reads, and connects by."""
import subprocess

from harness import Meter
from private_broker import SECRET, USER, PrivateCase


class MeterAdd(PrivateCase):
    def test_the_settings_of_the_broker_are_carried_into_the_meters_file(self):
        self.private_broker(tls=True)
        server, _ = self.both("3.1.1", ca_file=self.ca.cert, username="server", password_file=self.password())
        out = server.folder / "attic.toml"
        done = server.command("meter", "add", "attic", "--out", out, password=True, check=True)
        self.assertRegex(done.stderr, r"the server has username, password_file, ca_file.*--broker-username")
        text = out.read_text()
        self.assertIn(f'url = "{self.url}"', text)
        self.assertIn('mqtt_version = "3.1.1"', text)
        for key in ("username", "password_file", "ca_file", "ca_folder", "client_cert", "client_key"):
            self.assertRegex(text, rf"(?m)^#{key} = ")
        self.assertNotIn(str(self.ca.cert), text)

    def test_options_give_the_meter_its_own(self):
        self.private_broker(*self.users(), tls=True)
        server, _ = self.both()
        out, secret = server.folder / "attic.toml", self.password()
        server.command("meter", "add", "attic", "--out", out, "--interval", "1", "--broker-username", USER,
                       "--broker-password-file", secret, "--broker-ca-file", self.ca.cert, password=True, check=True)
        server.configure(broker_username=USER, broker_password_file=str(secret), broker_ca_file=str(self.ca.cert))
        meter = Meter(self, "attic", out)
        self.assertEqual(meter.setting("username"), USER)
        server.run()
        meter.run()
        meter.process.wait_out(r"confirmed by the server")

    def test_A1_a_url_a_folder_of_cas_and_a_certificate_lead_to_a_connection(self):
        cert, key = self.ca_().sign("client", "DNS:client")
        self.private_broker("allow_anonymous true", f"cafile {self.ca.cert}", "require_certificate true", tls=True)
        server, _ = self.both(ca_file=self.ca.cert, client_cert=cert, client_key=key)
        out, url = server.folder / "attic.toml", f"mqtts://localhost:{self.broker_.port}"
        server.command("meter", "add", "attic", "--out", out, "--interval", "1", "--broker", url, "--broker-ca-folder",
                       self.ca.hashed_folder(), "--broker-client-cert", cert, "--broker-client-key", key, password=True,
                       check=True)
        meter = Meter(self, "attic", out)
        self.assertEqual(meter.setting("url"), url)
        server.run()
        meter.run()
        meter.process.wait_out(r"confirmed by the server")

    def test_what_meter_pi_would_not_read_is_refused_by_the_options_name(self):
        self.private_broker(tls=True)
        server, _ = self.both()
        out, certs = server.folder / "attic.toml", ("--broker-client-cert", "/c", "--broker-client-key", "/k")
        name = ("--broker-username", "hall")
        wrong = [(("--broker-username", b"a\nb"), "--broker-username", "control characters"),
                 (("--broker-username", b"caf\xe9"), "--broker-username", "UTF-8"),
                 (("--broker-username", "a" * 1025), "--broker-username", "1024 bytes"),
                 (("--broker-username", ""), "--broker-username", "empty"),
                 ((*name, "--broker-password-file", ""), "--broker-password-file", "empty"),
                 ((*name, "--broker-password-file", b"\xff"), "--broker-password-file", "UTF-8"),
                 (("--broker-ca-file", ""), "--broker-ca-file", "empty"),
                 (("--broker-ca-file", b"\xff"), "--broker-ca-file", "UTF-8"),
                 (("--broker-ca-folder", b"\xff"), "--broker-ca-folder", "UTF-8"),
                 ((*certs[:2], "--broker-client-key", b"\xff"), "--broker-client-key", "UTF-8"),
                 (("--broker-client-cert", b"\xff", *certs[2:]), "--broker-client-cert", "UTF-8"),
                 (("--broker", ""), "--broker:", "no broker URL"),
                 (("--broker", "http://h"), "--broker:", "no broker URL"),
                 (("--wire", "classic", "--key-file", ""), "--key-file", "empty")]
        for words, *said in wrong:
            with self.subTest(words):
                command = [*server.arguments("meter", "add", "attic", "--out", out, password=True), *words]
                done = subprocess.run(command, capture_output=True, env=self.environment, stdin=subprocess.DEVNULL,
                                      timeout=30)
                done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode("utf-8", "backslashreplace")
                self.assert_refused(done, 2, *said)
                self.assertFalse(out.exists())
        self.assertNotIn("attic", server.command("meter", "list", check=True).stdout)

    def test_a_user_name_of_any_letters_is_what_the_meter_reads(self):
        self.private_broker()
        server, _ = self.both()
        for number, name in enumerate(('caf\u00e9 "\\', "\u96fb", "a" * 1024)):
            out = server.folder / f"attic{number}.toml"
            server.command("meter", "add", f"attic{number}", "--interval", "1", "--out", out, "--broker-username", name,
                           password=True, check=True)
            meter = Meter(self, f"attic{number}", out)
            meter.run()
            meter.process.wait_err("connected to the broker")
            self.assertIn(f"u'{name[:20]}", self.broker_.log())

    def test_a_line_end_of_windows_is_none_of_a_secrets(self):
        self.private_broker(*self.users())
        server, _ = self.both()
        out, secret = server.folder / "attic.toml", self.secret_file(self.folder / "crlf", SECRET + "\r\n")
        server.command("meter", "add", "attic", "--interval", "1", "--out", out, "--broker-username", USER,
                       "--broker-password-file", secret, password=True, check=True)
        meter = Meter(self, "attic", out)
        meter.run()
        meter.process.wait_err("connected to the broker")
        for end in ("", "\n", "\r\n"):
            name = f"old{len(end)}"
            key = self.secret_file(self.folder / f"{name}.key", "A" * 43 + "=" + end)
            server.command("meter", "add", name, "--wire", "classic", "--up-topic", f"{name}/up", "--down-topic",
                           f"{name}/down", "--out", server.folder / f"{name}.toml", "--key-file", key, password=True,
                           check=True)

    def test_what_does_not_go_together_is_refused(self):
        self.private_broker()
        server, _ = self.both()
        out = server.folder / "attic.toml"
        for words, said in ((("--broker-ca-file", "/x"), "mqtts://"),
                            (("--broker-client-cert", "/x"), "--broker-client-key"),
                            (("--broker-password-file", "/x"), "--broker-username"),
                            (("--broker", "mqtts://h", "--broker-ca-file", "/x", "--broker-ca-folder", "/y"),
                             "--broker-ca-")):
            done = server.command("meter", "add", "attic", "--out", out, *words, password=True)
            self.assert_refused(done, 2, said)
            self.assertFalse(out.exists())
