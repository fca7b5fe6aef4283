#!/usr/bin/python3
"""Writes the test vectors of the sealed wire: generate.py > vectors.json

Built from shared/PROTOCOL.md alone, out of the primitives (HMAC, AES), so that neither the C++ code nor decode.py
has a part in what they are judged by. Everything is fixed: the same program writes the same file.
"""
import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

LARGEST = 2**63 - 1
YEAR_9999 = 253402300799999
KINDS = {"Hello": 1, "State": 2, "Reading": 3, "Confirmation": 4, "Refused": 5}
UP = ("Hello", "Reading")


def hkdf(master, info, length):  # RFC 5869 with an empty salt; one block of output is enough here
    extracted = hmac.digest(bytes(32), master, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")[:length]


def text(raw):
    return base64.urlsafe_b64encode(raw).decode()


def derive(master, meter):
    topic = hkdf(master, b"pulsemeter v1 topic", 16).hex()
    return {"master_key": text(master), "id": meter,
            "up_key": text(hkdf(master, b"pulsemeter v1 up\x00" + meter.encode(), 32)),
            "down_key": text(hkdf(master, b"pulsemeter v1 down\x00" + meter.encode(), 32)),
            "up_topic": f"pulsemeter/{topic}/up", "down_topic": f"pulsemeter/{topic}/down"}


def seal(key, timestamp, iv, plaintext):
    raw = base64.urlsafe_b64decode(key)
    padding = 16 - len(plaintext) % 16
    encryptor = Cipher(algorithms.AES(raw[16:]), modes.CBC(iv)).encryptor()
    signed = b"\x80" + timestamp.to_bytes(8, "big") + iv + encryptor.update(plaintext + bytes([padding] * padding))
    return text(signed + hmac.digest(raw[:16], signed, "sha256"))


def body(kind, f):
    def u(name, size):
        return int(f[name]).to_bytes(size, "big")

    if kind == "Reading":
        power = 0xFFFFFFFF if f["power"] is None else f["power"]
        return (u("epoch", 4) + u("sequence", 8) + u("total", 8) + u("imp_per_kwh", 4) + u("start", 8) +
                u("measured_at", 8) + u("clock", 1) + u("source", 1) + bytes.fromhex(f["boot"]) + u("uptime", 8) +
                u("glitches", 4) + u("missed_edges", 4) + u("uncertain", 4) + u("events", 4) +
                power.to_bytes(4, "big"))
    if kind == "Hello":
        return (bytes.fromhex(f["nonce"]) + u("epoch", 4) + u("sequence", 8) + u("total", 8) + u("has_register", 1) +
                u("source", 1) + bytes.fromhex(f["boot"]))
    if kind == "State":
        return (bytes.fromhex(f["nonce"]) + u("highest_epoch", 4) + u("epoch", 4) + u("sequence", 8) +
                u("total", 8) + u("imp_per_kwh", 4) + u("start", 8))
    if kind == "Confirmation":
        return u("epoch", 4) + u("first", 8) + u("last", 8)
    return u("epoch", 4) + u("sequence", 8) + u("reason", 1)


def plain(meter, kind, fields):
    name = meter.encode()
    header = bytes([1, KINDS[kind], ord("U" if kind in UP else "D"), len(name)]) + name.ljust(32, b"\0")
    return (header + body(kind, fields)).ljust(127, b"\0")


KITCHEN = derive(bytes(range(32)), "kitchen")
SHORT = derive(b"\xff" * 32, "-")
LONG = derive(hashlib.sha256(b"long").digest(), "abcdefghijklmnopqrstuvwxyz-01234")

NONCE, BOOT = bytes(range(0xA0, 0xB0)).hex(), bytes(range(0xB0, 0xC0)).hex()
READING = {"epoch": 2, "sequence": "17280", "total": "48123", "imp_per_kwh": 1000, "start": "12345600",
           "measured_at": "1663442848250", "clock": 1, "source": 1, "boot": BOOT, "uptime": "172800500",
           "glitches": 3, "missed_edges": 2, "uncertain": 1, "events": 0, "power": 1440000}
HELLO = {"nonce": NONCE, "epoch": 2, "sequence": "17280", "total": "48125", "has_register": 1, "source": 1,
         "boot": BOOT}
STATE = {"nonce": NONCE, "highest_epoch": 2, "epoch": 2, "sequence": "17279", "total": "48119", "imp_per_kwh": 1000,
         "start": "12345600"}
NOTHING = {"epoch": 0, "sequence": "0", "total": "0"}
CONFIRMATION = {"epoch": 2, "first": "17000", "last": "17280"}
REFUSED = {"epoch": 2, "sequence": "17280", "reason": 1}
FULL = 2**32 - 1
MOST = {"epoch": FULL, "sequence": str(LARGEST), "total": str(LARGEST)}
LARGEST_READING = {**READING, **MOST, "imp_per_kwh": 1000000, "start": str(LARGEST), "measured_at": str(YEAR_9999),
                   "source": 2, "boot": "ff" * 16, "uptime": str(LARGEST), "glitches": FULL, "missed_edges": FULL,
                   "uncertain": FULL, "events": FULL, "power": FULL - 1}
SMALLEST_READING = {**READING, "epoch": 1, "sequence": "1", "total": "0", "imp_per_kwh": 1, "start": "0",
                    "measured_at": "0", "clock": 0, "boot": "00" * 16, "uptime": "0", "glitches": 0,
                    "missed_edges": 0, "uncertain": 0, "power": 0}

VALID = [
    ("a reading, the worked example", KITCHEN, "Reading", READING),
    ("a simulated reading with an unknown power", KITCHEN, "Reading", {**READING, "source": 2, "power": None}),
    ("the first reading of an epoch, clock not set", KITCHEN, "Reading",
     {**READING, "sequence": "1", "measured_at": "12000", "clock": 0, "events": 1, "power": None}),
    ("a reading with event bits that nobody knows yet", KITCHEN, "Reading", {**READING, "events": 0x80000001}),
    ("the first reading of a swapped meter with another constant", KITCHEN, "Reading",
     {**READING, "epoch": 3, "sequence": "1", "total": "0", "imp_per_kwh": 800, "start": "125000", "events": 0x700}),
    ("the smallest reading, the shortest id", SHORT, "Reading", SMALLEST_READING),
    ("the largest reading, the longest id", LONG, "Reading", LARGEST_READING),
    ("a hello with a register", KITCHEN, "Hello", HELLO),
    ("a hello without a register", KITCHEN, "Hello", {**HELLO, **NOTHING, "has_register": 0}),
    ("a hello of an epoch without a reading", KITCHEN, "Hello", {**HELLO, "sequence": "0", "source": 2}),
    ("the largest hello", LONG, "Hello", {**HELLO, **MOST, "source": 2, "nonce": "ff" * 16, "boot": "ff" * 16}),
    ("a state", KITCHEN, "State", STATE),
    ("a state where nothing is known", KITCHEN, "State",
     {**STATE, **NOTHING, "highest_epoch": 0, "imp_per_kwh": 0, "start": "0"}),
    ("a state where only the other source is known", KITCHEN, "State",
     {**STATE, **NOTHING, "highest_epoch": 3, "imp_per_kwh": 0, "start": "0"}),
    ("a state with a higher epoch of the other source", SHORT, "State", {**STATE, "highest_epoch": 3}),
    ("the largest state", LONG, "State",
     {**STATE, **MOST, "nonce": "ff" * 16, "highest_epoch": FULL, "imp_per_kwh": 1000000, "start": str(LARGEST)}),
    ("a confirmation of a range", KITCHEN, "Confirmation", CONFIRMATION),
    ("a confirmation of one reading", KITCHEN, "Confirmation", {"epoch": 1, "first": "1", "last": "1"}),
    ("the largest confirmation", LONG, "Confirmation", {"epoch": FULL, "first": str(LARGEST), "last": str(LARGEST)}),
    ("refused: total fell", KITCHEN, "Refused", REFUSED),
    ("refused: total jumped", KITCHEN, "Refused", {**REFUSED, "reason": 2}),
    ("refused: implausible rate", KITCHEN, "Refused", {**REFUSED, "reason": 3}),
    ("refused: constant changed", KITCHEN, "Refused", {**REFUSED, "reason": 4}),
    ("refused: conflict", LONG, "Refused", {"epoch": FULL, "sequence": str(LARGEST), "reason": 5}),
]


def changed(kind, fields, changes):
    raw = bytearray(plain("kitchen", kind, fields))
    for at, value in changes.items():
        raw[at:at + len(bytes.fromhex(value))] = bytes.fromhex(value)
    return bytes(raw)


def reading(**wrong):
    return plain("kitchen", "Reading", {**READING, **wrong})


def hello(**wrong):
    return plain("kitchen", "Hello", {**HELLO, **wrong})


def state(**wrong):
    return plain("kitchen", "State", {**STATE, **wrong})


def confirmation(**wrong):
    return plain("kitchen", "Confirmation", {**CONFIRMATION, **wrong})


def refused(**wrong):
    return plain("kitchen", "Refused", {**REFUSED, **wrong})


unknown = {**NOTHING, "imp_per_kwh": 0, "start": 0}
INVALID = [  # name, direction that it is received in, plaintext, error
    ("nothing", "up", b"", "wrong_size"),
    ("one byte short", "up", reading()[:-1], "wrong_size"),
    ("one byte long", "up", reading() + b"\0", "wrong_size"),
    ("only zeros", "up", bytes(127), "wrong_version"),
    ("wire version 2", "up", changed("Reading", READING, {0: "02"}), "wrong_version"),
    ("a reading reflected to the meter", "down", reading(), "wrong_direction"),
    ("a hello reflected to the meter", "down", hello(), "wrong_direction"),
    ("a confirmation reflected to the server", "up", confirmation(), "wrong_direction"),
    ("a direction in small letters", "up", changed("Reading", READING, {2: "75"}), "wrong_direction"),
    ("direction 0", "down", changed("State", STATE, {2: "00"}), "wrong_direction"),
    ("kind 0", "up", changed("Reading", READING, {1: "00"}), "wrong_kind"),
    ("kind 6", "up", changed("Reading", READING, {1: "06"}), "wrong_kind"),
    ("a confirmation that says up", "up", changed("Confirmation", CONFIRMATION, {2: "55"}), "wrong_kind"),
    ("a reading that says down", "down", changed("Reading", READING, {2: "44"}), "wrong_kind"),
    ("another meter's reading", "up", plain("cellar", "Reading", READING), "wrong_meter"),
    ("another meter's state", "down", plain("cellar", "State", STATE), "wrong_meter"),
    ("an id of which ours is the beginning", "up", plain("kitchen2", "Reading", READING), "wrong_meter"),
    ("an id that is the beginning of ours", "up", plain("kitche", "Reading", READING), "wrong_meter"),
    ("an id of length 0", "up", changed("Reading", READING, {3: "00"}), "wrong_meter"),
    ("an id of length 33", "up", changed("Reading", READING, {3: "21"}), "wrong_meter"),
    ("a length that takes in a zero", "up", changed("Reading", READING, {3: "08"}), "wrong_meter"),
    ("an id in capital letters", "up", changed("Reading", READING, {4: "4b"}), "wrong_meter"),
    ("a byte after the id", "up", changed("Reading", READING, {35: "01"}), "wrong_meter"),
    ("reading: epoch 0", "up", reading(epoch=0), "out_of_range"),
    ("reading: sequence 0", "up", reading(sequence=0), "out_of_range"),
    ("reading: sequence 2^63", "up", reading(sequence=2**63), "out_of_range"),
    ("reading: total 2^63", "up", reading(total=2**63), "out_of_range"),
    ("reading: imp/kWh 0", "up", reading(imp_per_kwh=0), "out_of_range"),
    ("reading: imp/kWh 1,000,001", "up", reading(imp_per_kwh=1000001), "out_of_range"),
    ("reading: start 2^63", "up", reading(start=2**63), "out_of_range"),
    ("reading: year 10000", "up", reading(measured_at=YEAR_9999 + 1), "out_of_range"),
    ("reading: before 1970, if it were signed", "up", reading(measured_at=2**64 - 1), "out_of_range"),
    ("reading: clock 2", "up", reading(clock=2), "out_of_range"),
    ("reading: source 0", "up", reading(source=0), "out_of_range"),
    ("reading: source 3", "up", reading(source=3), "out_of_range"),
    ("reading: uptime 2^63", "up", reading(uptime=2**63), "out_of_range"),
    ("hello: register of epoch 0", "up", hello(epoch=0), "out_of_range"),
    ("hello: register of nothing", "up", hello(**NOTHING), "out_of_range"),
    ("hello: sequence 2^63", "up", hello(sequence=2**63), "out_of_range"),
    ("hello: total 2^63", "up", hello(total=2**63), "out_of_range"),
    ("hello: has_register 2", "up", hello(has_register=2), "out_of_range"),
    ("hello: has_register 2 and no register", "up", hello(**NOTHING | {"has_register": 2}), "out_of_range"),
    ("hello: no register but an epoch", "up", hello(**{**NOTHING, "epoch": 1, "has_register": 0}), "out_of_range"),
    ("hello: no register but a sequence", "up", hello(**{**NOTHING, "sequence": 1, "has_register": 0}),
     "out_of_range"),
    ("hello: no register but a total", "up", hello(**{**NOTHING, "total": 1, "has_register": 0}), "out_of_range"),
    ("hello: source 0", "up", hello(source=0), "out_of_range"),
    ("hello: source 3", "up", hello(source=3), "out_of_range"),
    ("state: epoch above the highest", "down", state(highest_epoch=1), "out_of_range"),
    ("state: sequence 0 of an epoch", "down", state(sequence=0), "out_of_range"),
    ("state: sequence 2^63", "down", state(sequence=2**63), "out_of_range"),
    ("state: total 2^63", "down", state(total=2**63), "out_of_range"),
    ("state: imp/kWh 0 of an epoch", "down", state(imp_per_kwh=0), "out_of_range"),
    ("state: imp/kWh 1,000,001", "down", state(imp_per_kwh=1000001), "out_of_range"),
    ("state: start 2^63", "down", state(start=2**63), "out_of_range"),
    ("state: no epoch but a sequence", "down", state(**{**unknown, "sequence": 1}), "out_of_range"),
    ("state: no epoch but a total", "down", state(**{**unknown, "total": 1}), "out_of_range"),
    ("state: no epoch but imp/kWh", "down", state(**{**unknown, "imp_per_kwh": 1000}), "out_of_range"),
    ("state: no epoch but a start", "down", state(**{**unknown, "start": 1}), "out_of_range"),
    ("confirmation: epoch 0", "down", confirmation(epoch=0), "out_of_range"),
    ("confirmation: first 0", "down", confirmation(first=0), "out_of_range"),
    ("confirmation: last before first", "down", confirmation(last=16999), "out_of_range"),
    ("confirmation: last 2^63", "down", confirmation(last=2**63), "out_of_range"),
    ("refused: epoch 0", "down", refused(epoch=0), "out_of_range"),
    ("refused: sequence 0", "down", refused(sequence=0), "out_of_range"),
    ("refused: sequence 2^63", "down", refused(sequence=2**63), "out_of_range"),
    ("refused: reason 0", "down", refused(reason=0), "out_of_range"),
    ("refused: reason 6", "down", refused(reason=6), "out_of_range"),
    ("reading: first unused byte", "up", changed("Reading", READING, {122: "01"}), "not_canonical"),
    ("reading: last unused byte", "up", changed("Reading", READING, {126: "80"}), "not_canonical"),
    ("hello: first unused byte", "up", changed("Hello", HELLO, {90: "01"}), "not_canonical"),
    ("state: first unused byte", "down", changed("State", STATE, {88: "01"}), "not_canonical"),
    ("confirmation: first unused byte", "down", changed("Confirmation", CONFIRMATION, {56: "01"}), "not_canonical"),
    ("refused: first unused byte", "down", changed("Refused", REFUSED, {49: "01"}), "not_canonical"),
    ("size before version", "up", changed("Reading", READING, {0: "02"})[:-1], "wrong_size"),
    ("version before direction", "down", changed("Reading", READING, {0: "02"}), "wrong_version"),
    ("direction before kind", "down", changed("Reading", READING, {1: "06"}), "wrong_direction"),
    ("kind before meter", "up", changed("Reading", READING, {1: "06", 4: "78"}), "wrong_kind"),
    ("meter before range", "up", changed("Reading", READING, {4: "78", 36: "00000000"}), "wrong_meter"),
    ("range before unused bytes", "up", changed("Reading", READING, {36: "00000000", 122: "01"}), "out_of_range"),
]


def sealed(name, meter, way, plaintext):
    iv, timestamp = hashlib.sha256(name.encode()).digest()[:16], 1663442849
    return {"name": name, "direction": way, "meter": meter["id"], "timestamp": timestamp, "iv": iv.hex(),
            "plaintext": plaintext.hex(), "token": seal(meter[way + "_key"], timestamp, iv, plaintext)}


def valid(name, meter, kind, fields):
    vector = sealed(name, meter, "up" if kind in UP else "down", plain(meter["id"], kind, fields))
    return {**vector, "kind": kind, "fields": fields}


def invalid_tokens():
    good = sealed("refused tokens", KITCHEN, "up", reading())["token"]
    mac_wrong = base64.urlsafe_b64decode(good)
    mac_wrong = text(mac_wrong[:-1] + bytes([mac_wrong[-1] ^ 1]))
    time_changed = base64.urlsafe_b64decode(good)
    time_changed = text(time_changed[:8] + bytes([time_changed[8] ^ 1]) + time_changed[9:])
    trailing = good[:-2] + chr(ord(good[-2]) + 1) + "="  # only bits that base64 does not use differ
    return [
        ("an empty payload", "up", "", "token"),
        ("one bit of the MAC changed", "up", mac_wrong, "token"),
        ("one bit of the time changed", "up", time_changed, "token"),
        ("unused bits of the last character set", "up", trailing, "token"),
        ("padding missing", "up", good[:-1], "token"),
        ("a line feed at the end", "up", good + "\n", "token"),
        ("a line feed in place of the padding", "up", good[:-1] + "\n", "token"),
        ("an up token on the down topic", "down", good, "token"),
        ("sealed with the down key, on the up topic", "up",
         seal(KITCHEN["down_key"], 0, bytes(16), reading()), "token"),
        ("sealed with another meter's key", "up", seal(LONG["up_key"], 0, bytes(16), reading()), "token"),
        ("126 bytes: as long when sealed", "up", seal(KITCHEN["up_key"], 0, bytes(16), reading()[:-1]), "wrong_size"),
        ("128 bytes", "up", seal(KITCHEN["up_key"], 0, bytes(16), reading() + b"\0"), "token"),
        ("an old token: its age is no reason", "up", seal(KITCHEN["up_key"], 0, bytes(16), reading()), None),
        ("a token of the far future: no reason either", "up",
         seal(KITCHEN["up_key"], 2**64 - 1, bytes(16), reading()), None),
    ]


print(json.dumps({
    "about": "Test vectors of the sealed wire, version 1 (shared/PROTOCOL.md). 64-bit integers are decimal strings.",
    "meters": [KITCHEN, SHORT, LONG],
    "valid": [valid(*row) for row in VALID],
    "invalid_plaintexts": [{"name": name, "direction": way, "meter": "kitchen", "plaintext": raw.hex(), "error": error}
                           for name, way, raw, error in INVALID],
    "tokens": [{"name": name, "direction": way, "meter": "kitchen", "token": token, "error": error}
               for name, way, token, error in invalid_tokens()],
}, indent=1, ensure_ascii=True))
