"""Row A1 and the old private-broker list: both programs on every form of broker, by MQTT 5 and 3.1.1, and what each
says of a broker that it may not or will not use."""
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import unittest

from authority import RSA_KEY, Authority
from harness import LONG, Broker, Case, Meter, Process, Terminal, listening

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


class Forms(PrivateCase):
    def works(self, version, **settings):
        server, meter = self.both(version, **settings)
        self.run_both(server, meter)
        meter.process.wait_out(r"confirmed by the server", count=2)
        server.process.wait_err(rf"connected to {re.escape(self.url)}$")
        meter.process.stop()
        self.wait_equal_totals(server, meter)
        protocol = {"5": "p5", "3.1.1": "p2"}[version]
        connections = re.findall(r"New client connected from .*", self.broker_.log())
        self.assertTrue(connections)
        for connection in connections:
            self.assertIn(f"({protocol},", connection)
            if "username" in settings:
                self.assertIn(f"u'{settings['username']}'", connection)
        status = server.command("broker", "status", check=True).stdout
        self.assertRegex(status, r"version +mosquitto version")
        for process in self.processes:
            self.assertNotIn(SECRET, process.out() + process.err())
        return server, meter

    def form(self, name, tls, version):
        host, lines, settings = "127.0.0.1", (), {}
        if tls:
            self.ca_()
        if name == "user_only":
            lines, settings = ("allow_anonymous true",), {"username": USER}
        if name == "password":
            lines, settings = self.users(), {"username": USER, "password_file": self.password()}
        if name == "client_certificate":
            cert, key = self.ca.sign("client", "DNS:client")
            lines = ("allow_anonymous true", f"cafile {self.ca.cert}", "require_certificate true")
            settings = {"client_cert": cert, "client_key": key}
        if name == "ca_folder":
            settings, host = {"ca_folder": self.ca.hashed_folder()}, "localhost"
        elif tls:
            settings["ca_file"] = self.ca.cert
        self.private_broker(*lines, tls=tls, host=host)
        self.works(version, **settings)

    def test_A1_the_systems_list_is_what_is_trusted_if_nothing_is_named(self):
        self.private_broker(tls=True)
        self.environment["SSL_CERT_FILE"] = str(self.ca.cert)  # where OpenSSL looks for the system's list
        self.works("5")

    def test_A1_a_self_signed_certificate_that_is_named_is_trusted(self):
        certificate = self.ca_().self_signed("broker")
        self.private_broker(tls=True, host="localhost", certificate=certificate)
        self.works("5", ca_file=certificate[0])

    def test_K7_the_brokers_secrets_are_in_no_argument_environment_output_or_store(self):
        cert, key = self.ca_().sign("client", "DNS:client")
        self.private_broker(*self.users(), f"cafile {self.ca.cert}", "require_certificate true", tls=True)
        server, meter = self.both(username=USER, password_file=self.password(), ca_file=self.ca.cert,
                                  client_cert=cert, client_key=key)
        processes = self.run_both(server, meter)
        self.wait_healed(server, meter)
        places = {f"/proc/{process.pid}/{what}": pathlib.Path(f"/proc/{process.pid}/{what}").read_text()
                  for process in processes for what in ("cmdline", "environ")}
        self.assertTrue(all(places.values()))
        for process in processes:
            places |= {f"stdout of {process.name}": process.out(), f"stderr of {process.name}": process.err()}
        for file in [*server.data.rglob("*"), *meter.state.rglob("*"), meter.config]:
            if file.is_file():
                places[str(file)] = file.read_bytes().decode("latin-1")
        for place, content in places.items():
            for secret in (SECRET, key.read_text().splitlines()[1]):
                self.assertNotIn(secret, content, place)

    def test_a_credential_of_systemd_is_found_by_its_name(self):
        self.private_broker(*self.users())
        credentials = self.folder / "credentials"
        credentials.mkdir(mode=0o700)
        self.secret_file(credentials / "mqtt-password", SECRET)
        self.environment["CREDENTIALS_DIRECTORY"] = str(credentials)
        self.works("5", username=USER, password_file="mqtt-password")

    def test_a_file_is_looked_for_beside_the_configuration(self):
        self.private_broker(*self.users())
        server, meter = self.both(username=USER, password_file="mqtt-password")
        for folder in (server.data, meter.config.parent):
            self.secret_file(folder / "mqtt-password", SECRET)
        self.run_both(server, meter)
        self.wait_healed(server, meter)


class Refusals(PrivateCase):
    """One line says why and what to do; both programs stay up, and work as soon as the broker or the file is mended."""

    def refused(self, server, meter, *words):
        for process in self.run_both(server, meter):
            pattern = "(?m)^.*" + ".*".join(re.escape(word) for word in words) + ".*$"
            process.wait_err(pattern)
            said = [line for line in process.err().splitlines() if " warning: " in line]
            self.assertEqual(len(said), 1, process.err())
            self.assertIn(self.url, said[0])
            self.assertTrue(process.running())
            self.assertNotIn(SECRET, process.err() + process.out())
        self.assertNotIn("confirmed by", meter.process.out())

    def bad_certificate(self, certificate, *words, **settings):
        self.ca_()
        self.private_broker(tls=True, host="localhost", certificate=certificate)
        server, meter = self.both(**{"ca_file": self.ca.cert, **settings})
        self.refused(server, meter, *words)
        self.assertNotIn("New client connected", self.broker_.log())
        self.assertNotIn("CONNECT", self.broker_.log())  # not a word before the certificate was good
        self.broker_.stop()
        self.set_lines(tls=True)
        self.broker_.start()
        self.wait_healed(server, meter)

    def test_A1_an_expired_certificate(self):
        self.bad_certificate(self.ca_().sign("old", expired=True), "has expired", "renew it")

    def test_A1_a_certificate_for_another_host(self):
        self.bad_certificate(self.ca_().sign("other", "DNS:other.example,IP:127.0.0.2"), "wrong host",
                             "other.example", "not for localhost", "use such a name")

    def test_A1_a_certificate_for_another_address(self):
        self.ca_()
        self.private_broker(tls=True, certificate=self.ca.sign("other", "DNS:localhost,IP:127.0.0.2"))
        server, meter = self.both(ca_file=self.ca.cert)
        self.refused(server, meter, "wrong host", "127.0.0.2", "not for 127.0.0.1")

    def test_A1_a_certificate_of_an_unknown_ca(self):
        stranger = Authority(self.folder / "stranger", "A Stranger")
        self.bad_certificate(stranger.sign("broker"), "unknown CA", "A Stranger", "ca_file in [broker]")

    def test_A1_a_self_signed_certificate(self):
        self.bad_certificate(self.ca_().self_signed("alone"), "self-signed", "ca_file in [broker]")

    def test_A1_no_client_certificate(self):
        for tls in ("tlsv1.2", "tlsv1.3"):
            with self.subTest(tls):
                self.ca_()
                self.private_broker("allow_anonymous true", f"cafile {self.ca.cert}", "require_certificate true",
                                    f"tls_version {tls}", tls=True)
                server, meter = self.both(ca_file=self.ca.cert)
                self.refused(server, meter, "wants a client certificate", "client_cert and client_key")
                server.process.stop()
                meter.process.stop()

    def test_A1_a_client_certificate_of_an_unknown_ca(self):
        cert, key = Authority(self.folder / "stranger", "A Stranger").sign("client", "DNS:client")
        self.ca_()
        self.private_broker("allow_anonymous true", f"cafile {self.ca.cert}", "require_certificate true", tls=True)
        server, meter = self.both(ca_file=self.ca.cert, client_cert=cert, client_key=key)
        self.refused(server, meter, "refuses our client certificate", "unknown CA", "signed by a CA that the broker")
        good, good_key = self.ca.sign("client", "DNS:client")  # the files change, the programs stay
        cert.write_bytes(good.read_bytes())
        key.write_bytes(good_key.read_bytes())
        self.wait_healed(server, meter)

    def test_A1_no_fall_back_to_plain_on_a_broker_without_tls(self):
        self.private_broker()
        self.url = f"mqtts://127.0.0.1:{self.broker_.port}"
        server, meter = self.both()
        self.refused(server, meter, "does not speak TLS on this port", "mqtt://")
        self.assertNotIn("New client connected", self.broker_.log())

    def test_A1_nothing_older_than_tls_1_2(self):
        self.ca_()
        cert, key = self.ca.self_signed("old", RSA_KEY)
        self.private_broker(tls=True, start=False)
        port = self.broker_.port
        # an RSA key exchange has nothing else about it that a security level of OpenSSL 3.0 objects to
        old = Process(self, "openssl", ["openssl", "s_server", "-accept", str(port), "-cert", cert, "-key", key,
                                        "-tls1_1", "-cipher", "AES128-SHA:@SECLEVEL=0"], stdin=subprocess.PIPE)
        self.wait(lambda: listening(port), "the old server", 20)
        server, meter = self.both(ca_file=cert)
        self.refused(server, meter, "no TLS 1.2 or newer", "update it")
        self.assertNotIn("CIPHER is", old.out(), "something was agreed on")

    def wrong_login(self, version, *words, **settings):
        self.private_broker(*self.users())
        server, meter = self.both(version, **settings)
        self.refused(server, meter, "not authorised", *words)
        self.set_lines("allow_anonymous true")
        self.broker_.stop()
        self.broker_.start()
        self.wait_healed(server, meter)

    def test_A1_no_login(self):
        self.wrong_login("5", "username and password_file in [broker]")

    def test_A1_a_user_name_alone(self):
        self.wrong_login("3.1.1", USER, "set password_file", username=USER)

    def test_A1_a_wrong_password_and_its_correction_in_the_file(self):
        for version in VERSIONS.values():
            with self.subTest(version):
                self.private_broker(*self.users())
                wrong = self.password(SECRET[:-1] + "?")
                server, meter = self.both(version, username=USER, password_file=wrong)
                self.refused(server, meter, "not authorised", USER, str(wrong), "correct them")
                self.assertNotIn(SECRET[:-1], server.process.err() + meter.process.err())
                wrong.write_text(SECRET)  # the file, while the programs run
                self.wait_healed(server, meter)
                server.process.stop()
                meter.process.stop()

    def test_A1_an_access_list_that_forbids_our_topics(self):
        access = self.folder / "access"
        access.write_text("topic read #\n")
        self.private_broker("allow_anonymous true", f"acl_file {access}")
        server, meter = self.both()
        server.run()
        meter.run()
        meter.process.wait_err(r"publishing to topic pulsemeter/.*/up: not authorised.*access list.*allow it there")
        access.write_text("topic readwrite pulsemeter/+/up\ntopic read #\n")
        self.broker_.process.send_signal(signal.SIGHUP)  # it reads its list anew
        server.process.wait_err(r"publishing to topic pulsemeter/.*/down: not authorised.*access list.*allow it there")
        access.write_text("topic readwrite #\n")
        self.broker_.process.send_signal(signal.SIGHUP)
        self.wait_healed(server, meter)

    @unittest.skipUnless(DYNAMIC_SECURITY, "mosquitto_dynamic_security.so is not there")
    def test_A1_a_forbidden_subscription_is_told_by_both_versions(self):
        access = self.folder / "access.json"  # the plug-in refuses it; an acl_file never would
        access.write_text(json.dumps({"defaultACLAccess": {"publishClientSend": True, "publishClientReceive": True,
                                                           "subscribe": False, "unsubscribe": True}}))
        for version in VERSIONS.values():
            with self.subTest(version):
                self.private_broker("allow_anonymous true", f"plugin {DYNAMIC_SECURITY}", f"plugin_opt_config_file {access}")
                server, meter = self.both(version)
                said = ("topic pulsemeter/", "not authorised", "access list forbids it to anonymous clients", "allow it")
                self.refused(server, meter, *said)
                done = self.run_command([*meter.arguments()[:1], "doctor", *meter.arguments()[2:4], "--state", meter.state])
                self.assertEqual(done.returncode, 1)
                line, = [line for line in done.stdout.splitlines() if " topics: " in line]
                for words in said:
                    self.assertIn(words, line)
                self.set_lines()
                self.broker_.stop()
                self.broker_.start()
                self.wait_healed(server, meter)
                server.process.stop()
                meter.process.stop()

    @unittest.skipUnless(LONG, "takes two minutes: --long")
    def test_A1_what_a_3_1_1_broker_does_not_tell_shows_as_a_silence(self):
        access = self.folder / "access"
        access.write_text("topic read #\n")
        self.private_broker("allow_anonymous true", f"acl_file {access}")
        server, meter = self.both("3.1.1")
        self.run_both(server, meter)
        meter.process.wait_err(r"nobody has answered for 2 minutes: .*publish to pulsemeter/.*/up.*doctor", 200)
        self.assertEqual(len(re.findall("nobody has answered", meter.process.err())), 1)
        access.write_text("topic readwrite #\n")
        self.broker_.process.send_signal(signal.SIGHUP)
        self.wait_healed(server, meter)

    def test_A1_a_closed_port(self):
        for tls in (False, True):
            with self.subTest(tls=tls):
                self.ca_()
                self.private_broker(tls=tls, start=False)
                server, meter = self.both(**({"ca_file": self.ca.cert} if tls else {}))
                self.refused(server, meter, "connection refused", "start the broker", "port")
                self.broker_.start()
                self.wait_healed(server, meter)
                server.process.stop()
                meter.process.stop()

    def test_A1_an_unknown_name(self):
        for tls in (False, True):
            with self.subTest(tls=tls):
                self.ca_()
                self.private_broker(tls=tls, host="no-such-host.invalid")
                server, meter = self.both(**({"ca_file": self.ca.cert} if tls else {}))
                self.refused(server, meter, "no-such-host.invalid", "DNS")
                server.process.stop()
                meter.process.stop()

    def test_A1_a_certificate_that_went_bad_under_a_running_pair(self):
        self.private_broker(tls=True)
        server, meter = self.both(ca_file=self.ca.cert)
        self.run_both(server, meter)
        self.wait_healed(server, meter)
        self.broker_.stop()
        self.set_lines(tls=True, certificate=self.ca.sign("old", expired=True))
        self.broker_.start()
        taken = len(re.findall(r"reading \d+: ", meter.process.out()))
        meter.process.wait_out(r"reading \d+: ", count=taken + 3)  # it counts on
        self.broker_.stop()
        self.set_lines(tls=True)
        self.broker_.start()
        self.wait_healed(server, meter)


class HangingDns(PrivateCase):
    """With TLS Paho looks the name up for itself, under a lock that all of its functions take."""

    def test_C4_the_meter_counts_on_while_paho_waits_for_dns(self):
        apart = ["unshare", "--net", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
        if subprocess.run([*apart, "true"], capture_output=True, timeout=20).returncode != 0:
            self.skipTest("no namespaces of our own here")
        self.private_broker()
        server, meter = self.both()
        meter.configure(broker_url="mqtts://broker.test")
        resolv_conf = self.folder / "resolv.conf"
        helper = pathlib.Path(__file__).with_name("hanging_dns.py")
        process = Process(self, "meter-pi", [*apart, "/usr/bin/python3", helper, resolv_conf, "2", *meter.arguments()])
        log = resolv_conf.with_name("resolv.conf.log")
        self.wait(lambda: log.exists() and "left open" in log.read_text(), "Paho's question")
        process.wait_err(r"broker\.test:8883: no answer within 10 s")  # and here it was given up, but not by Paho
        counted = len(re.findall(r"pulses counted", process.out()))
        process.wait_out(r"pulses counted", count=counted + 3, timeout=30)
        process.stop()  # nor does the end wait for it


class BadFiles(PrivateCase):
    """What can be seen without a broker ends with 2 and a line that names key, file and remedy."""

    def check(self, server, meter, *words):
        self.assert_refused(self.run_command(meter.arguments()), 2, *words)
        self.assert_refused(server.command("broker", "status"), 2, *words)

    def test_K7_files_that_are_not_what_they_should_be(self):
        cert, key = self.ca_().sign("client", "DNS:client")
        _, other_key = self.ca.sign("other", "DNS:other")
        self.private_broker(tls=True)
        server, meter = self.both()
        missing, junk, empty = (self.folder / name for name in ("missing", "junk", "empty"))
        self.secret_file(junk, "no certificate\n")
        self.secret_file(empty, "")
        bare = self.folder / "bare"
        bare.mkdir()
        (bare / "ca.pem").write_bytes(self.ca.cert.read_bytes())
        both = {"client_cert": cert, "client_key": key}
        for settings, words in (({"ca_file": missing}, ("ca_file", missing, "No such file")),
                                ({"ca_file": junk}, ("ca_file", junk, "no certificate")),
                                ({"ca_folder": missing}, ("ca_folder", missing)),
                                ({"ca_folder": self.ca.cert}, ("ca_folder", self.ca.cert, "no folder")),
                                ({"ca_folder": bare}, ("ca_folder", bare, f"openssl rehash {bare}")),
                                ({**both, "client_cert": junk}, ("client_cert", junk, "no certificate")),
                                ({**both, "client_key": junk}, ("client_key", junk, "no private key")),
                                ({**both, "client_key": other_key}, ("client_key", other_key, "is not the key of")),
                                ({"username": USER, "password_file": missing}, ("password_file", missing)),
                                ({"username": USER, "password_file": empty}, ("password_file", empty, "is empty"))):
            with self.subTest(str(settings)):
                self.set_both(server, meter, **settings)
                self.check(server, meter, *words)
                self.set_both(server, meter, **dict.fromkeys(settings))

    def test_K7_a_secret_that_others_may_read_is_refused(self):
        cert, key = self.ca_().sign("client", "DNS:client")
        self.private_broker(tls=True)
        server, meter = self.both()
        secret = self.password()
        for path, settings in ((key, {"client_cert": cert, "client_key": key}),
                               (secret, {"username": USER, "password_file": secret})):
            self.set_both(server, meter, **settings)
            for mode in (0o640, 0o604):
                path.chmod(mode)
                self.check(server, meter, path, "chmod 600")
            self.assert_refused(server.command("run", password=True), 2, path, "chmod 600")
            self.set_both(server, meter, **dict.fromkeys(settings))

    def test_tls_files_of_a_broker_without_tls_are_refused(self):
        self.private_broker()
        server, meter = self.both(ca_file=self.ca_().cert)
        self.check(server, meter, "broker.ca_file", "mqtts://")

    def test_status_and_readings_need_no_file_of_the_brokers(self):
        self.private_broker(tls=True)
        server, _ = self.both(ca_file=self.folder / "missing")
        server.command("status", check=True)
        server.command("readings", "hall", check=True)


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


class Asking(PrivateCase):
    """meter-server broker status and broker listen."""

    ESCAPES = b"\x1b[2J\x1b]0;mine\x07\xc2\x9b31m\r\nsecond line\x00\xff"

    def pair(self):
        self.private_broker()
        server, meter = self.both()
        self.run_both(server, meter)
        meter.process.wait_out(r"confirmed by the server")
        return server, meter

    def listen(self, server, *words, **popen):
        process = Process(self, "listen", server.arguments("broker", "listen", *words), **popen)
        process.wait_err("listening to ")
        return process

    def test_status_shows_the_brokers_figures_by_both_versions(self):
        self.private_broker("allow_anonymous true", "sys_interval 1")
        for version in VERSIONS.values():
            server, _ = self.both(version)
            done = server.command("broker", "status", check=True)
            self.assertEqual(done.stderr, "")
            self.assertIn(f"connected to {self.url}\n", done.stdout)
            for figure in (r"version +mosquitto version \d", r"uptime +\d+ seconds", r"clients connected +\d",
                           r"messages received +\d", r"messages sent +\d"):
                self.assertRegex(done.stdout, rf"(?m)^{figure}")
            answer = json.loads(server.command("broker", "status", "--json", check=True).stdout)
            self.assertEqual(answer["broker"], self.url)
            self.assertIn("mosquitto version", answer["sys"]["$SYS/broker/version"])
            self.assertGreater(len(answer["sys"]), 20)

    def test_status_says_plainly_that_there_are_no_figures(self):
        self.private_broker("allow_anonymous true", "sys_interval 0")
        server, _ = self.both()
        done = server.command("broker", "status", check=True)
        self.assertIn(f"connected to {self.url}, which gives no $SYS figures", done.stdout)
        self.assertEqual(json.loads(server.command("broker", "status", "--json", check=True).stdout)["sys"], {})

    def test_A1_status_of_a_broker_that_refuses_is_its_reason_and_1(self):
        self.private_broker(*self.users())
        server, _ = self.both()
        self.assert_refused(server.command("broker", "status"), 1, self.url, "not authorised", "username")
        self.broker_.stop()
        self.assert_refused(server.command("broker", "status"), 1, self.url, "connection refused")

    def test_listen_opens_what_is_ours_and_marks_what_is_not(self):
        server, meter = self.pair()
        listener = self.listen(server, "#", "--password-file", server.password_file)
        topic = r"pulsemeter/[0-9a-f]{32}"
        listener.wait_out(rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  {topic}/up, QoS 1, 248 bytes: meter hall: reading 1/\d+, "
                          r"\d+ pulses at 1000 imp/kWh, simulated")
        listener.wait_out(rf"{topic}/down, QoS 1, 248 bytes: to meter hall: confirmed 1/\d+ to 1/\d+$")
        up = re.search(rf"{topic}/up", listener.out()).group()
        tap = self.tap(self.broker_)
        tap.publish(up, b"junk")
        tap.publish("house/light", b"on", retain=True)
        listener.wait_out(rf"{up}, QoS 1, 4 bytes: not ours, though on the topic of meter hall: junk$")
        listener.wait_out(r"house/light, QoS 1, 2 bytes: not ours: on$")
        listener.stop(signal.SIGINT)
        again = self.listen(server, "house/+", "--password-file", server.password_file)
        again.wait_out(r"house/light, QoS 1, retained, 2 bytes: not ours: on$")
        again.stop(signal.SIGTERM)
        self.assertNotIn("pulsemeter/", again.out())
        self.wait_healed(server, meter)

    def test_listen_lets_no_escape_sequence_reach_the_terminal(self):
        self.private_broker()
        server, _ = self.both()
        terminal = Terminal(self)
        process = Process(self, "listen", server.arguments("broker", "listen", "#", "--sealed"),
                          **terminal.popen_arguments(), stdout=terminal.slave, stderr=terminal.slave)
        terminal.wait("listening to ")
        tap = self.tap(self.broker_)
        tap.publish("evil", self.ESCAPES)  # mosquitto lets no control character into a topic; traffic_test.cpp does
        tap.publish("end", b"the end")
        terminal.wait("the end")
        shown = terminal.text()
        self.assertIn(r"evil, QoS 1, 33 bytes: \x1b[2J\x1b]0;mine\x07\xc2\x9b31m\x0d\nsecond line\x00\xff", shown)
        after = shown[shown.index("evil"):]
        self.assertEqual([c for c in after if ord(c) < 0x20 and c not in "\r\n" or 0x7f <= ord(c) < 0xa0], [])
        self.assertNotIn("\nsecond line", after)
        terminal.type("\n")  # Enter ends it
        self.assertEqual(process.wait_exit(), 0)

    def test_A2_listen_opens_nothing_without_the_password(self):
        server, _ = self.pair()
        self.assert_refused(self.run_command(server.arguments("broker", "listen", "#")), 2, "--password-file")
        wrong = self.secret_file(self.folder / "wrong", "another password\n")
        self.assert_refused(self.run_command([*server.arguments("broker", "listen", "#"), "--password-file", wrong]), 3,
                            "Authentication failed")
        sealed = self.listen(server, "#", "--sealed")
        sealed.wait_out(r"pulsemeter/[0-9a-f]{32}/up, QoS 1, 248 bytes: gAAAA")
        sealed.stop()
        self.assertNotIn("hall", sealed.out())

    def test_listen_refuses_what_is_no_filter(self):
        self.private_broker()
        server, _ = self.both()
        for wrong in ("", "a#", "#/a", "a+b", "a\nb", "a\x1b[2J"):
            self.assert_refused(server.command("broker", "listen", "--sealed", wrong), 2, "no topic filter", "#")

    def test_D6_listen_outlives_a_restart_of_the_broker(self):
        self.private_broker()
        server, _ = self.both()
        listener = self.listen(server, "#", "--sealed")
        self.broker_.stop()
        listener.wait_err("connection lost; trying again|shuts down; trying again")
        self.broker_.start()
        listener.wait_err("listening to ", count=2)
        self.tap(self.broker_).publish("a", b"back again")
        listener.wait_out("back again")
        listener.stop()


def _add(form, tls, name):
    setattr(Forms, f"test_{'A1_' if tls else ''}{form}_{'tls' if tls else 'plain'}_mqtt_{name}",
            lambda self: self.form(form, tls, VERSIONS[name]))


for _form, _name in itertools.product(("anonymous", "user_only", "password"), VERSIONS):
    _add(_form, False, _name)
for _form, _name in itertools.product(("anonymous", "user_only", "password", "ca_folder", "client_certificate"),
                                      VERSIONS):
    _add(_form, True, _name)
