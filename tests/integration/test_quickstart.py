"""./quickstart.sh as a user starts it. It builds build/release, so run.py takes it in with --quickstart only."""
import pathlib
import re
import subprocess
import tempfile

from harness import ROOT, Case, Process, Terminal


class Quickstart(Case):
    def run_once(self):
        temporary = pathlib.Path(tempfile.mkdtemp(prefix="quickstart-", dir=self.folder))
        done = subprocess.run([ROOT / "quickstart.sh", "--seconds", "8"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, encoding="utf-8", timeout=3000, check=False,
                              env={**self.environment, "TMPDIR": str(temporary), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(list(temporary.iterdir()), [], "left behind")
        for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                self.assertNotIn(str(temporary).encode(), environ.read_bytes(), f"still running: {environ.parent}")
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                pass
        confirmed = re.findall(r"(?m)^meter .*confirmed by the server: reading", done.stdout)
        self.assertGreaterEqual(len(confirmed), 2, done.stdout)
        units = [int(n) for n in re.findall(r"(?m)^server .*Total Units = (\d+), Total Cost", done.stdout)]
        self.assertGreaterEqual(len(units), 2, done.stdout)
        self.assertEqual(units, sorted(units))
        self.assertGreater(units[-1], 0)
        self.assertRegex(done.stdout, r"(?s)What the server knows.*hall .* kWh")

    def test_the_main_job_twice_in_a_row(self):
        self.run_once()
        self.run_once()

    def test_enter_and_ctrl_c_end_it_cleanly(self):
        for typed in ("\n", "\x03"):
            terminal = Terminal(self)
            process = Process(self, "quickstart", [ROOT / "quickstart.sh"], **terminal.popen_arguments())
            process.wait_out(r"^Press Enter to end\.$", timeout=3000)
            process.wait_out(r"^server .*Total Units")
            terminal.type(typed)
            self.assertEqual(process.wait_exit(), 0, f"after {typed!r}\n{self.tails()}")
            self.assertRegex(process.out(), r"(?s)What the server knows.*hall .* kWh")

    def test_wrong_usage(self):
        for words in (["--nonsense"], ["--seconds"], ["--seconds", "x"], ["--seconds", "0"]):
            done = self.run_command([ROOT / "quickstart.sh", *words])
            self.assertEqual(done.returncode, 2, words)
        self.assertEqual(self.run_command([ROOT / "quickstart.sh", "--help"]).returncode, 0)
