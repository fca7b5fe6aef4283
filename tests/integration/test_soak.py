"""All at once for hours: a household at speed, faults on every connection, everybody killed now and then, the broker wiped.
`run.py BUILD --soak HOURS`; it says each minute what the programs take."""
import collections
import os
import pathlib
import re
import sys
import time

from fault_proxy import FaultProxy
from harness import HEALS, SEED, Case
from many_meters import add_meters

HOURS = float(os.environ.get("PULSEMETER_SOAK", "0"))
STORED = r"reading (\d+): Total"
FAULTS = ("reset", "loss", "half_closed", "half_open", "black_hole", "delay", "pieces")
SAMPLE_EVERY = 60  # seconds
MEMORY, DESCRIPTORS = 32_000_000, 20  # by how much more than after the warm-up is a leak


class Soak(Case):
    def test_soak(self):
        self.broker_ = self.broker(persistent=True)
        proxies = [FaultProxy(self, self.broker_, self.random) for _ in range(3)]
        self.server_ = self.server(proxies[0])
        self.meters = add_meters(self.server_, ["hall", "attic"])
        for meter, proxy in zip(self.meters, proxies[1:]):
            meter.configure(broker_url=proxy.url, simulation_model="household", simulation_speed=200)
            meter.run()
        self.server_.run(connected=False)
        self.check_that_it_heals()
        self.first, self.told = self.sample(), collections.Counter()
        print(f"        seed {SEED}", file=sys.stderr, flush=True)
        end = time.monotonic() + HOURS * 3600
        next_sample = time.monotonic()
        while time.monotonic() < end:
            if time.monotonic() >= next_sample:
                self.tell(end)
                next_sample += SAMPLE_EVERY
            self.one_misfortune(proxies)
        for proxy in proxies:
            proxy.set("honest")
        self.check_that_it_heals()
        self.tell(end)
        for meter in self.meters:
            meter.process.stop()
            register = self.wait_equal_totals(self.server_, meter)
            self.assertEqual(register["epoch"], 1)
            self.assertEqual(sorted(self.server_.rows(meter.name)), [(1, s) for s in range(1, register["sequence"] + 1)])
        print(f"        seed {SEED}: {HOURS} h, {sum(self.told.values())} misfortunes: " +
              ", ".join(f"{n} {what}" for what, n in sorted(self.told.items())))

    def one_misfortune(self, proxies):
        what = self.random.choice((*FAULTS, *FAULTS, "kill the server", "kill a meter", "wipe the broker"))
        self.told[what] += 1
        proxy = self.random.choice(proxies)
        if what == "kill the server":
            self.server_.process.kill()
            self.server_.run(connected=False)
        elif what == "kill a meter":
            meter = self.random.choice(self.meters)
            meter.process.kill()
            meter.run()
        elif what == "wipe the broker":
            self.broker_.kill()
            self.broker_.wipe()
            self.broker_.start()
        else:
            proxy.set(what)
        time.sleep(self.random.expovariate(1 / 4))  # so long may it last; this is no wait for anything
        proxy.set("honest")
        if self.random.random() < 0.1:
            self.check_that_it_heals()

    def check_that_it_heals(self):
        for meter in self.meters:
            meter.process.wait_out(STORED, 3 * HEALS)
            last = int(meter.process.wait_out(STORED)[-1])
            self.wait(lambda: time.sleep(0.5) or (self.server_.status(meter.name) or {}).get("sequence", 0) > last,
                      f"{meter.name} beyond {last}", 3 * HEALS)

    def sample(self):
        """{name: (resident bytes, open descriptors, bytes on disk)}"""
        taken = {}
        for owner, folder in ((self.server_, self.server_.data), *((meter, meter.state) for meter in self.meters)):
            process = pathlib.Path(f"/proc/{owner.process.pid}")
            memory = int(re.search(r"(?m)^VmRSS:\s+(\d+) kB", (process / "status").read_text())[1]) * 1000
            taken[owner.process.name] = (memory, len(list((process / "fd").iterdir())),
                                         sum(path.stat().st_size for path in folder.iterdir()))
        return taken

    def tell(self, end):
        left = max(0, end - time.monotonic())
        for name, now in self.sample().items():
            before = self.first[name]
            print(f"        {left / 3600:.2f} h to go: {name}: {now[0] / 1e6:.1f} MB, {now[1]} descriptors, "
                  f"{now[2] / 1e6:.1f} MB of disk", file=sys.stderr, flush=True)
            self.assertLess(now[0] - before[0], MEMORY, name)
            self.assertLess(now[1] - before[1], DESCRIPTORS, name)
