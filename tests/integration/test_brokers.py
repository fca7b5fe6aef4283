"""Row A1 and the old private-broker list: both programs on every form of broker, by MQTT 5 and 3.1.1, and what each
says of a broker that it may not or will not use."""
import itertools
import os
import pathlib
import re
import subprocess

from authority import RSA_KEY, Authority
from harness import Process, listening
from private_broker import SECRET, USER, VERSIONS, PrivateCase

SYSTEMS_FOLDER = pathlib.Path("/etc/ssl/certs")


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

    def test_A1_a_copy_of_the_systems_folder_with_a_ca_of_ones_own(self):
        folder = self.ca_().hashed_folder(SYSTEMS_FOLDER)
        self.assertGreater(len(list(folder.glob("*.0"))), 50)  # links to links, as the system has them
        self.assertTrue(all(path.is_symlink() for path in folder.glob("*.0")))
        self.private_broker(tls=True)
        self.works("5", ca_folder=folder)

    def test_A1_a_broker_that_sends_its_intermediate_ca(self):
        below = self.ca_().intermediate("Test Intermediate")
        cert, key = below.sign("chained")
        cert.write_bytes(cert.read_bytes() + below.cert.read_bytes())
        self.private_broker(tls=True, certificate=(cert, key))
        self.works("5", ca_file=self.ca.cert)

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

    def test_a_service_says_where_a_file_goes_that_it_is_not_handed(self):
        credentials = self.folder / "credentials"
        credentials.mkdir(mode=0o700)
        server = self.server(self.private_broker(*self.users()))
        meter = server.add(broker_username=USER, broker_password_file="mqtt-password")
        meter.config = meter.config.rename(credentials / "meter.toml")
        self.environment["CREDENTIALS_DIRECTORY"] = str(credentials)
        for name, there in (("mqtt-password", "broker_else"), ("broker/mqtt-password", "mqtt-password")):
            meter.configure(broker_password_file=name)
            self.secret_file(credentials / there, SECRET)
            self.assert_refused(self.run_command(meter.arguments()), 2, "broker.password_file: the service is not handed this file",
                                "/etc/pulsemeter/broker", '"broker/mqtt-password"')
            (credentials / there).unlink()
        self.secret_file(credentials / "broker_mqtt-password", SECRET)
        meter.run().wait_err("connected to the broker")

    def test_a_file_is_looked_for_beside_the_configuration(self):
        self.private_broker(*self.users())
        server, meter = self.both(username=USER, password_file="mqtt-password")
        for folder in (server.data, meter.config.parent):
            self.secret_file(folder / "mqtt-password", SECRET)
        self.run_both(server, meter)
        self.wait_healed(server, meter)


class Refusals(PrivateCase):
    """One line says why and what to do; both programs stay up, and work as soon as the broker or the file is mended."""

    def bad_certificate(self, certificate, *words, heals=True, **settings):
        self.ca_()
        self.private_broker(tls=True, host="localhost", certificate=certificate)
        server, meter = self.both(**{"ca_file": self.ca.cert, **settings})
        self.refused(server, meter, *words)
        self.assertNotIn("New client connected", self.broker_.log())
        self.assertNotIn("CONNECT", self.broker_.log())  # not a word before the certificate was good
        if not heals:
            return
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

    def test_A1_an_unknown_ca_beside_the_systems_own_folder(self):
        self.bad_certificate(self.ca_().sign("broker"), "unknown CA", "Test CA", f"not in ca_folder {SYSTEMS_FOLDER}",
                             ca_file=None, ca_folder=SYSTEMS_FOLDER, heals=False)

    def test_A1_an_intermediate_ca_that_the_broker_does_not_send(self):
        self.ca_()
        below = self.ca.intermediate("Test Intermediate")
        self.private_broker(tls=True, certificate=below.sign("chained"))
        server, meter = self.both(ca_file=self.ca.cert)
        self.refused(server, meter, "unknown CA", "Test Intermediate", "have the broker send its whole chain")
        server.process.stop()
        meter.process.stop()
        self.set_both(server, meter, ca_file=below.cert)
        self.refused(server, meter, "not its root", "Test CA", "add the root's certificate")
        both = self.folder / "both.pem"
        both.write_bytes(below.cert.read_bytes() + self.ca.cert.read_bytes())
        below.cert.write_bytes(both.read_bytes())  # as the line says
        self.wait_healed(server, meter)

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

    def test_A1_a_client_certificate_that_is_not_good_for_it(self):
        self.ca_()
        good, good_key = self.ca.sign("client", "DNS:client")
        for certificate, why in ((self.ca.sign("late", "DNS:client", expired=True), "certificate expired"),
                                 (self.ca.sign("host", "DNS:client", purpose="serverAuth"), "unsupported certificate")):
            with self.subTest(why):
                cert, key = certificate
                self.private_broker("allow_anonymous true", f"cafile {self.ca.cert}", "require_certificate true", tls=True)
                server, meter = self.both(ca_file=self.ca.cert, client_cert=cert, client_key=key)
                self.refused(server, meter, "refuses our client certificate", str(cert), why, "have it renewed")
                cert.write_bytes(good.read_bytes())
                key.write_bytes(good_key.read_bytes())
                self.wait_healed(server, meter)
                server.process.stop()
                meter.process.stop()

    def test_A1_no_fall_back_to_plain_on_a_broker_without_tls(self):
        self.private_broker()
        self.url = f"mqtts://127.0.0.1:{self.broker_.port}"
        server, meter = self.both()
        self.refused(server, meter, "does not speak TLS on this port", "mqtt://")
        self.assertNotIn("New client connected", self.broker_.log())

    def test_A1_a_url_without_tls_at_a_port_for_it(self):
        self.private_broker(tls=True)
        self.url = self.url.replace("mqtts://", "mqtt://")
        for version, words in (("5", "if it is an older one, set mqtt_version"),
                               ("3.1.1", "if it is no MQTT broker, correct")):
            with self.subTest(version):
                server, meter = self.both(version)
                self.refused(server, meter, f"ends the connection at once: {words}",
                             "; if it wants TLS, let the url begin with mqtts://")
                server.process.stop()
                meter.process.stop()

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
                                ({**both, "client_key": self.under_a_passphrase(key)}, ("client_key", "passphrase")),
                                ({**both, "client_key": other_key}, ("client_key", other_key, "is not the key of")),
                                ({"username": USER, "password_file": missing}, ("password_file", missing)),
                                ({"username": USER, "password_file": empty}, ("password_file", empty, "is empty"))):
            with self.subTest(str(settings)):
                self.set_both(server, meter, **settings)
                self.check(server, meter, *words)
                self.set_both(server, meter, **dict.fromkeys(settings))

    def under_a_passphrase(self, key):
        path = self.secret_file(self.folder / "locked.key", "")
        subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:locked", "-out", path], check=True,
                       capture_output=True, timeout=60)
        return path

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


def _add(form, tls, name):
    setattr(Forms, f"test_{'A1_' if tls else ''}{form}_{'tls' if tls else 'plain'}_mqtt_{name}",
            lambda self: self.form(form, tls, VERSIONS[name]))


for _form, _name in itertools.product(("anonymous", "user_only", "password"), VERSIONS):
    _add(_form, False, _name)
for _form, _name in itertools.product(("anonymous", "user_only", "password", "ca_folder", "client_certificate"),
                                      VERSIONS):
    _add(_form, True, _name)
