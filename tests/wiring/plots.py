#!/usr/bin/python3
"""Draws what ngspice makes of the circuits: wiring/*-pulses.svg, which wiring/README.md shows.

usage: plots.py          (needs ngspice)
"""

import hashlib
import pathlib

from circuits import CIRCUITS, V_IH, V_IL, WIRING, Trace, simulate

WIDTHS = {"lm393": [0.002, 0.030], "phototransistor": [0.002, 0.030], "s0": [0.030, 0.100]}
TITLES = {"lm393": "LM393 module", "phototransistor": "Phototransistor", "s0": "S0 output"}
DISTURBED = {"lm393": "with lamp light", "phototransistor": "with lamp light", "s0": "with leakage and hum"}
WIDE, HIGH = 350, 170  # of a panel's axes
TOP, BOTTOM = 3.6, -0.1  # volts
PERIODS = 2.75  # shown

STYLE = """
  svg { color-scheme: light dark; max-width: 100%; height: auto; }
  .page { fill: #ffffff; } .ink { fill: #1c1f23; } .soft { fill: #5b626b; }
  text { font: 13px system-ui, sans-serif; } .title { font-weight: 600; font-size: 15px; }
  .axis { stroke: #9aa1a9; fill: none; } .unsure { fill: #e9ecef; } .light { fill: #e0a100; }
  .quiet { stroke: #0b62c4; fill: none; stroke-width: 2; } .loud { stroke: #c2410c; fill: none; stroke-width: 1.4; stroke-dasharray: 5 3; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #16191d; } .ink { fill: #e8eaed; } .soft { fill: #a5adb6; }
    .axis { stroke: #6b737c; } .unsure { fill: #2b3036; } .light { fill: #f2c037; }
    .quiet { stroke: #6cb2ff; } .loud { stroke: #ff9b66; }
  }
"""


def made_from(circuit: str) -> str:
    """Of which circuit and by which script a plot was made, for its comment."""
    sources = [WIRING / f"{circuit}.cir", pathlib.Path(__file__)]
    return "made from " + hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _y(volts: float) -> float:
    return (TOP - volts) / (TOP - BOTTOM) * HIGH


def _line(trace: Trace, width: float, kind: str) -> str:
    """Leaves out the points that lie where the one before does."""
    points, last = [], None
    for time, volts in zip(trace.time, trace.pin):
        x = (time - 0.5 * width) / (2 * PERIODS * width) * WIDE
        if not 0 <= x <= WIDE:
            continue
        point = (round(x, 1), round(_y(volts), 1))
        if last is None or abs(point[0] - last[0]) + abs(point[1] - last[1]) >= 1:
            points.append(f"{point[0]:g},{point[1]:g}")
            last = point
    return f'<polyline class="{kind}" points="{" ".join(points)}"/>'


def _panel(circuit: str, width: float, left: int) -> str:
    parts = [f'<g transform="translate({left},58)">',
             f'<rect class="unsure" y="{_y(V_IH):.1f}" width="{WIDE}" height="{_y(V_IL) - _y(V_IH):.1f}"/>']
    for volts in (0, 0.9, 1.6, 3.3):
        parts.append(f'<text class="soft" x="-8" y="{_y(volts) + 4:.1f}" text-anchor="end">{volts:g} V</text>')
    parts += [_line(simulate(circuit, width=width, disturbance=0), width, "quiet"),
              _line(simulate(circuit, width=width, disturbance=1), width, "loud"),
              f'<path class="axis" d="M0,0 V{HIGH} H{WIDE}"/>']
    scale = WIDE / (2 * PERIODS)  # a width
    for number in (1, 3, 5):
        parts.append(f'<rect class="light" x="{(number - 0.5) * scale:.1f}" y="{HIGH + 5}" width="{scale:.1f}" height="6"/>')
    verb = "conducts" if circuit == "s0" else "lit"
    parts += [f'<text class="soft" x="0" y="{HIGH + 28}">{verb} for {width * 1000:g} ms (bars), then {width * 1000:g} ms not</text>',
              "</g>"]
    return "\n".join(parts)


def draw(circuit: str) -> str:
    legend = (f'<text class="title ink" x="16" y="26">{TITLES[circuit]}: volts at the pin, simulated</text>'
              '<path class="quiet" d="M452,22 h26"/><text class="ink" x="484" y="26">undisturbed</text>'
              f'<path class="loud" d="M582,22 h26"/><text class="ink" x="614" y="26">{DISTURBED[circuit]}</text>')
    panels = "\n".join(_panel(circuit, width, 62 + 426 * place) for place, width in enumerate(WIDTHS[circuit]))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 280" width="860" height="280" role="img">\n'
            f"<!-- by tests/wiring/plots.py, {made_from(circuit)} -->\n"
            f"<title>{TITLES[circuit]}: the pin's voltage over time</title>\n<style>{STYLE}</style>\n"
            f'<rect class="page" width="860" height="280" rx="8"/>\n{legend}\n{panels}\n</svg>\n')


def main() -> None:
    for circuit in CIRCUITS:
        path = WIRING / f"{circuit}-pulses.svg"
        path.write_text(draw(circuit), "utf-8")
        print(path.relative_to(WIRING.parent))


if __name__ == "__main__":
    main()
