"""What is refused, with which exit code, and that one line says what, where and what to do."""
import os
import pathlib
import re
import shutil

from harness import PASSWORD, Case, Process, Server, Terminal, free_port, program

NOBODY = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


class Passwords(Case):
    def test_A2_a_wrong_password_ends_with_3_and_nothing_was_connected(self):
        broker = self.broker()
        server = self.server(broker)
        server.add()
        connections = broker.log().count("New connection from")
        wrong = self.secret_file(self.folder / "wrong", PASSWORD + "!\n")
        done = self.run_command([*server.arguments("run"), "--password-file", wrong])
        self.assert_refused(done, 3, "Authentication failed")
        self.assertEqual(broker.log().count("New connection from"), connections)

    def test_A2_a_wrong_password_adds_no_meter(self):
        server = self.server(self.broker())
        wrong = self.secret_file(self.folder / "wrong", "another password\n")
        out = self.folder / "hall.toml"
        done = self.run_command([*server.arguments("meter", "add", "hall", "--out", out), "--password-file", wrong])
        self.assert_refused(done, 3, "Authentication failed")
        self.assertFalse(out.exists())
        self.assertIsNone(server.status("hall"))

    def test_A3_poor_passwords_are_refused(self):
        broker = self.broker()
        for poor in ("", "short", "1234567", "password", "12345678", "aaaaaaaaaa"):
            server = Server(self, broker, initialise=False, password=poor)
            done = server.command("init", "--broker", broker.url, password=True)
            self.assert_refused(done, 2, server.password_file)
            self.assertFalse((server.data / "keystore.json").exists(), poor)

    def test_A3_run_needs_a_folder_that_was_initialised(self):
        broker = self.broker()
        server = Server(self, broker, initialise=False)
        for words in (("run",), ("status",), ("meter", "list"), ("readings", "hall"), ("held", "list")):
            self.assert_refused(server.command(*words), 2, server.data, "init")

    def test_without_a_terminal_and_a_file_the_password_is_not_asked_for(self):
        server = self.server(self.broker())
        self.assert_refused(self.run_command(server.arguments("run")), 2, "--password-file")

    def test_a_systemd_credential_is_taken(self):
        server = self.server(self.broker())
        credentials = self.folder / "credentials"
        credentials.mkdir(mode=0o700)
        self.secret_file(credentials / "password", PASSWORD)
        process = Process(self, "meter-server", server.arguments("run"),
                          env={**self.environment, "CREDENTIALS_DIRECTORY": str(credentials)})
        process.wait_err(r"connected to mqtt:")
        process.stop()

    def test_the_password_is_typed_without_echo(self):
        broker = self.broker()
        server = self.server(broker)
        for typed, code in ((PASSWORD, 0), ("not the password", 3)):
            connections = broker.log().count("New connection from")
            terminal = Terminal(self)
            process = self.on_terminal(terminal, server.arguments("run"))
            terminal.wait("Password: ")
            self.assertEqual(broker.log().count("New connection from"), connections, "connected before the password")
            terminal.type(typed + "\n")
            if code == 0:
                process.wait_err(r"connected to mqtt:")
                terminal.type("\n")  # Enter ends it
            self.assertEqual(process.wait_exit(), code)
            self.assertNotIn(typed, terminal.text() + process.out() + process.err())
        self.assertIn("Authentication failed", process.err())

    def test_init_asks_for_broker_and_password_on_a_terminal_twice(self):
        broker = self.broker()
        server = Server(self, broker, initialise=False)
        terminal = Terminal(self)
        process = self.on_terminal(terminal, server.arguments("init"))
        self.wait(lambda: "roker" in terminal.text(), "the question for the broker")
        terminal.type(broker.url + "\n")
        terminal.wait("New password: ")
        terminal.type(PASSWORD + "\n")
        terminal.wait("The same again: ")
        terminal.type("something else\n")
        process.wait_err("the two differ")
        self.wait(lambda: terminal.text().count("New password: ") == 2, "the question again")
        terminal.type(PASSWORD + "\n")
        self.wait(lambda: terminal.text().count("The same again: ") == 2, "the question again")
        terminal.type(PASSWORD + "\n")
        self.assertEqual(process.wait_exit(), 0, process.err())
        self.assertNotIn(PASSWORD, terminal.text())
        server.add()
        server.run()

    def on_terminal(self, terminal, command):
        return Process(self, "on-a-terminal", command, **terminal.popen_arguments())

    def test_no_broker_is_a_default(self):
        server = Server(self, self.broker(), initialise=False)
        self.assert_refused(server.command("init", password=True), 2, "--broker")
        self.assertFalse((server.data / "keystore.json").exists())

    def test_init_twice_keeps_what_is_there(self):
        broker = self.broker()
        server = self.server(broker)
        before = (server.data / "keystore.json").read_bytes()
        self.assert_refused(server.command("init", "--broker", broker.url, password=True), 2, server.data)
        self.assertEqual((server.data / "keystore.json").read_bytes(), before)


class Configurations(Case):
    def setUp(self):
        super().setUp()
        self.server_ = self.server(self.broker())
        self.meter_ = self.server_.add()

    def line_of(self, file, key):
        return next(n for n, line in enumerate(file.read_text().splitlines(), 1) if line.startswith(key))

    def test_a_meters_unknown_keys_and_wrong_values_are_named_with_file_line_and_key(self):
        text = self.meter_.config.read_text()
        for old, new, key in (('model = "uniform"', 'modell = "uniform"', "modell"),
                              ('model = "uniform"', 'model = "chaos"', "model"),
                              ('model = "uniform"', "model = 5", "model"),
                              ("max_kw = 43", 'max_kw = "43"', "max_kw"),
                              ("interval_s = 1 ", "interval_s = 0 ", "interval_s"),
                              ("interval_s = 1 ", "interval_s = 1.5 ", "interval_s"),
                              ("imp_per_kwh = 1000", "imp_per_kwh = 0", "imp_per_kwh"),
                              ('id = "hall"', 'id = "Hall!"', "id"),
                              ("[gpio]", "[gipo]", "gipo"),
                              ('url = "mqtt', 'url = "http', "url"),
                              ('mqtt_version = "5"', 'mqtt_version = "4"', "mqtt_version")):
            self.assertIn(old, text)
            self.meter_.config.write_text(text.replace(old, new, 1))
            line = next(n for n, each in enumerate(self.meter_.config.read_text().splitlines(), 1)
                        if new.strip() in each)
            said = self.assert_refused(self.run_command(self.meter_.arguments()), 2, key)
            self.assertIn(f"{self.meter_.config}:{line}:", said)
        self.assertFalse(self.meter_.state.exists() and any(self.meter_.state.glob("*.sqlite")))

    def test_a_run_that_is_refused_claims_no_folder(self):
        self.meter_.configure(gpio_line="PULSEMETER-TEST-NO-SUCH-LINE")
        self.assert_refused(self.run_command(self.meter_.arguments("gpio")), 2, "PULSEMETER-TEST-NO-SUCH-LINE")
        self.meter_.configure(broker_username="hall", broker_password_file="none")
        self.assert_refused(self.run_command(self.meter_.arguments()), 2, "password_file")
        self.assertFalse(self.meter_.state.exists())

    def test_a_broken_key_is_refused_and_never_quoted(self):
        self.meter_.configure(meter_key="c2VjcmV0LXNlY3JldC1zZWNyZXQ=")
        said = self.assert_refused(self.run_command(self.meter_.arguments()), 2, "key", self.meter_.config)
        self.assertNotIn("c2VjcmV0", said)

    def test_no_toml_is_named_with_its_line(self):
        self.meter_.config.write_text(self.meter_.config.read_text() + "\n???\n")
        said = self.assert_refused(self.run_command(self.meter_.arguments()), 2)
        self.assertRegex(said, rf"{self.meter_.config}:\d+:")

    def test_a_missing_key_is_named(self):
        self.meter_.configure(broker_url=None)
        self.assert_refused(self.run_command(self.meter_.arguments()), 2, self.meter_.config, "broker.url", "missing")

    def test_the_servers_unknown_keys_and_wrong_values_too(self):
        settings = self.server_.data / "server.toml"
        text = settings.read_text()
        for old, new, key in ((r"(?m)^price_per_kwh.*$", 'price_per_kwh = "free"', "price_per_kwh"),
                              (r"(?m)^price_per_kwh.*$", "price_per_kwh = 0.39", "price_per_kwh"),
                              (r"(?m)^price_per_kwh.*$", 'price_per_kWh = "0.39"', "price_per_kWh"),
                              (r"(?m)^currency.*$", "currency = 5", "currency"),
                              (r"(?m)^url.*$", 'url = "127.0.0.1"', "url"),
                              (r"(?m)^\[tariff\]$", "[tarif]", "tarif")):
            changed, count = re.subn(old, new, text)
            self.assertEqual(count, 1, old)
            settings.write_text(changed)
            line = next(n for n, each in enumerate(changed.splitlines(), 1) if each.startswith(new))
            said = self.assert_refused(self.server_.command("run", password=True), 2, key)
            self.assertIn(f"{settings}:{line}:", said)

    def test_a_price_and_a_currency_are_configurable(self):
        settings = self.server_.data / "server.toml"
        text = re.sub(r"(?m)^price_per_kwh.*$", 'price_per_kwh = "0.255"', settings.read_text())
        settings.write_text(re.sub(r"(?m)^currency.*$", 'currency = "€"', text))
        self.server_.run()
        self.meter_.run()
        self.server_.process.wait_out(r"Total Cost \(@€0\.000255 per unit\): €\d+\.\d{4}")
        self.assertEqual(self.server_.status()["currency"], "€")

    def test_a_missing_or_unreadable_configuration(self):
        missing = self.folder / "missing.toml"
        self.assert_refused(self.run_command([program("meter-pi"), "run", "--config", missing, "--source", "simulate",
                                              "--state", self.folder / "state"]), 2, missing)
        self.assert_refused(self.run_command([program("meter-pi"), "run", "--config", self.folder, "--source",
                                              "simulate", "--state", self.folder / "state"]), 2, self.folder)
        self.assert_refused(self.as_nobody([*self.meter_.arguments(state=self.folder / "state")]), 2,
                            self.meter_.config)

    def as_nobody(self, command):
        """Runs it as another user than root, whom no mode stops; the program is copied to where he may run it."""
        if os.geteuid() != 0:
            for path in (self.meter_.config, self.server_.password_file):
                path.chmod(0)
                self.addCleanup(path.chmod, 0o600)
            return self.run_command(command)
        copy = self.folder / pathlib.Path(command[0]).name
        if not copy.exists():
            shutil.copy(command[0], copy)
            copy.chmod(0o755)
        return self.run_command([*NOBODY, copy, *command[1:]])


class Folders(Case):
    def setUp(self):
        super().setUp()
        self.server_ = self.server(self.broker())
        self.meter_ = self.server_.add()

    def refused_as_nobody(self, command, *words):
        """As a user who may read all he is given, but not write there."""
        if os.geteuid() != 0:
            return self.assert_refused(self.run_command(command), 2, *words)
        copy = self.folder / pathlib.Path(command[0]).name
        shutil.copy(command[0], copy)
        copy.chmod(0o755)
        for path in (self.server_.folder, self.meter_.config, self.server_.password_file):
            os.chown(path, 65534, 65534)
        return self.assert_refused(self.run_command([*NOBODY, copy, *command[1:]]), 2, *words)

    def test_a_lost_keystore_is_a_loss_and_no_fresh_start(self):
        self.server_.run()
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server")
        self.meter_.process.stop()
        self.server_.process.stop()
        settings = (self.server_.data / "server.toml").read_bytes()
        (self.server_.data / "keystore.json").unlink()
        for words in (["status"], ["init", "--broker", "mqtt://elsewhere"], ["run"]):
            command = self.server_.arguments(*words, password=words[0] != "status")
            self.assert_refused(self.run_command(command), 2, "keystore.json", "backup")
        self.assertEqual((self.server_.data / "server.toml").read_bytes(), settings)

    def test_closed_standard_streams_are_no_file_of_ours(self):
        command = self.server_.arguments("run", password=True)
        process = Process(self, "meter-server", ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command])
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server", count=3)
        process.stop()
        for file in self.server_.data.iterdir():
            self.assertNotIn(b"Total Units", file.read_bytes(), file.name)
            self.assertNotIn(b"meter-server info", file.read_bytes(), file.name)

    def test_an_unwritable_state_folder(self):
        state = self.folder / "state"
        state.mkdir(mode=0o555)
        self.refused_as_nobody(self.meter_.arguments(state=state), state, "denied")

    def test_an_unwritable_parent_of_the_state_folder(self):
        closed = self.folder / "closed"
        closed.mkdir(mode=0o555)
        self.refused_as_nobody(self.meter_.arguments(state=closed / "state"), closed / "state", "denied")

    def test_an_unwritable_data_folder(self):
        for path in self.server_.data.iterdir():
            path.chmod(0o400)
            if os.geteuid() == 0:
                os.chown(path, 65534, 65534)
        self.server_.data.chmod(0o555)
        self.addCleanup(self.server_.data.chmod, 0o755)
        self.refused_as_nobody(self.server_.arguments("run", password=True), self.server_.data, "denied")

    def test_an_unwritable_folder_for_init(self):
        closed = self.folder / "closed"
        closed.mkdir(mode=0o555)
        server = Server(self, self.server_.broker, initialise=False, data=closed / "data")
        os.chown(server.password_file.parent, 65534, 65534) if os.geteuid() == 0 else None
        os.chown(server.password_file, 65534, 65534) if os.geteuid() == 0 else None
        self.refused_as_nobody(server.arguments("init", "--broker", "mqtt://127.0.0.1", password=True), closed,
                               "denied")

    def test_a_file_where_the_state_folder_should_be(self):
        state = self.folder / "state"
        state.write_text("")
        self.assert_refused(self.run_command(self.meter_.arguments(state=state)), 2, state)

    def test_the_second_process_on_a_folder_names_the_first(self):
        self.server_.run()
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server")
        self.assert_refused(self.run_command(self.meter_.arguments()), 2, f"pid {self.meter_.process.pid}",
                            self.meter_.state)
        self.assert_refused(self.server_.command("run", password=True), 2, f"pid {self.server_.process.pid}",
                            self.server_.data)
        self.meter_.process.wait_out(r"confirmed by the server", count=3)  # the first ones run on

    def test_a_lock_goes_with_its_holder_even_by_kill_9(self):
        self.server_.run()
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server")
        self.server_.process.kill()
        self.meter_.process.kill()
        self.server_.run()
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server")

    def test_another_meters_state_folder_is_refused(self):
        self.server_.run()
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server")
        self.meter_.process.stop()
        other = self.server_.add("attic")
        self.assert_refused(self.run_command(other.arguments(state=self.meter_.state)), 2, self.meter_.state, "hall",
                            "attic")

    def test_another_imp_per_kwh_than_the_register_was_counted_at_is_refused(self):
        self.server_.run()
        self.meter_.run()
        self.meter_.process.wait_out(r"confirmed by the server")
        self.meter_.process.stop()
        self.meter_.configure(meter_imp_per_kwh=500)
        self.assert_refused(self.run_command(self.meter_.arguments()), 2, "imp_per_kwh", "1000")

    def test_status_of_a_meter_that_never_ran(self):
        done = self.run_command([program("meter-pi"), "status", "--state", self.folder / "none"])
        self.assert_refused(done, 2, self.folder / "none", "--state")


class Unreachable(Case):
    """Neither program ends because a broker can't be reached; each says so, clearly and seldom."""

    def check(self, url, words):
        broker = self.broker()
        server = self.server(broker)
        settings = server.data / "server.toml"
        settings.write_text(settings.read_text().replace(broker.url, url))
        meter = server.add(broker_url=url)
        server.run(connected=False)
        meter.run()
        for process in (server.process, meter.process):
            process.wait_err(words)
        meter.process.wait_out(r"waiting for the server", count=4)
        for process in (server.process, meter.process):
            self.assertTrue(process.running())
            complaints = re.findall(words, process.err())
            self.assertLessEqual(len(complaints), 2, f"not one a second:\n{process.err()}")
        return server, meter

    def test_a_refused_port_is_said_and_waited_for(self):
        port = free_port()
        server, meter = self.check(f"mqtt://127.0.0.1:{port}", rf"(?m)^.*127\.0\.0\.1:{port}.*refused.*$")
        late = self.broker()
        late.stop()
        late.config.write_text(late.config.read_text().replace(f"listener {late.port} ", f"listener {port} "))
        late.port = port
        late.start()
        meter.process.wait_out(r"confirmed by the server", count=2)
        meter.process.stop()
        self.wait_equal_totals(server, meter)

    def test_an_unknown_name_is_said_and_waited_for(self):
        server, meter = self.check("mqtt://no-such-host.invalid:1883", r"(?m)^.*no-such-host\.invalid.*$")
        meter.process.stop()
        server.process.stop()


class CommandLine(Case):
    def test_help_and_version_end_with_0(self):
        for name in ("meter-pi", "meter-server"):
            for words in (["--help"], ["-h"], ["run", "--help"], ["status", "--help"]):
                done = self.run_command([program(name), *words])
                self.assertEqual((done.returncode, done.stderr), (0, ""), words)
                self.assertIn("sage", done.stdout)
            done = self.run_command([program(name), "--version"])
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, rf"^{name} \d+\.\d+\.\d+")
        for words in (["init"], ["meter"], ["meter", "add"], ["meter", "list"], ["readings"], ["held"],
                      ["held", "list"], ["held", "accept"], ["held", "discard"], ["broker"], ["broker", "status"],
                      ["broker", "listen"]):
            done = self.run_command([program("meter-server"), *words, "--help"])
            self.assertEqual((done.returncode, done.stderr), (0, ""), words)

    def test_wrong_usage_ends_with_2_and_one_line(self):
        for command in (["meter-pi"], ["meter-pi", "fly"], ["meter-pi", "run"], ["meter-pi", "--nonsense"],
                        ["meter-pi", "run", "--config"], ["meter-pi", "run", "--config", "x", "--nonsense"],
                        ["meter-pi", "status", "extra"],
                        ["meter-server"], ["meter-server", "fly"], ["meter-server", "--nonsense"],
                        ["meter-server", "meter"], ["meter-server", "meter", "add"],
                        ["meter-server", "meter", "remove"], ["meter-server", "readings"],
                        ["meter-server", "broker"], ["meter-server", "broker", "listen"],
                        ["meter-server", "held"], ["meter-server", "run", "--password", "secret"]):
            self.assert_refused(self.run_command([program(command[0]), *command[1:]]), 2, "--help")

    def test_wrong_ids_broker_urls_and_numbers_are_refused(self):
        broker = self.broker()
        server = self.server(broker)
        out = self.folder / "x.toml"
        for wrong in ("Hall", "a b", "", "ä", "a" * 33, "a/b", "../x"):
            done = server.command("meter", "add", wrong, "--out", out, password=True)
            self.assertEqual(done.returncode, 2, wrong)
        for option, value in (("--imp-per-kwh", 0), ("--imp-per-kwh", 1_000_001), ("--imp-per-kwh", "many"),
                              ("--max-kw", 0), ("--max-kw", -3), ("--interval", 0), ("--broker", "127.0.0.1"),
                              ("--broker", "tls://127.0.0.1"), ("--broker", "mqtt://user:geheim@host")):
            done = server.command("meter", "add", "hall", "--out", out, option, value, password=True)
            self.assert_refused(done, 2)
            self.assertNotIn("geheim", done.stderr)
        self.assertFalse(out.exists())
        self.assertIsNone(server.status("hall"))

    def test_meter_add_never_overwrites_and_never_adds_twice(self):
        server = self.server(self.broker())
        meter = server.add("hall")
        before = meter.config.read_bytes()
        again = server.command("meter", "add", "hall", "--out", self.folder / "again.toml", password=True)
        self.assert_refused(again, 2, "hall")
        self.assertFalse((self.folder / "again.toml").exists())
        taken = server.command("meter", "add", "attic", "--out", meter.config, password=True)
        self.assert_refused(taken, 2, meter.config, "exists")
        self.assertEqual(meter.config.read_bytes(), before)
        self.assertIsNone(server.status("attic"), "a meter whose file could not be written was not added")
        nowhere = server.command("meter", "add", "attic", "--out", self.folder / "no" / "x.toml", password=True)
        self.assert_refused(nowhere, 2, self.folder / "no" / "x.toml")
        self.assertIsNone(server.status("attic"))
        server.add("attic")

    def test_readings_of_an_unknown_meter_are_refused(self):
        server = self.server(self.broker())
        self.assert_refused(server.command("readings", "nobody"), 2, "nobody")
        self.assert_refused(server.command("held", "accept", "nobody"), 2, "nobody")
