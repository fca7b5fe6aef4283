"""Many meters at the price of one: `meter add` derives the password's key anew for each, so a test that wants a hundred
writes them into the keystore itself, after the description in server/keystore.hpp, and under cheap parameters."""
import base64
import hashlib
import json
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHEAP = {"n": 1024, "r": 8, "p": 1}


def replace_meters(path, names, password):
    """Meters of these names instead of the only one in the keystore there; their master keys."""
    document = json.loads(path.read_text())
    entry, = document["meters"]
    master_keys = [os.urandom(32) for _ in names]
    document["meters"] = [{**entry, "id": name} for name in names]
    salt = os.urandom(16)
    document["scrypt"] = {**CHEAP, "salt": encode(salt)}
    for secret in ("nonce", "sealed", "audit_nonce", "audit_sealed"):  # the audit key is made when it is first asked for
        document.pop(secret, None)
    key = hashlib.scrypt(password.encode(), salt=salt, dklen=32, **CHEAP)
    open_part = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    nonce = os.urandom(12)
    document |= {"nonce": encode(nonce), "sealed": encode(AESGCM(key).encrypt(nonce, b"".join(master_keys), open_part))}
    path.write_text(json.dumps(document) + "\n")
    return master_keys


def add_meters(server, names):
    """The harness.Meters of these names. The server must not run, and have no meters yet."""
    from harness import PASSWORD, Meter
    first = server.add(names[0])
    master_keys = replace_meters(server.data / "keystore.json", names, PASSWORD)
    template = first.config.read_text()
    first.config.unlink()
    meters = []
    for name, master in zip(names, master_keys):
        config = server.folder / f"{name}.toml"
        server.case.secret_file(config, template)
        meters.append(Meter(server.case, name, config).configure(meter_id=name, meter_key=encode(master)))
    return meters


def encode(raw):
    return base64.urlsafe_b64encode(raw).decode()
