"""Row K7: secrets are neither in arguments nor in the environment nor in any output; files are the owner's alone."""
import base64
import pathlib
import stat

from harness import PASSWORD, Case, Meter


class Secrets(Case):
    def running_pair(self):
        broker = self.broker()
        server = self.server(broker)
        meter = server.add()
        server.run("--verbose")
        self.meter_process = meter.run()
        meter.process.wait_out(r"confirmed by the server", count=3)
        return broker, server, meter

    def test_K7_no_secret_in_arguments_environment_or_output(self):
        broker, server, meter = self.running_pair()
        tap = self.tap(broker)
        tap.publish("pulsemeter/x", b"x")
        status = [server.command(*words).stdout for words in
                  (("status",), ("status", "--json"), ("meter", "list"), ("readings", "hall"), ("held", "list"))]
        meter.process.stop()
        meter.run()  # with the last confirmation on show
        meter.process.wait_out(r"confirmed by the server")
        key = meter.setting("key")
        raw = base64.urlsafe_b64decode(key)
        secrets = {"the master key": key.rstrip("=").encode(), "the raw master key": raw, "in hex": raw.hex().encode(),
                   "in base64": base64.b64encode(raw).rstrip(b"="), "the password": PASSWORD.encode()}
        places = {f"/proc/{pid}/{what}": pathlib.Path(f"/proc/{pid}/{what}").read_bytes()
                  for pid in (server.process.pid, meter.process.pid) for what in ("cmdline", "environ", "comm")}
        self.assertTrue(all(places.values()))
        for process in self.processes:
            places[process.out_path.name] = process.out_path.read_bytes()
            places[process.err_path.name] = process.err_path.read_bytes()
        places["the commands' output"] = "".join(status).encode()
        # and nothing at rest that need not be there: the keystore is sealed, the meter's store holds no key
        for file in [*server.data.rglob("*"), *meter.state.rglob("*")]:
            if file.is_file():
                places[str(file)] = file.read_bytes()
        for place, content in places.items():
            for what, secret in secrets.items():
                self.assertNotIn(secret, content, f"{what} is in {place}")

    def test_K7_files_are_0600_and_folders_0700(self):
        _, server, meter = self.running_pair()
        seen = 0
        for folder in (server.data, meter.state):
            for path in [folder, *folder.rglob("*")]:
                mode, want = stat.S_IMODE(path.stat().st_mode), 0o700 if path.is_dir() else 0o600
                self.assertEqual(oct(mode), oct(want), str(path))
                seen += 1
        self.assertGreater(seen, 8)
        self.assertEqual(oct(stat.S_IMODE(meter.config.stat().st_mode)), oct(0o600))

    def test_K7_files_are_private_under_any_umask(self):
        broker = self.broker()
        server = self.server(broker, initialise=False)
        done = self.run_command(server.arguments("init", "--broker", broker.url, password=True), umask=0)
        self.assertEqual(done.returncode, 0, done.stderr)
        config = server.folder / "hall.toml"
        done = self.run_command(server.arguments("meter", "add", "hall", "--out", config, password=True), umask=0)
        self.assertEqual(done.returncode, 0, done.stderr)
        meter = Meter(self, "hall", config)
        server.run(umask=0)
        meter.run(umask=0)
        meter.process.wait_out(r"confirmed by the server")
        for folder in (server.data, meter.state):
            for path in [folder, *folder.rglob("*")]:
                self.assertEqual(path.stat().st_mode & 0o077, 0, f"{path} is open to others")
        self.assertEqual(config.stat().st_mode & 0o077, 0)

    def test_K7_a_secret_file_that_others_can_read_is_refused(self):
        server = self.server(self.broker())
        meter = server.add()
        for mode in (0o640, 0o604, 0o644):
            meter.config.chmod(mode)
            self.assert_refused(self.run_command(meter.arguments()), 2, meter.config, "chmod 600")
            server.password_file.chmod(mode)
            self.assert_refused(self.run_command(server.arguments("run", password=True)), 2, server.password_file,
                                "chmod 600")
            server.password_file.chmod(0o600)
