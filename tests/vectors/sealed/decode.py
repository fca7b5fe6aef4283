#!/usr/bin/python3
"""Decodes tokens of the sealed wire, version 1. Written from shared/PROTOCOL.md, apart from the C++ code.
decode.py --key-file FILE --meter ID [TOKEN ...]   one line of JSON a token (from stdin where none is given);
                                                   FILE holds the meter's master key and nobody else may read it
decode.py --check vectors.json                     verifies the test vectors, exit 1 if one differs
"""
import argparse
import base64
import json
import os
import sys

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PARTS, LARGEST, FULL = ("meters", "valid", "invalid_plaintexts", "tokens"), 2**63 - 1, 2**32 - 1
# Per kind: the direction, and the fields in order with their size in bytes, least and most. "hex" has no range.
EPOCH, SEQUENCE, TOTAL = ("epoch", 4, 1, FULL), ("sequence", 8, 1, LARGEST), ("total", 8, 0, LARGEST)
CONSTANT, START, SOURCE = ("imp_per_kwh", 4, 1, 1000000), ("start", 8, 0, LARGEST), ("source", 1, 1, 2)
NONCE, BOOT = ("nonce", "hex"), ("boot", "hex")
zero_too = lambda field: (field[0], field[1], 0, field[3])
count = lambda name: (name, 4, 0, FULL)
KINDS = {
    b"\x01": ("Hello", "up", [NONCE, count("epoch"), zero_too(SEQUENCE), TOTAL, ("has_register", 1, 0, 1), SOURCE,
                              BOOT]),
    b"\x02": ("State", "down", [NONCE, count("highest_epoch"), count("epoch"), zero_too(SEQUENCE), TOTAL,
                                zero_too(CONSTANT), START]),
    b"\x03": ("Reading", "up", [EPOCH, SEQUENCE, TOTAL, CONSTANT, START, ("measured_at", 8, 0, 253402300799999),
                              ("clock", 1, 0, 1), SOURCE, BOOT, ("uptime", 8, 0, LARGEST), count("glitches"),
                              count("missed_edges"), count("uncertain"), count("events"), count("power")]),
    b"\x04": ("Confirmation", "down", [EPOCH, ("first", 8, 1, LARGEST), ("last", 8, 1, LARGEST)]),
    b"\x05": ("Refused", "down", [EPOCH, SEQUENCE, ("reason", 1, 1, 5)]),
}


class Refusal(Exception):
    """Its text is the error's name in PROTOCOL.md."""


def agree(kind, f):  # each field alone is in its range
    if kind == "Hello":
        return f["epoch"] > 0 if f["has_register"] else f["epoch"] == f["sequence"] == f["total"] == 0
    if kind == "State" and f["epoch"] == 0:
        return f["sequence"] == f["total"] == f["imp_per_kwh"] == f["start"] == 0
    if kind == "State":
        return f["epoch"] <= f["highest_epoch"] and f["sequence"] > 0 and f["imp_per_kwh"] > 0
    return kind != "Confirmation" or f["first"] <= f["last"]


def decode(direction, meter, raw):
    """(kind, fields) of a plaintext that came in this direction on this meter's topic. Raises Refusal."""
    kind, way, layout = KINDS.get(raw[1:2], ("", "", []))
    for error, wrong in (("wrong_size", len(raw) != 127), ("wrong_version", raw[0:1] != b"\x01"),
                         ("wrong_direction", raw[2:3] != {"up": b"U", "down": b"D"}[direction]),
                         ("wrong_kind", way != direction),
                         ("wrong_meter", raw[3:36] != bytes([len(meter)]) + meter.encode().ljust(32, b"\0"))):
        if wrong:
            raise Refusal(error)
    at, fields, in_range = 36, {}, True
    for name, size, *limits in layout:
        value = raw[at:at + (16 if size == "hex" else size)]
        at += len(value)
        fields[name] = value.hex() if size == "hex" else int.from_bytes(value, "big")
        in_range = in_range and (size == "hex" or limits[0] <= fields[name] <= limits[1])
    if not (in_range and agree(kind, fields)):
        raise Refusal("out_of_range")
    if any(raw[at:]):
        raise Refusal("not_canonical")
    if fields.get("power") == FULL:
        fields["power"] = None
    return kind, {name: str(fields[name]) if size == 8 else fields[name] for name, size, *_ in layout}


def derive(master, meter):
    def hkdf(info, length):
        return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(master)
    keys = {"up_key": hkdf(b"pulsemeter v1 up\0" + meter.encode(), 32),
            "down_key": hkdf(b"pulsemeter v1 down\0" + meter.encode(), 32)}
    topic = "pulsemeter/" + hkdf(b"pulsemeter v1 topic", 16).hex()
    return {"up_topic": topic + "/up", "down_topic": topic + "/down",
            **{name: base64.urlsafe_b64encode(key).decode() for name, key in keys.items()}}


def unseal(key, token):
    try:
        canonical = len(token) == 248 and base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)) == token.encode()
        return Fernet(key).decrypt(token if canonical else "")
    except (InvalidToken, ValueError) as error:
        raise Refusal("token") from error


def verdict(action, *arguments):
    try:
        return action(*arguments)
    except Refusal as refusal:
        return str(refusal)


def receive(keys, direction, meter, token):
    return decode(direction, meter, unseal(keys[direction + "_key"], token))


def check(path):
    with open(path, encoding="ascii") as file:
        vectors = json.load(file)
    keys = {m["id"]: derive(base64.urlsafe_b64decode(m["master_key"]), m["id"]) for m in vectors["meters"]}
    wrong = [m["id"] for m in vectors["meters"] if {**m, **keys[m["id"]]} != m]
    for v in vectors["valid"]:
        token, raw = base64.urlsafe_b64decode(v["token"]), bytes.fromhex(v["plaintext"])
        if (verdict(decode, v["direction"], v["meter"], raw) != (v["kind"], v["fields"]) or
                verdict(unseal, keys[v["meter"]][v["direction"] + "_key"], v["token"]) != raw or
                token[1:25] != v["timestamp"].to_bytes(8, "big") + bytes.fromhex(v["iv"])):
            wrong.append(v["name"])
    wrong += [v["name"] for v in vectors["invalid_plaintexts"]
              if verdict(decode, v["direction"], v["meter"], bytes.fromhex(v["plaintext"])) != v["error"]]
    for v in vectors["tokens"]:  # a right one gives a pair, and its "error" is null
        seen = verdict(receive, keys[v["meter"]], v["direction"], v["meter"], v["token"])
        wrong += [v["name"]] if seen != v["error"] and not (v["error"] is None and isinstance(seen, tuple)) else []
    print(f"{sum(len(vectors[part]) for part in PARTS)} vectors, {len(wrong)} differ", *wrong, sep="\n  ")
    return 1 if wrong or not vectors["valid"] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", metavar="VECTORS")
    parser.add_argument("--key-file")
    parser.add_argument("--meter", metavar="ID", default="")
    parser.add_argument("token", nargs="*")
    options = parser.parse_args()
    if options.check:
        return check(options.check)
    try:
        with open(options.key_file or parser.error("--key-file is needed"), encoding="ascii") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                parser.error(f"{options.key_file}: others may read it; chmod 600 {options.key_file}")
            keys = derive(base64.urlsafe_b64decode(file.read().strip()), options.meter)
    except (OSError, ValueError) as error:
        parser.error(f"{options.key_file}: no master key: {error}")
    failed = False
    for token in options.token or sys.stdin.read().split():
        seen = [verdict(receive, keys, way, options.meter, token) for way in ("up", "down")]
        result = next((each for each in seen if each != "token"), "token")
        failed = failed or isinstance(result, str)
        print(json.dumps({"error": result} if isinstance(result, str) else {"kind": result[0], **result[1]}))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
