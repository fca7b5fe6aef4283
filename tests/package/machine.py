"""A clean Debian with a real systemd as its first process, in namespaces of its own: mounts, processes, network, cgroup.

What a unit asks for is enforced by the real thing: systemd of the tree sets up seccomp filters, capabilities, name
spaces and users by this machine's kernel, and the devices of a unit by BPF on a cgroup of its own. It takes root.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

# As the first process of a new mount namespace: enter a cgroup below which systemd may do as it likes.
ENTER = """
set -eu
mount -t cgroup2 cgroup2 "$1/mnt"
mkdir -p "$1/mnt/$2"
echo $$ >"$1/mnt/$2/cgroup.procs"
umount "$1/mnt"
exec unshare --mount --pid --fork --uts --ipc --net --cgroup --kill-child sh -c "$3" boot "$1"
"""
BOOT = """
set -eu
cd "$1"
mount --make-rprivate /
mount --bind . .
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs $folder; done
chmod 1777 tmp
for node in null zero full random urandom tty; do
  touch dev/$node
  mount --bind /dev/$node dev/$node
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t cgroup2 cgroup2 sys/fs/cgroup
ip link set lo up
pivot_root . mnt
umount -l /mnt
mount --make-rshared /  # as systemd expects it: a mount for one service is to show in its namespace
exec env -i container=pulsemeter-test /lib/systemd/systemd --system --show-status=false
"""


class Machine:
    def __init__(self, archive):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="pulsemeter-machine-"))
        subprocess.run(["tar", "-xf", archive, "-C", self.root], check=True)
        self.root.chmod(0o755)
        shutil.copyfile("/etc/resolv.conf", self.root / "etc/resolv.conf")
        self.process = self.init = None

    def boot(self):
        self.log = open(self.root.with_suffix(".log"), "wb")
        self.process = subprocess.Popen(["unshare", "--mount", "sh", "-c", ENTER, "enter", str(self.root), self.cgroup(), BOOT],
                                        stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        self.wait(self._find_init, "systemd to be there")
        self.wait(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"),
                  "the machine to be up")

    def cgroup(self):
        return f"pulsemeter-test-{os.getpid()}"

    def _find_init(self):
        """systemd is the only child of unshare, which is our process after its execs."""
        if self.process.poll() is not None:
            raise AssertionError("systemd did not start:\n" + self.root.with_suffix(".log").read_text())
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if children and pathlib.Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd":
            self.init = children[0]
        return self.init

    def run(self, *command, check=True, timeout=120, text=None):
        """In the machine, or while it is not booted in its tree (then with this machine's network)."""
        into = (["nsenter", "--target", self.init, "-m", "-p", "-n", "-u", "-i", "-C", "--root", "--wd=/"] if self.init
                else ["chroot", str(self.root)])
        done = subprocess.run([*into, "/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
                               "DEBIAN_FRONTEND=noninteractive", *map(str, command)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout, input=text or "")
        if check and done.returncode != 0:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}\n{self.journal()}")
        return done

    def journal(self, lines=40):
        return self.run("journalctl", "--no-pager", "-n", str(lines), check=False).stdout if self.init else ""

    def wait(self, condition, what, timeout=60):
        end = time.monotonic() + timeout
        while not (answer := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"waited {timeout} s for {what}\n{self.journal()}")
            time.sleep(0.1)
        return answer

    def show(self, unit, *properties):
        """The properties' values, a string each."""
        lines = self.run("systemctl", "show", unit, *(f"--property={each}" for each in properties)).stdout.splitlines()
        values = dict(line.split("=", 1) for line in lines)
        return [values.get(each, "") for each in properties] if len(properties) > 1 else values.get(properties[0], "")

    def close(self):
        if self.process is not None and self.process.poll() is None:
            # unshare has asked the kernel that systemd, and so all of its namespace, dies with it
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.log.close()
        self._remove_cgroup()
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.with_suffix(".log").unlink(missing_ok=True)

    def _remove_cgroup(self):
        script = ('mount -t cgroup2 cgroup2 "$1/mnt" && { cd "$1/mnt" && find "$2" -depth -type d -exec rmdir {} + ; }')
        for _ in range(50):  # the kernel takes a moment to bury the last process
            if subprocess.run(["unshare", "--mount", "sh", "-c", script, "clean", str(self.root), self.cgroup()],
                              stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.1)
