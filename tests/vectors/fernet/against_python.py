#!/usr/bin/python3
"""Row K4: our Fernet against Python's `cryptography`, both ways, with random keys, times and lengths 0-4096.

usage: against_python.py FERNET_PEER [ROUNDS]      ROUNDS: else $PULSEMETER_K4_ROUNDS, else 1000

Each round: what Python seals we open, and seal with its IV and time to the same characters; what we seal Python
opens; and with one bit flipped both refuse. Prints the seed, so that a failure can be repeated with $PULSEMETER_SEED.
"""
import base64
import os
import random
import subprocess
import sys

from cryptography.fernet import Fernet, InvalidToken


class Peer:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("fernet_peer ended early")
        return answer.rstrip("\n")


def python_refuses(fernet, token):
    try:
        fernet.decrypt(token)
        return False
    except InvalidToken:
        return True


def one_round(peer, rng):
    key = base64.urlsafe_b64encode(rng.randbytes(32))
    python = Fernet(key)
    plaintext = rng.randbytes(rng.choice([rng.randrange(0, 64), rng.randrange(0, 4097)]))
    time = rng.choice([0, rng.randrange(2**31), rng.randrange(2**63)])
    theirs = python.encrypt_at_time(plaintext, time)
    expected = f"ok {time} x{plaintext.hex()}"

    opened = peer.ask("open", key.decode(), theirs.decode())
    assert opened == expected, f"we open Python's token to {opened[:80]}, not to {expected[:80]}"

    iv = base64.urlsafe_b64decode(theirs)[9:25]
    ours = peer.ask("seal", key.decode(), str(time), "x" + iv.hex(), "x" + plaintext.hex())
    assert ours == theirs.decode(), "the same key, time, IV and plaintext made two tokens"

    iv = rng.randbytes(16)
    ours = peer.ask("seal", key.decode(), str(time), "x" + iv.hex(), "x" + plaintext.hex()).encode()
    assert python.decrypt(ours) == plaintext, "Python opens our token to something else"
    assert python.extract_timestamp(ours) == time, "Python sees another time in our token"

    bent = bytearray(base64.urlsafe_b64decode(ours))
    bit = rng.randrange(len(bent) * 8)
    bent[bit // 8] ^= 1 << bit % 8
    bent = base64.urlsafe_b64encode(bytes(bent))
    assert python_refuses(python, bent), "Python opens a bent token"
    assert peer.ask("open", key.decode(), bent.decode()) == "refused", "we open a bent token"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    rounds = int(sys.argv[2] if len(sys.argv) == 3 else os.environ.get("PULSEMETER_K4_ROUNDS", "1000"))
    seed = int(os.environ.get("PULSEMETER_SEED", random.SystemRandom().randrange(2**32)))
    rng = random.Random(seed)
    peer = Peer(sys.argv[1])
    for number in range(rounds):
        try:
            one_round(peer, rng)
        except AssertionError as error:
            sys.exit(f"round {number} of seed {seed}: {error}")
    print(f"{rounds} rounds with seed {seed}: no difference")


if __name__ == "__main__":
    main()
