"""The ledger's packed rows once more, and a ledger as older servers had it; written from the comment at the
head of server/packed_reading.hpp."""
import sqlite3
import struct
import zlib


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


def _checksum(life, sequence, facts, boots):
    """Of what a row says: the bytes that the audit chains (server/audit.hpp), from 32 zeros, then the delivery and the epoch's
    source."""
    epoch, imp, start, epoch_source = life
    row = _Facts(facts)
    flags = row.bytes(1)[0]
    total, (boot, began) = row.number(), boots[row.number()]
    uptime = row.number() if flags & 64 else int.from_bytes(row.bytes(4), "big")
    delay, bits = divmod(row.number(), 16)
    if bits == 15:
        zigzag = row.number()
        drift = zigzag >> 1 ^ -(zigzag & 1)
    else:
        drift = bits - 8
    rare = row.bytes(1)[0] if flags & 2 else 0
    quality_and_events = [row.number() for _ in range(4)] if flags & 2 else [0, 0, 0, 0]
    power = int.from_bytes(row.rest, "big") if flags & 1 else 0
    measured = began + uptime + drift
    received = measured + (-delay if flags & 4 else delay)
    standing = 2 if flags & 128 else rare & 1
    return zlib.crc32(b"R" + bytes(32) + struct.pack(">QQQQQqB", epoch, sequence, total, imp, start, measured, flags >> 3 & 1)
                      + boot + struct.pack(">QB", uptime, flags >> 4 & 3) + struct.pack(">4Q", *quality_and_events)
                      + struct.pack(">BQqB", flags & 1, power, received, standing)
                      + bytes([rare >> 1 & 1, epoch_source])), received // 86_400_000


def note_anew(ledger):
    """What the ledger notes of its days that are not sealed yet, made of the rows as they are now."""
    boots = {number: (boot, began) for number, boot, began in ledger.execute("SELECT id, boot, began FROM boot")}
    for life, day, first, last in ledger.execute("SELECT life, day, first, last FROM open_day").fetchall():
        facts_of_epoch = ledger.execute("SELECT epoch, imp, start, source FROM life WHERE id = ?", (life,)).fetchone()
        sums = [checksum for checksum, of_day in
                (_checksum(facts_of_epoch, sequence, facts, boots) for sequence, facts in
                 ledger.execute("SELECT sequence, facts FROM reading WHERE life = ? AND sequence BETWEEN ? AND ?",
                                (life, first, last)).fetchall()) if of_day == day]
        ledger.execute("UPDATE open_day SET row_count = ?, checksums = ? WHERE life = ? AND day = ?",
                       (len(sums), sum(sums) & 0xffffffff, life, day))


def connect(data):
    """The ledger in that data folder; its SQL has change_total(facts, n) and shift(facts, ms) besides."""
    database = sqlite3.connect(data / "ledger.sqlite")
    database.create_function("change_total", 2, lambda facts, by: changed(facts, total=by))
    database.create_function("shift", 2, lambda facts, by: changed(facts, drift=by))
    return database


OLDER = """
CREATE TABLE meter (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, refused INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE life (id INTEGER PRIMARY KEY, meter INTEGER NOT NULL, epoch INTEGER NOT NULL, imp INTEGER NOT NULL,
    start INTEGER NOT NULL, source INTEGER NOT NULL, overruled INTEGER NOT NULL DEFAULT 0, UNIQUE (meter, epoch)) STRICT;
CREATE TABLE held (meter INTEGER NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, reason INTEGER NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, repeats INTEGER NOT NULL DEFAULT 0, dismissed INTEGER NOT NULL
    DEFAULT 0, content BLOB NOT NULL, PRIMARY KEY (meter, epoch, sequence)) STRICT, WITHOUT ROWID;
CREATE TABLE event (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind INTEGER NOT NULL, meter TEXT, detail TEXT NOT NULL)
    STRICT;
CREATE TABLE boot (id INTEGER PRIMARY KEY, boot BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE reading (life INTEGER NOT NULL, sequence INTEGER NOT NULL, total INTEGER NOT NULL, measured INTEGER NOT NULL,
    delay INTEGER NOT NULL, boot INTEGER NOT NULL, uptime INTEGER NOT NULL, flags INTEGER NOT NULL, power INTEGER, extra BLOB,
    PRIMARY KEY (life, sequence)) STRICT, WITHOUT ROWID;
INSERT INTO meter (name) VALUES ('hall');
INSERT INTO life (meter, epoch, imp, start, source) VALUES (1, 1, 1000, 0, 1);
INSERT INTO boot VALUES (1, zeroblob(16));
PRAGMA application_id = 0x504d4c31;
"""
SINCE_LAYOUT_2 = """
CREATE TABLE fall (life INTEGER NOT NULL, sequence INTEGER NOT NULL, pulses INTEGER NOT NULL, PRIMARY KEY (life, sequence))
    STRICT, WITHOUT ROWID;
CREATE TABLE open_day (life INTEGER NOT NULL, day INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (life, day)) STRICT, WITHOUT ROWID;
CREATE TABLE late (life INTEGER NOT NULL, sequence INTEGER NOT NULL, seal INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (life, sequence)) STRICT, WITHOUT ROWID;
CREATE INDEX late_unsealed ON late (life) WHERE seal = 0;
CREATE TABLE seal (number INTEGER PRIMARY KEY, meter INTEGER NOT NULL, kind INTEGER NOT NULL, day INTEGER NOT NULL,
    row_count INTEGER NOT NULL, marks BLOB NOT NULL, mac BLOB NOT NULL) STRICT;
CREATE INDEX seal_of_meter ON seal (meter, number);
CREATE TABLE gap (life INTEGER NOT NULL, after INTEGER NOT NULL, before INTEGER, PRIMARY KEY (life, after))
    STRICT, WITHOUT ROWID;
CREATE TABLE restoration (at INTEGER NOT NULL) STRICT;
"""


def make_older(path, layout, totals):
    """A ledger of layout 1 or 2: the meter hall with these totals."""
    with sqlite3.connect(path) as ledger:
        ledger.executescript(OLDER + (SINCE_LAYOUT_2 if layout == 2 else "") + f"PRAGMA user_version = {layout}")
        for sequence, total in enumerate(totals, 1):
            ledger.execute("INSERT INTO reading VALUES (1, ?, ?, ?, 250, 1, ?, 9, NULL, NULL)",
                           (sequence, total, 1_700_000_000_000 + 10_000 * sequence, 60_000 + 10_000 * sequence))
        if layout == 2:
            ledger.execute("INSERT INTO open_day VALUES (1, 1700000000 / 86400, 1, ?)", (len(totals),))
    ledger.close()
