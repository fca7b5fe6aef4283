"""What the emulated board boots from: its device tree, and an initramfs with the programs under test.

The kernel, its modules and busybox come from the tree `board`, the C library from the tree `pi`
(toolchains/make-sysroot.sh). Nothing here needs root: the archive is written entry by entry.
"""

import lzma
import pathlib
import stat
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
MACHINE = ["-M", "virt", "-cpu", "cortex-a53", "-smp", "1", "-m", "512", "-accel", "tcg"]
# The names of the PL061's eight lines: found by name as on a Pi, though the offset is not the BCM number.
LINES = ["GPIO17", "GPIO18", "GPIO22", "GPIO23", "GPIO24", "GPIO25", "GPIO5", "GPIO6"]
MODULES = ["net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net", "crypto/crc32c_generic",
           "lib/crc16", "fs/mbcache", "fs/jbd2/jbd2", "fs/ext4/ext4", "drivers/block/virtio_blk"]
LIBRARIES = ["ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6"]
APPLETS = ["sh", "cat", "ls", "ip", "kill", "pidof", "sleep", "mkdir", "grep", "tail", "date", "sync", "free",
           "dmesg", "touch", "rm", "cp", "chmod", "chown", "su", "mktemp", "sed", "head", "tr", "base64", "uname", "seq"]


def kernel(board_tree: pathlib.Path) -> pathlib.Path:
    return next((board_tree / "boot").glob("vmlinuz-*"))


def write_device_tree(path: pathlib.Path) -> None:
    """The machine's own tree, but nobody holds a line of the GPIO controller and the lines have a Pi's names."""
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    machine = ["-M", f"virt,dumpdtb={path}"] + MACHINE[2:]
    subprocess.run(["qemu-system-aarch64", *machine, "-display", "none", "-nic", "none"], **quiet)
    subprocess.run(["fdtput", "-r", str(path), "/gpio-keys"], **quiet)
    subprocess.run(["fdtput", "-t", "s", str(path), "/pl061@9030000", "gpio-line-names", *LINES], **quiet)


class Archive:
    """A cpio archive of the kind `newc`, which the kernel unpacks as its first file system."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._entries = 0

    def _add(self, name: str, mode: int, content: bytes = b"") -> None:
        self._entries += 1
        fields = [self._entries, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        self._bytes += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        self._pad()
        self._bytes += content
        self._pad()

    def _pad(self) -> None:
        self._bytes += b"\0" * (-len(self._bytes) % 4)

    def folder(self, name: str) -> None:
        self._add(name, stat.S_IFDIR | 0o755)

    def link(self, name: str, target: str) -> None:
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def file(self, name: str, content: bytes, mode: int = 0o755) -> None:
        self._add(name, stat.S_IFREG | mode, content)

    def write(self, path: pathlib.Path) -> None:
        self._add("TRAILER!!!", 0)
        path.write_bytes(self._bytes)


def write_initramfs(path: pathlib.Path, board_tree: pathlib.Path, pi_tree: pathlib.Path,
                    programs: list[pathlib.Path], settings: dict[str, bytes]) -> None:
    """`programs` go to /bin, `settings` (name to content) to /etc, readable by their owner alone."""
    archive = Archive()
    for folder in ["bin", "dev", "disk", "etc", "lib", "lib/modules", "proc", "run", "sys", "tmp"]:
        archive.folder(folder)
    archive.file("init", (HERE / "init").read_bytes())
    archive.file("etc/passwd", b"root::0:0::/run:/bin/sh\nguest::1000:1000::/tmp:/bin/sh\n", 0o644)
    archive.file("etc/group", b"root::0:\nguest::1000:\n", 0o644)
    archive.file("bin/busybox", (board_tree / "usr/bin/busybox").read_bytes())
    for applet in APPLETS:
        archive.link(f"bin/{applet}", "busybox")
    for module in MODULES:
        packed = next((board_tree / "usr/lib/modules").glob(f"*/kernel/{module}.ko.xz"))
        archive.file(f"lib/modules/{pathlib.Path(module).name}.ko", lzma.decompress(packed.read_bytes()))
    for library in LIBRARIES:
        archive.file(f"lib/{library}", (pi_tree / "usr/lib/aarch64-linux-gnu" / library).read_bytes())
    for program in programs:
        archive.file(f"bin/{program.name}", program.read_bytes())
    for name, content in settings.items():
        archive.file(f"etc/{name}", content, 0o600)
    archive.write(path)
