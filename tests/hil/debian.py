"""A disk with a whole Debian that the board boots: a real systemd, with meter-pi's package laid into it.

    root = lay_out(folder, archive, board_tree, pi_build, config)     # takes root: files have owners
    …                                                     # whatever else is to be in it
    Board(…, disk=RootDisk(folder, root))

The archive is what tests/package/make-tree.sh unpacked. No package's script was run: what those would do and the service
needs is done here. The first process of the board (init) hands over to this disk's systemd.
"""
import os
import pathlib
import shutil
import subprocess

from disk import MKE2FS

SIZE = "192M"
SHELL = """
[Unit]
Description=the shell on the serial line, for board.py
[Service]
ExecStart=/usr/bin/busybox sh -c 'stty -echo; echo "board is ready"; exec busybox sh'
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyAMA0
Environment=PS1= PATH=/usr/sbin:/usr/bin:/sbin:/bin
[Install]
WantedBy=multi-user.target
"""
# Of no use here, and slow where the processor is emulated.
MASKED = ["getty.target", "kmod-static-nodes.service", "proc-sys-fs-binfmt_misc.automount", "dev-hugepages.mount",
          "dev-mqueue.mount", "modprobe@.service", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount",
          "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-ask-password-console.path",
          "systemd-ask-password-wall.path", "systemd-binfmt.service", "systemd-firstboot.service",
          "systemd-journal-flush.service", "systemd-logind.service", "systemd-machine-id-commit.service",
          "systemd-random-seed.service", "systemd-remount-fs.service", "systemd-repart.service",
          "systemd-sysctl.service", "systemd-sysusers.service", "systemd-tmpfiles-clean.timer",
          "systemd-tmpfiles-setup-dev.service", "systemd-tmpfiles-setup.service", "systemd-update-utmp.service",
          "systemd-update-utmp-runlevel.service", "systemd-user-sessions.service"]
UDEV_RULES = ["50-udev-default.rules", "60-pulsemeter-meter.rules", "99-systemd.rules"]


def lay_out(folder: pathlib.Path, archive: pathlib.Path, board_tree: pathlib.Path, pi_build: pathlib.Path,
            config: pathlib.Path) -> pathlib.Path:
    root = folder / "root"
    root.mkdir()
    quietly = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run(["tar", "-xf", archive, "-C", root, "--exclude=./dev/*"], **quietly)
    # The very files of the package; what its scripts do: its users, its state of being enabled.
    subprocess.run(["cmake", "--install", pi_build, "--component", "meter", "--prefix", root / "usr"], **quietly)
    for rules in (root / "usr/lib/udev/rules.d").iterdir():
        if rules.name not in UDEV_RULES:
            rules.unlink()
    shutil.rmtree(root / "usr/lib/systemd/system-generators")
    shutil.copy(board_tree / "usr/bin/busybox", root / "usr/bin")
    (root / "usr/bin/sh").symlink_to("busybox")
    (root / "etc/systemd/system.conf.d").mkdir()
    (root / "etc/systemd/system.conf.d/board.conf").write_text("[Manager]\nShowStatus=no\n")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (root / "etc/fstab").unlink(missing_ok=True)
    (root / "etc/systemd/system/board-shell.service").write_text(SHELL)
    (root / "etc/pulsemeter").mkdir()
    shutil.copy(config, root / "etc/pulsemeter/meter.toml")
    subprocess.run(["systemd-sysusers", f"--root={root}"], stderr=subprocess.DEVNULL, **quietly)
    subprocess.run(["systemctl", f"--root={root}", "--quiet", "mask", *MASKED], **quietly)
    subprocess.run(["systemctl", f"--root={root}", "--quiet", "enable", "board-shell.service", "pulsemeter-meter.service"],
                   **quietly)
    subprocess.run(["systemctl", f"--root={root}", "--quiet", "set-default", "multi-user.target"], **quietly)
    return root


class RootDisk:
    """An ext4 file system with the files of a folder; what the board writes is lost with it."""

    def __init__(self, folder: pathlib.Path, root: pathlib.Path) -> None:
        self._image = folder / "root.image"
        subprocess.run([MKE2FS, "-q", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-d", root, self._image, SIZE],
                       check=True, capture_output=True)

    def qemu_arguments(self) -> list[str]:
        return ["-drive", f"file={self._image},if=none,id=disk,format=raw,cache=unsafe",
                "-device", "virtio-blk-pci,drive=disk"]
