#!/usr/bin/python3
"""What the circuits in wiring/ make of the meter's pulses at the Pi's pin, in ngspice; and that the drawings show
those circuits.

usage: test_circuits.py
"""

import re
import sys
import unittest
import xml.etree.ElementTree

import plots
from circuits import CIRCUITS, V_IH, V_IL, WIRING, Trace, simulate

WIDTHS = [0.002, 0.005, 0.010, 0.030, 0.060, 0.100]  # seconds lit, and as many dark
PULSES = 4  # in each simulation, and then dark
MARGIN = 0.3  # volts below V_IL and above V_IH
LOWEST, HIGHEST = -0.3, 3.3 + 0.3
SHORTEST = 0.001  # seconds: meter-pi's filter takes no longer min_width of itself
DRAWINGS = ["lm393", "phototransistor", "s0", "header", "placement"]


def low_runs(trace: Trace) -> list[tuple[float, float]]:
    """When the pin is read as low: from where it falls below V_IL until it rises above V_IH."""
    runs, since = [], None
    for time, volts in zip(trace.time, trace.pin):
        if since is None and volts <= V_IL:
            since = time
        elif since is not None and volts >= V_IH:
            runs.append((since, time))
            since = None
    return runs


def problems(trace: Trace, width: float) -> list[str]:
    """What is wrong with the pin's voltage; nothing, if the Pi counts these pulses for sure."""
    found = []
    if min(trace.pin) < LOWEST or max(trace.pin) > HIGHEST:
        found.append(f"{min(trace.pin):.2f} to {max(trace.pin):.2f} V at the pin")
    for phase in range(1, 2 * PULSES + 2):  # dark, lit, dark …: the pin has come to rest in the second half of each
        rest = [volts for time, volts in zip(trace.time, trace.pin) if phase - 0.5 <= time / width <= phase - 0.01]
        lit = phase % 2 == 0
        if lit and max(rest) > V_IL - MARGIN:
            found.append(f"only down to {max(rest):.2f} V while lit")
        if not lit and min(rest) < V_IH + MARGIN:
            found.append(f"only up to {min(rest):.2f} V while dark")
    runs = low_runs(trace)
    if len(runs) != PULSES:
        found.append(f"{len(runs)} pulses")
    if any(end - start < max(SHORTEST, 0.9 * width) for start, end in runs):
        found.append("a pulse is cut short")
    return found


class Circuits(unittest.TestCase):
    def test_each_circuit_makes_sure_pulses_of_2_to_100_ms_with_and_without_ambient_light(self):
        for circuit in CIRCUITS:
            for width in WIDTHS:
                for disturbance in (0, 1):
                    with self.subTest(circuit=circuit, width=width, disturbance=disturbance):
                        self.assertEqual(problems(simulate(circuit, width=width, disturbance=disturbance), width), [])

    def test_five_volts_at_a_module_are_found_out(self):
        self.assertRegex(str(problems(simulate("lm393", width=0.01, Vsupply=5), 0.01)), "V at the pin")

    def test_a_sensor_without_its_cover_in_bright_light_is_found_out(self):
        for circuit in ("lm393", "phototransistor"):
            self.assertRegex(str(problems(simulate(circuit, width=0.01, disturbance=20), 0.01)), "while dark|pulses")

    def test_parts_of_the_wrong_size_are_found_out(self):
        for circuit, part, value, word in [("phototransistor", "R1", "1k", "while lit"),
                                           ("phototransistor", "C1", "1u", "while dark"),
                                           ("s0", "R1", "47k", "while dark")]:
            self.assertRegex(str(problems(simulate(circuit, width=0.005, **{part: value}), 0.005)), word)


class Drawings(unittest.TestCase):
    def test_the_schematics_show_the_parts_that_were_simulated(self):
        for circuit in CIRCUITS:
            parts = re.findall(r"(?m)^[RC]\d .*; (.+)$", (WIRING / f"{circuit}.cir").read_text("utf-8"))
            self.assertTrue(parts, circuit)
            drawn = self.words(f"{circuit}.svg")
            for part in parts:
                self.assertIn(part, drawn, f"{circuit}.svg")

    def test_the_sensors_pins_are_the_same_in_all_drawings(self):
        for circuit in CIRCUITS:
            drawn = self.words(f"{circuit}.svg")
            for pin in ("pin 1", "pin 9", "pin 11", "3.3 V", "GPIO17", "GND"):
                self.assertIn(pin, drawn, f"{circuit}.svg")

    def test_drawings_are_of_themselves_and_know_light_and_dark(self):
        for name in [*DRAWINGS, *(f"{circuit}-pulses" for circuit in CIRCUITS)]:
            text = (WIRING / f"{name}.svg").read_text("utf-8")
            self.assertIn("prefers-color-scheme: dark", text, name)
            self.assertNotRegex(text, r"href=\"[^#]|url\([^#]|<script|<foreignObject", name)
            self.assertIn(f"({name}.svg)", (WIRING / "README.md").read_text("utf-8"), "not in the document")

    def test_the_plots_are_those_of_these_circuits(self):
        for circuit in CIRCUITS:
            self.assertIn(plots.made_from(circuit), (WIRING / f"{circuit}-pulses.svg").read_text("utf-8"),
                          "make it again: tests/wiring/plots.py")

    def words(self, name):
        tree = xml.etree.ElementTree.parse(WIRING / name)
        return "\n".join("".join(each.itertext()) for each in tree.iter("{http://www.w3.org/2000/svg}text"))


def main():
    result = unittest.TextTestRunner(verbosity=2).run(
        unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))
    failed = len({str(test).split(" [")[0].split(" (circuit")[0] for test, _ in result.errors + result.failures})
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
