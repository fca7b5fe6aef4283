"""The ledger's packed rows once more, written from the comment at the head of server/packed_reading.hpp."""
import sqlite3


class _Facts:
    def __init__(self, facts):
        self.rest = facts

    def bytes(self, count):
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def number(self):
        value = shift = 0
        while True:
            byte = self.bytes(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


def _number(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def changed(facts, total=0, drift=0):
    """With so much added to the total, and to the times of measurement and receipt (ms)."""
    old = _Facts(facts)
    flags = old.bytes(1)
    head = flags + _number(old.number() + total) + _number(old.number())
    head += _number(old.number()) if flags[0] & 64 else old.bytes(4)
    delay, bits = divmod(old.number(), 16)
    if bits == 15:
        zigzag = old.number()
        drift += zigzag >> 1 ^ -(zigzag & 1)
    else:
        drift += bits - 8
    if -8 <= drift <= 6:
        return head + _number(16 * delay + drift + 8) + old.rest
    return head + _number(16 * delay + 15) + _number(2 * drift if drift >= 0 else -2 * drift - 1) + old.rest


def connect(data):
    """The ledger in that data folder; its SQL has change_total(facts, n) and shift(facts, ms) besides."""
    database = sqlite3.connect(data / "ledger.sqlite")
    database.create_function("change_total", 2, lambda facts, by: changed(facts, total=by))
    database.create_function("shift", 2, lambda facts, by: changed(facts, drift=by))
    return database
