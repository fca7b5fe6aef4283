"""A second speaker of the sealed wire, after shared/PROTOCOL.md: seals and opens messages of both directions, so that
tests can read what the programs say and say what they never would. Decoding is tests/vectors/sealed/decode.py's."""
import base64
import importlib.util
import os
import pathlib
import time

from cryptography.fernet import Fernet, InvalidToken

_path = pathlib.Path(__file__).resolve().parents[1] / "vectors" / "sealed" / "decode.py"
_spec = importlib.util.spec_from_file_location("decode", _path)
decode = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(decode)

KINDS = {name: (kind, way, layout) for kind, (name, way, layout) in decode.KINDS.items()}
SIMULATED, MEASURED = 2, 1
REASONS = {1: "total fell", 2: "total jumped", 3: "implausible rate", 4: "constant changed", 5: "conflict"}


class Keys:
    def __init__(self, master, meter):
        self.master, self.meter = master, meter
        derived = decode.derive(base64.urlsafe_b64decode(master), meter)
        self.up_topic, self.down_topic = derived["up_topic"], derived["down_topic"]
        self.up, self.down = Fernet(derived["up_key"]), Fernet(derived["down_key"])

    @classmethod
    def of(cls, meter):
        """Those of a harness.Meter."""
        return cls(meter.setting("key"), meter.name)

    def seal_up(self, kind, **fields):
        return self.up.encrypt(plaintext(self.meter, kind, **fields))

    def seal_down(self, kind, **fields):
        return self.down.encrypt(plaintext(self.meter, kind, **fields))

    def open_up(self, token):
        return self._open("up", self.up, token)

    def open_down(self, token):
        return self._open("down", self.down, token)

    def _open(self, direction, fernet, token):
        """(kind, fields) with all integers as int, or None if it isn't one of this direction's messages."""
        try:
            kind, fields = decode.decode(direction, self.meter, fernet.decrypt(token))
        except (InvalidToken, decode.Refusal):
            return None
        sizes = {name: size for name, size, *_ in KINDS[kind][2]}
        return kind, {name: int(value) if sizes[name] == 8 else value for name, value in fields.items()}


def plaintext(meter, kind, **fields):
    """127 bytes of one message; nothing is checked, so that a test can send what is wrong."""
    number, way, layout = KINDS[kind]
    raw = b"\x01" + number + {"up": b"U", "down": b"D"}[way] + bytes([len(meter)]) + meter.encode().ljust(32, b"\0")
    for name, size, *_ in layout:
        value = fields[name]
        if name == "power" and value is None:
            value = decode.FULL
        raw += bytes.fromhex(value) if size == "hex" else int(value).to_bytes(size, "big")
    return raw.ljust(127, b"\0")


BOOT = os.urandom(16).hex()


def reading(epoch, sequence, total, **changes):
    """The fields of a sound reading; uptime goes with the sequence, ten seconds each."""
    return {"epoch": epoch, "sequence": sequence, "total": total, "imp_per_kwh": 1000, "start": 0,
            "measured_at": int(time.time() * 1000), "clock": 1, "source": SIMULATED, "boot": BOOT,
            "uptime": sequence * 10_000, "glitches": 0, "missed_edges": 0, "uncertain": 0, "events": 0,
            "power": 120_000, **changes}


class Peer:
    """A meter in Python: says what it is told to over a harness.Tap, and knows what it was answered."""

    def __init__(self, case, tap, keys):
        self.case, self.tap, self.keys = case, tap, keys

    def answers(self, kind=None):
        opened = (self.keys.open_down(m.payload) for m in self.tap.seen(self.keys.down_topic))
        return [(name, fields) for name, fields in filter(None, opened) if kind in (None, name)]

    def hello(self, source=SIMULATED, **changes):
        """Says Hello until it is answered; the State."""
        fields = {"nonce": os.urandom(16).hex(), "epoch": 0, "sequence": 0, "total": 0, "has_register": 0,
                  "source": source, "boot": BOOT, **changes}

        def answered():
            self.tap.publish(self.keys.up_topic, self.keys.seal_up("Hello", **fields))
            end = time.monotonic() + 2
            while time.monotonic() < end:
                for _, state in self.answers("State"):
                    if state["nonce"] == fields["nonce"]:
                        return state
                time.sleep(0.03)
            return None
        return self.case.wait(answered, "a State that answers the Hello")

    def send(self, fields, retain=False):
        token = self.keys.seal_up("Reading", **fields)
        self.tap.publish(self.keys.up_topic, token, retain=retain)
        return token

    def confirmed(self):
        """The set of (epoch, sequence) that were ever confirmed."""
        return {(c["epoch"], s) for _, c in self.answers("Confirmation") for s in range(c["first"], c["last"] + 1)}

    def refused(self):
        return {(r["epoch"], r["sequence"]): REASONS[r["reason"]] for _, r in self.answers("Refused")}

    def wait_confirmed(self, keys, timeout=30):
        keys = set(keys)
        self.case.wait(lambda: keys <= self.confirmed(), f"confirmations of {sorted(keys)[:10]} …", timeout)

    def wait_refused(self, key, reason, timeout=30):
        self.case.wait(lambda: self.refused().get(key) == reason, f"{key} to be refused: {reason}", timeout)
