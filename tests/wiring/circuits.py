"""Runs the circuits in wiring/*.cir in ngspice: what the Pi's pin sees of the meter's pulses."""

import pathlib
import re
import shutil
import struct
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIRING = ROOT / "wiring"
CIRCUITS = ["lm393", "phototransistor", "s0"]
V_IL, V_IH = 0.9, 1.6  # volts: below is low and above is high to a Raspberry Pi


def with_values(netlist: str, values: dict[str, str]) -> str:
    """The netlist with other values: of parameters (`width`), or of parts and sources (`R1`, `Vsupply`)."""
    for name, value in values.items():
        for pattern in (rf"(?m)^(\.param {name}=)\S+", rf"(?m)^({name} \S+ \S+ )\S+"):
            netlist, count = re.subn(pattern, rf"\g<1>{value}", netlist)
            if count:
                break
        else:
            raise ValueError(f"the netlist has no {name}")
    return netlist


class Trace:
    """Seconds, and the volts at the pin; `light` is 1 while the LED is lit (the output conducts)."""

    def __init__(self, time: list[float], pin: list[float], light: list[float]) -> None:
        self.time, self.pin, self.light = time, pin, light


def simulate(circuit: str, **values) -> Trace:
    netlist = (WIRING / f"{circuit}.cir").read_text("utf-8")
    with tempfile.TemporaryDirectory(prefix="circuit-") as folder:
        source, raw = pathlib.Path(folder, "circuit.cir"), pathlib.Path(folder, "raw")
        source.write_text(with_values(netlist, {name: str(value) for name, value in values.items()}), "utf-8")
        ngspice = shutil.which("ngspice")
        if not ngspice:
            raise FileNotFoundError("ngspice is missing: apt-get install ngspice")
        done = subprocess.run([ngspice, "-b", "-r", raw, source], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0 or not raw.exists():
            raise RuntimeError(f"ngspice on {circuit}.cir with {values}:\n{done.stdout}{done.stderr}")
        return _read(raw.read_bytes())


def _read(raw: bytes) -> Trace:
    """ngspice's raw file: a head in text, then for each point its values as doubles."""
    head, data = raw.split(b"Binary:\n", 1)
    text = head.decode()
    count = int(re.search(r"No\. Points:\s*(\d+)", text)[1])
    names = re.findall(r"(?m)^\s+\d+\s+(\S+)\s", text.rsplit("Variables:", 1)[1])
    values = struct.unpack(f"={count * len(names)}d", data[:count * len(names) * 8])
    column = {name: list(values[place::len(names)]) for place, name in enumerate(names)}
    return Trace(column["time"], column["v(pin)"], column["v(light)"])
