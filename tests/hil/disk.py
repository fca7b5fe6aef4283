"""A disk that loses at a power cut what it was never told to keep.

    with Disk(folder) as disk:            # an ext4 file system of 16 MiB, made without root
        Board(…, disk=disk)               # QEMU reaches it over NBD, the guest has it as /dev/vda on /disk
        disk.cut(random)                  # after QEMU was killed

What the guest has written stays in a cache until the guest flushes it (as a disk with a write cache may). A cut throws
away any of the cached sectors, each by chance: none, some or all of them reach the disk, in any order.
"""

import pathlib
import random
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable

SECTOR = 512
SIZE = 16 << 20
MKE2FS = shutil.which("mke2fs", path="/usr/sbin:/sbin:/usr/bin") or "mke2fs"

# https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
OPTION_MAGIC, OPTION_REPLY = b"IHAVEOPT", 0x3E889045565A9
GO, ABORT = 7, 2
ACK, INFO, UNSUPPORTED = 1, 3, 0x80000001
REQUEST_MAGIC, REPLY_MAGIC = 0x25609513, 0x67446698
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
HAS_FLAGS, SEND_FLUSH = 1, 4
INVALID = 22


class Disk:
    def __init__(self, folder: pathlib.Path) -> None:
        self.image = folder / "disk.image"
        with open(self.image, "wb") as file:
            file.truncate(SIZE)
        subprocess.run([MKE2FS, "-q", "-t", "ext4", "-m", "0", self.image], check=True, capture_output=True)
        self._cache: dict[int, bytes] = {}  # sector → what is not flushed
        self._writes_left, self._cut_power = 0, None
        self._idle = threading.Event()  # nobody is connected
        self._idle.set()
        self._sockets = tempfile.TemporaryDirectory(prefix="disk-")
        self._server = socket.socket(socket.AF_UNIX)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Disk":
        self._server.bind(f"{self._sockets.name}/nbd")
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)
        self._sockets.cleanup()

    def qemu_arguments(self) -> list[str]:
        return ["-drive", f"file=nbd:unix:{self._sockets.name}/nbd,if=none,id=disk,format=raw,cache=writeback",
                "-device", "virtio-blk-pci,drive=disk,write-cache=on"]

    def cut_at_write(self, count: int, cut_power: Callable[[], None]) -> None:
        """Calls `cut_power` when the guest has written for the count-th time from now, and takes nothing more."""
        self._writes_left, self._cut_power = count, cut_power

    def cut(self, chance: random.Random) -> tuple[int, int]:
        """QEMU is dead: how many cached sectors were lost, and how many were kept."""
        self._cut_power = None
        self._idle.wait(10)
        share = chance.choice([0, chance.random(), 1])
        kept = {sector: data for sector, data in self._cache.items() if chance.random() < share}
        lost = len(self._cache) - len(kept)
        self._cache = {}
        self._write_out(kept)
        return lost, len(kept)

    def _write_out(self, sectors: dict[int, bytes]) -> None:
        with open(self.image, "r+b") as file:
            for sector, data in sectors.items():
                file.seek(sector * SECTOR)
                file.write(data)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return  # closed
            self._idle.clear()
            with connection, connection.makefile("rwb") as stream:
                try:
                    if self._greet(stream):
                        self._transmit(stream)
                except (EOFError, ConnectionError):
                    pass  # QEMU was killed
            self._idle.set()

    def _greet(self, stream) -> bool:
        stream.write(b"NBDMAGIC" + OPTION_MAGIC + struct.pack(">H", 3))  # fixed newstyle, no zeroes
        stream.flush()
        _take(stream, 4)
        while True:
            magic, option, length = struct.unpack(">8sII", _take(stream, 16))
            _take(stream, length)
            if magic != OPTION_MAGIC or option == ABORT:
                return False
            if option == GO:
                self._answer(stream, option, INFO, struct.pack(">HQH", 0, SIZE, HAS_FLAGS | SEND_FLUSH))
                self._answer(stream, option, ACK)
                return True
            self._answer(stream, option, UNSUPPORTED)

    def _answer(self, stream, option: int, kind: int, data: bytes = b"") -> None:
        stream.write(struct.pack(">QIII", OPTION_REPLY, option, kind, len(data)) + data)
        stream.flush()

    def _transmit(self, stream) -> None:
        with open(self.image, "r+b", buffering=0) as file:
            while True:
                magic, _, kind, handle, offset, length = struct.unpack(">IHH8sQI", _take(stream, 28))
                data = _take(stream, length) if kind == WRITE else b""
                if magic != REQUEST_MAGIC or kind == DISCONNECT:
                    return
                error, answer = 0, b""
                if kind in (READ, WRITE) and (offset | length) % SECTOR:
                    error = INVALID
                elif kind == READ:
                    answer = self._read(file, offset, length)
                elif kind == WRITE:
                    for place in range(0, length, SECTOR):
                        self._cache[(offset + place) // SECTOR] = data[place:place + SECTOR]
                    if self._cut_power:
                        self._writes_left -= 1
                        if self._writes_left <= 0:
                            self._cut_power()
                            return
                elif kind == FLUSH:
                    self._write_out(self._cache)
                    self._cache = {}
                else:
                    error = INVALID
                stream.write(struct.pack(">II8s", REPLY_MAGIC, error, handle) + answer)
                stream.flush()

    def _read(self, file, offset: int, length: int) -> bytes:
        file.seek(offset)
        data = bytearray(file.read(length))
        for place in range(0, length, SECTOR):
            if cached := self._cache.get((offset + place) // SECTOR):
                data[place:place + SECTOR] = cached
        return bytes(data)


def _take(stream, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data
